//! For tests: a tiny data set made in memory, and a player that runs a task over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use voxflow_contract::{
    Batch, BuildContext, ContentHash, DataIndex, Fill, Flow, GoOn, Image, IndexedRow, Kind,
    Outcome, Params, Random, Refusals, Stage, Task, TaskContext, TaskError, Values, VoxelGrid,
    tables, voxels_values,
};
use voxflow_formats::picture::{Picture, encode_png};

use crate::{evaluate, train};

const EDGE: usize = 16;

/// A data set of boxes and cylinders at 16^3, seen straight from three sides.
pub(crate) struct TinyData {
    pub(crate) rows: Batch,
    pub(crate) index: Arc<DataIndex>,
}

impl TinyData {
    /// So many training, validation and test samples.
    pub(crate) fn new(counts: [usize; 3]) -> Self {
        let mut index_rows = Vec::new();
        for (split, count) in ["train", "val", "test"].into_iter().zip(counts) {
            index_rows.extend((0..count).map(|i| IndexedRow {
                sample: format!("{split}{i:03}"),
                category: ["box", "cylinder"][i % 2].to_owned(),
                split: split.to_owned(),
            }));
        }
        let grids: Vec<VoxelGrid> =
            index_rows.iter().map(|row| shape(&row.category, &row.sample)).collect();
        let views: Vec<Vec<Image>> = grids.iter().map(views).collect();
        let rows = batch(&index_rows, &grids, &views);
        let count = index_rows.len();
        let groups = (0..count).step_by(6).map(|start| start..(start + 6).min(count)).collect();
        let schema = rows.schema().clone();
        let digest = format!("{counts:?}");
        Self { rows, index: Arc::new(DataIndex { rows: index_rows, groups, schema, digest }) }
    }
}

fn batch(index: &[IndexedRow], grids: &[VoxelGrid], views: &[Vec<Image>]) -> Batch {
    let key = || {
        vec![
            Values::utf8(index.iter().map(|row| &row.sample)),
            Values::utf8(index.iter().map(|row| &row.category)),
            Values::fixed_binary(ContentHash::LEN, index.iter().map(|_| [0; ContentHash::LEN])),
        ]
    };
    let of = |schema, values: Vec<Values>| {
        Batch::new(schema, key().into_iter().chain(values).collect()).expect("a batch")
    };
    let voxels = of(tables::voxels(EDGE), voxels_values(EDGE, grids));
    let split = of(tables::split(), vec![Values::utf8(index.iter().map(|row| &row.split))]);
    let schema = tables::view();
    let names: Vec<_> = schema.columns()[..4].iter().map(|c| c.name.as_str()).collect();
    let images = of(schema.project(&names), vec![Values::images(views)]);
    let schema = tables::pose();
    let names: Vec<_> = schema.columns()[..4].iter().map(|c| c.name.as_str()).collect();
    let poses =
        views.iter().map(|views| (0..views.len()).flat_map(axis_pose).collect::<Vec<f32>>());
    let poses = of(schema.project(&names), vec![Values::tensor_lists(16, poses)]);
    let all = voxels.beside(&images).and_then(|b| b.beside(&poses)).and_then(|b| b.beside(&split));
    all.expect("columns side by side")
}

/// A camera at distance 2 along one of three axes, row-major 4x4.
fn axis_pose(view: usize) -> [f32; 16] {
    let mut pose = [0.0; 16];
    (0..3).for_each(|row| pose[4 * row + (row + view) % 3] = 1.0);
    pose[11] = 2.0;
    pose[15] = 1.0;
    pose
}

fn shape(category: &str, sample: &str) -> VoxelGrid {
    let mut random = Random::new(1, &[sample]);
    let half: [f64; 3] = std::array::from_fn(|_| random.range(2.0, 7.5));
    let mut grid = VoxelGrid::empty(EDGE, [-0.5; 3], [1.0; 3], Fill::Unknown);
    for index in 0..EDGE.pow(3) {
        let cell = [index / (EDGE * EDGE), index / EDGE % EDGE, index % EDGE];
        let [x, y, z] = [0, 1, 2].map(|i| (cell[i] as f64 - 7.5) / half[i]);
        let inside = match category {
            "box" => x.abs().max(z.abs()) <= 1.0,
            _ => x.hypot(z) <= 1.0,
        };
        if inside && y.abs() <= 1.0 {
            grid.set_index(index);
        }
    }
    grid
}

/// Pictures along the three axes: grey is depth, the ground is transparent.
fn views(grid: &VoxelGrid) -> Vec<Image> {
    let cell = |axis: usize, a, b, depth| match axis {
        0 => grid.get(depth, b, a),
        1 => grid.get(a, depth, b),
        _ => grid.get(a, b, depth),
    };
    let pixel = |axis, i: usize| {
        let (a, b) = (i % EDGE, EDGE - 1 - i / EDGE);
        match (0..EDGE).find(|&depth| cell(axis, a, b, depth)) {
            Some(depth) => [200 - 8 * depth as u8; 3].into_iter().chain([255]).collect::<Vec<_>>(),
            None => vec![0; 4],
        }
    };
    [2, 0, 1]
        .map(|axis| {
            let data = (0..EDGE * EDGE).flat_map(|i| pixel(axis, i)).collect();
            let (width, height) = (EDGE as u32, EDGE as u32);
            let picture = Picture { width, height, channels: 4, data };
            Image { bytes: encode_png(&picture).expect("a picture"), path: None }
        })
        .to_vec()
}

/// Parameters of a network that trains in milliseconds, with others put over them. Those that are not
/// of the network that is asked for are left out.
pub(crate) fn tiny_params(more: &Value) -> Params {
    let mut params = json!({
        "cube_len": 16, "z_size": 8, "generator_channels": 4, "discriminator_channels": 2,
        "batch_size": 4, "n_epochs": 4, "beta": [0.9, 0.99], "g_lr": 1e-3, "d_lr": 1e-4,
        "adversarial_weight": 1e-3, "view": "random", "device": "cpu", "log_steps": true,
    });
    let model = more["model"].as_str().unwrap_or("vae_gan");
    if model != "gan" {
        params["recon_loss"] = json!("bce");
        params["recon_weight"] = json!(1.0);
        params["kl_weight_start"] = json!(3e-5);
        params["kl_weight_end"] = json!(3e-5);
        params["e_lr"] = json!(5e-4);
        params["encoder_channels"] = json!([4, 8]);
    }
    if model != "gan" && model != "attention_vae_gan" {
        params["image_size"] = json!(16);
    }
    if model == "vae_gan" || model == "multi_view_vae_gan" {
        params["initial_log_variance"] = json!(-4.0);
    }
    for (key, value) in more.as_object().expect("a table") {
        params[key] = value.clone();
    }
    Params(params.as_object().expect("a table").clone())
}

/// What [`play`] may be told besides the task.
#[derive(Default)]
pub(crate) struct Play {
    pub(crate) resume: Option<GoOn>,
    pub(crate) inputs: BTreeMap<String, PathBuf>,
    /// Asks to stop after so many batches.
    pub(crate) stop_after: Option<usize>,
    /// Samples that are taken out of their batches, as an engine does with refused ones.
    pub(crate) refused: Vec<String>,
}

/// Builds a task; panics with what is wrong.
pub(crate) fn task(name: &str, params: &Params) -> Arc<dyn Task> {
    let kind: &dyn Kind = match name {
        "train" => &train::TrainKind,
        _ => &evaluate::EvaluateKind,
    };
    match kind.build(params, &BuildContext { seed: 7, stage: name.to_owned() }) {
        Ok(Stage::Task(task)) => task,
        Ok(_) => panic!("{name} is no task"),
        Err(errors) => panic!("{errors:?}"),
    }
}

/// Runs a task over a data set as an engine would, on this thread.
pub(crate) fn play(
    name: &str,
    params: &Params,
    data: &TinyData,
    folder: &Path,
    how: Play,
) -> Result<Outcome, TaskError> {
    let task = task(name, params);
    task.check(data.rows.schema())?;
    let stop = Arc::new(AtomicBool::new(false));
    let context = TaskContext {
        stage: name.to_owned(),
        folder: folder.to_owned(),
        inputs: how.inputs,
        index: data.index.clone(),
        resume: how.resume,
        stop: stop.clone(),
        progress: Arc::new(|_, share| assert!((0.0..=1.0).contains(&share), "{share}")),
    };
    let (schedule, mut session) = task.open(context)?;
    let columns = task.columns();
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    let rows = data.rows.project(&columns).expect("columns");
    let mut fed = 0;
    for epoch in schedule.epochs {
        for item in (schedule.plan)(epoch) {
            let mut refusals = Refusals::default();
            let batch = task.prepare(&item, &rows.gather(&item.rows), &mut refusals);
            assert!(refusals.is_empty(), "{:?}", refusals.into_rows());
            let batch = batch.expect("prepared");
            let samples = batch.utf8("sample").expect("samples");
            let is_kept = |row: &usize| !how.refused.iter().any(|r| r == samples.value(*row));
            let kept: Vec<usize> = (0..batch.rows()).filter(is_kept).collect();
            session.step(&item, &batch.gather(&kept))?;
            fed += 1;
            if how.stop_after == Some(fed) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        if session.end_epoch(epoch)? == Flow::Stop {
            break;
        }
    }
    session.finish()
}
