//! Writes a small data set, to look at with pyarrow, DuckDB or Hugging Face `datasets`:
//! `cargo run -p voxflow-sinks --example write_sample -- FOLDER`.
//!
//! Sample i has the cells x = i, y < z of a 16^3 grid, and two 8x8 pictures of red value i.

use std::error::Error;
use std::path::Path;

use image::{ImageFormat, Rgba, RgbaImage};
use voxflow_contract::{Batch, Image, PlannedFile, Sink, Values, tables};
use voxflow_sinks::{ParquetParams, ParquetSink, replace_folder};

const SAMPLES: usize = 10;
const RESOLUTION: usize = 16;
const VIEWS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder?")?;
    let keys = splits()?;
    let rows = voxels()?.beside(&views()?)?.beside(&poses()?)?.beside(&keys)?;
    let params = ParquetParams { rows_per_file: 4, row_group_rows: Some(2), ..Default::default() };
    let sink = ParquetSink::new(params).map_err(|e| format!("{e:?}"))?;
    replace_folder(&Path::new(&folder).join(sink.folder()), |folder| {
        for planned in sink.plan(&keys)? {
            let mut file = sink.create(&folder.join(&planned.path), rows.schema())?;
            file.write(&rows_of(&planned, &rows))?;
            let (bytes, blake3) = file.finish()?;
            println!("{} {} rows {bytes} bytes {blake3}", planned.path, planned.rows.len());
        }
        Ok(())
    })?;
    Ok(())
}

fn rows_of(file: &PlannedFile, rows: &Batch) -> Batch {
    let places: Vec<usize> = file.rows.iter().map(|row| *row as usize).collect();
    rows.gather(&places)
}

fn keys() -> Vec<Values> {
    let samples = (0..SAMPLES).map(|i| format!("cup/{i:04}"));
    let contents = (0..SAMPLES).map(|i| [i as u8; 32]);
    vec![
        Values::utf8(samples),
        Values::utf8(vec!["cup"; SAMPLES]),
        Values::fixed_binary(32, contents),
    ]
}

fn grid(x: usize) -> Vec<u8> {
    let mut bytes = vec![0; RESOLUTION.pow(3) / 8];
    for y in 0..RESOLUTION {
        for z in y + 1..RESOLUTION {
            let cell = (x * RESOLUTION + y) * RESOLUTION + z;
            bytes[cell / 8] |= 1 << (cell % 8);
        }
    }
    bytes
}

fn voxels() -> Result<Batch, Box<dyn Error>> {
    let mut values = keys();
    let shape = [RESOLUTION, RESOLUTION, RESOLUTION / 8];
    values.extend([
        Values::tensors(&shape, (0..SAMPLES).map(grid)),
        Values::numbers(vec![RESOLUTION as u32; SAMPLES]),
        Values::utf8(vec!["solid_outside_flood"; SAMPLES]),
        Values::tensors(&[3], vec![[-0.5f64; 3]; SAMPLES]),
        Values::tensors(&[3], vec![[1.0f64; 3]; SAMPLES]),
        Values::numbers(vec![(RESOLUTION * (RESOLUTION - 1) / 2) as u32; SAMPLES]),
    ]);
    Ok(Batch::new(tables::voxels(RESOLUTION), values)?)
}

fn pictures(red: u8) -> Result<Vec<Image>, Box<dyn Error>> {
    (0..VIEWS)
        .map(|view| {
            let mut png = std::io::Cursor::new(Vec::new());
            RgbaImage::from_pixel(8, 8, Rgba([red, view as u8, 0, 255]))
                .write_to(&mut png, ImageFormat::Png)?;
            Ok(Image { bytes: png.into_inner(), path: Some(format!("{view}.png")) })
        })
        .collect()
}

fn views() -> Result<Batch, Box<dyn Error>> {
    let mut values = keys();
    let images = (0..SAMPLES).map(|i| pictures(i as u8)).collect::<Result<Vec<_>, _>>()?;
    let angles = || Values::lists::<f64, _>(vec![[0.0, 180.0]; SAMPLES]);
    values.extend([
        Values::images(&images),
        Values::images(&vec![vec![]; SAMPLES]),
        Values::images(&vec![vec![]; SAMPLES]),
        Values::numbers(vec![0.001f64; SAMPLES]),
        angles(),
        angles(),
        angles(),
        Values::numbers(vec![40.0f64; SAMPLES]),
        Values::numbers(vec![8u32; SAMPLES]),
        Values::numbers(vec![8u32; SAMPLES]),
        Values::images(&vec![vec![]; SAMPLES]),
        angles(),
        Values::utf8(["perspective"; SAMPLES]),
        Values::numbers(vec![0.0f64; SAMPLES]),
        Values::utf8(["random"; SAMPLES]),
    ]);
    Ok(Batch::new(tables::view(), values)?)
}

fn poses() -> Result<Batch, Box<dyn Error>> {
    let mut values = keys();
    let matrices: Vec<f32> = (0..16 * VIEWS).map(|i| i as f32).collect();
    values.extend([
        Values::tensor_lists(16, vec![matrices; SAMPLES]),
        Values::tensor_lists(4, vec![[8.0f32, 8.0, 4.0, 4.0].repeat(VIEWS); SAMPLES]),
        Values::tensor_lists(2, vec![[8u32, 8].repeat(VIEWS); SAMPLES]),
        Values::utf8(["pinhole"; SAMPLES]),
    ]);
    Ok(Batch::new(tables::pose(), values)?)
}

fn splits() -> Result<Batch, Box<dyn Error>> {
    let mut values = keys();
    let split = |i| {
        if i < 7 {
            "train"
        } else if i < 8 {
            "val"
        } else {
            "test"
        }
    };
    values.push(Values::utf8((0..SAMPLES).map(split)));
    Ok(Batch::new(tables::split(), values)?)
}
