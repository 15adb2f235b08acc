//! The sink against what it promises: any cut of the rows, any samples, any failure.

use std::fs;
use std::path::Path;

use voxflow_contract::{
    Batch, BuildContext, Column, ColumnType, Committed, Kind, MachineFault, OutputFile, Params,
    PlannedFile, Schema, Sink, Stage, Values, tables,
};
use voxflow_formats::parquet::ParquetReader;

use super::*;

mod cutting;
mod replacing;

fn sample(i: usize) -> String {
    format!("s{i:03}")
}

fn key_values(rows: std::ops::Range<usize>) -> Vec<Values> {
    let contents = rows.clone().map(|i| [i as u8; 32]);
    let category = vec!["cup"; rows.len()];
    vec![Values::utf8(rows.map(sample)), Values::utf8(category), Values::fixed_binary(32, contents)]
}

fn split_of(i: usize) -> &'static str {
    ["train", "test", "train", "val", "train"][i % 5]
}

fn splits(rows: usize) -> Batch {
    let mut values = key_values(0..rows);
    values.push(Values::utf8((0..rows).map(split_of)));
    Batch::new(tables::split(), values).expect("a batch")
}

/// Rows as the engine hands them over: what keyed stages said stands beside the rest.
fn rows(rows: usize) -> Batch {
    let mut columns = tables::key().columns().to_vec();
    columns.push(Column::new("size", ColumnType::UInt32, "A size."));
    columns.push(Column::new("bytes", ColumnType::Binary, "Some bytes."));
    let mut values = key_values(0..rows);
    values.push(Values::numbers((0..rows).map(|i| i as u32).collect()));
    values.push(Values::binary((0..rows).map(|i| vec![i as u8; i % 5])));
    let batch = Batch::new(Schema::new("thing", 1, columns), values).expect("a batch");
    batch.beside(&splits(rows)).expect("as many rows")
}

fn sink(rows_per_file: usize, row_group_rows: usize) -> ParquetSink {
    let params =
        ParquetParams { rows_per_file, row_group_rows: Some(row_group_rows), ..Default::default() };
    ParquetSink::new(params).expect("good parameters")
}

/// Writes one file, in batches of at most `step` rows.
fn write(
    sink: &ParquetSink,
    folder: &Path,
    planned: &PlannedFile,
    rows: &Batch,
    step: usize,
) -> Result<OutputFile, MachineFault> {
    let mut file = sink.create(&folder.join(&planned.path), rows.schema())?;
    for places in planned.rows.chunks(step) {
        let places: Vec<usize> = places.iter().map(|row| *row as usize).collect();
        file.write(&rows.gather(&places))?;
    }
    let (bytes, blake3) = file.finish()?;
    let (path, rows) = (planned.path.clone(), planned.rows.len() as u64);
    Ok(OutputFile { path, rows, bytes, blake3 })
}

/// Makes the data set `dataset` in `folder` of all rows, as the engine does.
fn make(
    sink: &ParquetSink,
    folder: &Path,
    rows: &Batch,
    step: usize,
) -> Result<Committed, MachineFault> {
    replace_folder(&folder.join("dataset"), |partial| {
        let mut committed = Committed::default();
        for planned in sink.plan(rows)? {
            let file = write(sink, partial, &planned, rows, step)?;
            *committed.splits.entry(planned.split).or_default() += file.rows;
            committed.files.push(file);
        }
        Ok(committed)
    })
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

#[test]
fn each_row_lies_in_its_split_in_key_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let committed = make(&sink(4, 3), folder.path(), &rows(20), 20).expect("made");
    let paths: Vec<_> = committed.files.iter().map(|f| f.path.as_str()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    assert_eq!(names_in(folder.path()), ["dataset"]);
    assert_eq!(names_in(&folder.path().join("dataset")), ["test", "train", "val"]);
    for (split, count) in [("train", 12), ("val", 4), ("test", 4)] {
        assert_eq!(committed.splits[split], count);
        let files = committed.files.iter().filter(|f| f.path.starts_with(split));
        let found: Vec<_> =
            files.flat_map(|file| read(&folder.path().join("dataset"), file, split)).collect();
        let expected: Vec<_> = (0..20).filter(|i| split_of(*i) == split).map(sample).collect();
        assert_eq!(found, expected);
    }
}

/// The samples of a file, which must be what was said of it.
fn read(dataset: &Path, file: &OutputFile, split: &str) -> Vec<String> {
    let bytes = fs::read(dataset.join(&file.path)).expect("a file");
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), file.blake3);
    assert_eq!(bytes.len() as u64, file.bytes);
    let reader = ParquetReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
    let groups = reader.row_group_rows();
    assert!(groups.iter().rev().skip(1).all(|rows| *rows == 3), "{groups:?}");
    assert!(reader.schema().metadata()["huggingface"].contains("fixed_size_binary[32]"));
    let rows = reader.read_all().expect("rows");
    assert_eq!(rows.rows() as u64, file.rows);
    assert!(rows.utf8("split").expect("split").values_iter().all(|value| value == split));
    rows.utf8("sample").expect("sample").values_iter().map(str::to_owned).collect()
}

#[test]
fn bytes_do_not_depend_on_the_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let expected = make(&sink(7, 3), folder.path(), &rows(50), 50).expect("made");
    for step in [1, 2, 3, 5] {
        let folder = tempfile::tempdir().expect("a folder");
        let committed = make(&sink(7, 3), folder.path(), &rows(50), step).expect("made");
        assert_eq!(committed, expected, "{step} rows at a time");
    }
}

#[test]
fn a_file_of_equal_rows_is_equal_in_any_data_set() {
    let (few, many) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
    let of_split = |committed: Committed| {
        let files = committed.files.into_iter().filter(|f| f.path.starts_with("test"));
        files.map(|f| (f.rows, f.blake3)).collect::<Vec<_>>()
    };
    let sink = sink(2, 1);
    let few = of_split(make(&sink, few.path(), &rows(20), 20).expect("made"));
    let many = of_split(make(&sink, many.path(), &rows(60), 60).expect("made"));
    assert_eq!(few[..few.len() - 1], many[..few.len() - 1]);
}

#[test]
fn a_file_is_never_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = sink(4, 2);
    let planned = &sink.plan(&splits(3)).expect("a plan")[1];
    write(&sink, folder.path(), planned, &rows(3), 9).expect("written");
    let before = fs::read(folder.path().join(&planned.path)).expect("a file");
    let error = write(&sink, folder.path(), planned, &rows(3), 9).expect_err("it is there");
    assert!(error.message.starts_with("cannot create: "), "{error}");
    assert_eq!(fs::read(folder.path().join(&planned.path)).expect("a file"), before);
}

#[test]
fn a_file_takes_rows_of_its_own_schema_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut file = sink(4, 2).create(&folder.path().join("a/b"), &tables::key()).expect("created");
    let error = file.write(&rows(2)).expect_err("more columns");
    assert!(error.message.starts_with("internal error while a data set is made: "), "{error}");
}

#[test]
fn parameters_are_checked_all_at_once() {
    let context = BuildContext { seed: 0, stage: "dataset".to_owned() };
    let build = |json: &str| {
        ParquetKind.build(&Params(serde_json::from_str(json).expect("json")), &context)
    };
    let Ok(Stage::Sink(sink)) = build("{}") else { panic!("defaults are right") };
    assert_eq!(sink.folder(), "dataset");
    let Err(errors) = build(r#"{"folder": "../x", "rows_per_file": 0, "row_group_rows": 0}"#)
    else {
        panic!("three mistakes")
    };
    let keys: Vec<_> = errors.iter().map(|e| e.key.as_str()).collect();
    assert_eq!(keys, ["folder", "rows_per_file", "row_group_rows"]);
    for folder in ["", "/x", "a/../b", "a//b", "c:x", "a\\b", "."] {
        let params = ParquetParams { folder: folder.to_owned(), ..Default::default() };
        assert!(ParquetSink::new(params).is_err(), "{folder:?}");
    }
    assert!(build(r#"{"folder": "a/b"}"#).is_ok());
    assert!(build(r#"{"rows": 3}"#).is_err());
}

#[test]
fn rows_without_keys_are_refused() {
    let schema = tables::key().project(&["sample", "content"]);
    let error = sink(1, 1).check(&schema).expect_err("no category");
    assert_eq!(error.message, "a data set needs the key columns; category is not there");
    assert!(sink(1, 1).check(&tables::view()).is_ok());
}

#[test]
fn kinds_are_sorted_and_example_and_schema_agree() {
    assert!(ALL.windows(2).all(|pair| pair[0].name() < pair[1].name()));
    for kind in ALL {
        assert!(kind.example().contains(&format!("use = \"{}\"", kind.name())));
        assert!(kind.summary().ends_with('.'));
        assert!(kind.parameters().get("properties").is_some());
    }
}

#[test]
fn a_data_set_stays_in_its_run_and_keeps_off_names_of_what_is_half_written() {
    for (folder, is_fine) in [
        ("dataset", true),
        ("a/b.parquet", true),
        ("../a", false),
        ("/a", false),
        ("a.old", false),
        ("a.partial/b", false),
    ] {
        let params = ParquetParams { folder: folder.to_owned(), ..ParquetParams::default() };
        assert_eq!(ParquetSink::new(params).is_ok(), is_fine, "{folder}");
    }
}

#[test]
fn row_groups_of_small_rows_have_more_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut number = 0;
    let mut groups = |columns: &[ColumnType]| {
        number += 1;
        let column =
            |(i, t): (usize, &ColumnType)| Column::new(&format!("c{i}"), t.clone(), "A column.");
        let schema = Schema::new("thing", 1, columns.iter().enumerate().map(column).collect());
        let sink = ParquetSink::new(ParquetParams::default()).expect("good parameters");
        let values = columns.iter().map(|t| match t {
            ColumnType::UInt32 => Values::numbers(vec![7u32; 2000]),
            ColumnType::FixedBinary(n) => Values::fixed_binary(*n, vec![vec![1u8; *n]; 2000]),
            _ => Values::binary(vec![[0u8; 1]; 2000]),
        });
        let rows = Batch::new(schema.clone(), values.collect()).expect("a batch");
        let path = folder.path().join(format!("{number}.parquet"));
        let mut file = sink.create(&path, &schema).expect("a file");
        file.write(&rows).expect("rows");
        file.finish().expect("a file");
        let bytes = bytes::Bytes::from(fs::read(&path).expect("a file"));
        ParquetReader::new(bytes).expect("Parquet").row_group_rows()[0]
    };
    use ColumnType as T;
    assert_eq!(groups(&[T::UInt32]), 1024, "tiny rows");
    assert_eq!(groups(&[T::FixedBinary(4096)]), 32, "a grid of 32^3");
    assert_eq!(groups(&[T::FixedBinary(1020), T::UInt32]), 128, "128 KiB");
    assert_eq!(groups(&[T::UInt32, T::Binary]), 32, "who knows how long");
}
