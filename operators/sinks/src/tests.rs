//! The sink against itself: any cut of the rows, any failure.

use std::fs;
use std::path::{Path, PathBuf};

use voxflow_contract::{
    Batch, BuildContext, Column, ColumnType, Committed, Kind, Params, Schema, Sink, Stage, Values,
    tables,
};
use voxflow_formats::parquet::ParquetReader;

use super::*;

fn sample(i: usize) -> String {
    format!("s{i:03}")
}

fn keys(rows: std::ops::Range<usize>) -> Vec<Values> {
    let contents = rows.clone().map(|i| [i as u8; 32]);
    let category = vec!["cup"; rows.len()];
    vec![Values::utf8(rows.map(sample)), Values::utf8(category), Values::fixed_binary(32, contents)]
}

fn batch(rows: std::ops::Range<usize>) -> Batch {
    let mut columns = tables::key().columns().to_vec();
    columns.push(Column::new("size", ColumnType::UInt32, "A size."));
    columns.push(Column::new("bytes", ColumnType::Binary, "Some bytes."));
    let mut values = keys(rows.clone());
    values.push(Values::numbers(rows.clone().map(|i| i as u32).collect()));
    values.push(Values::binary(rows.map(|i| vec![i as u8; i % 5])));
    Batch::new(Schema::new("thing", 1, columns), values).expect("a batch")
}

fn split_of(i: usize) -> &'static str {
    ["train", "test", "train", "val", "train"][i % 5]
}

fn splits(rows: usize) -> Batch {
    let mut values = keys(0..rows);
    values.push(Values::utf8((0..rows).map(split_of)));
    Batch::new(tables::split(), values).expect("a batch")
}

fn sink(rows_per_file: usize, row_group_rows: usize) -> ParquetSink {
    let params = ParquetParams { rows_per_file, row_group_rows, ..Default::default() };
    ParquetSink::new(params).expect("good parameters")
}

/// Writes rows 0..cuts.last() in parts that end at the cuts, and commits them.
fn commit(sink: &ParquetSink, folder: &Path, cuts: &[usize], late: &Batch) -> Committed {
    let parts = parts(sink, folder, cuts);
    sink.commit(&parts, late, &folder.join("dataset")).expect("committed")
}

fn parts(sink: &ParquetSink, folder: &Path, cuts: &[usize]) -> Vec<PathBuf> {
    let mut start = 0;
    let mut parts = Vec::new();
    for end in cuts {
        let path = folder.join(format!("{start}.parquet"));
        sink.write(&path, &batch(start..*end)).expect("written");
        parts.push(path);
        start = *end;
    }
    parts
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
    let committed = commit(&sink(4, 3), folder.path(), &[9, 20], &splits(20));
    let paths: Vec<_> = committed.files.iter().map(|f| (f.path.as_str(), f.rows)).collect();
    assert_eq!(
        paths,
        [
            ("test/part-00000.parquet", 4),
            ("train/part-00000.parquet", 4),
            ("train/part-00001.parquet", 4),
            ("train/part-00002.parquet", 4),
            ("val/part-00000.parquet", 4),
        ]
    );
    assert_eq!(committed.splits["train"], 12);
    let mut found = Vec::new();
    for file in committed.files.iter().filter(|f| f.path.starts_with("train")) {
        let bytes = fs::read(folder.path().join("dataset").join(&file.path)).expect("a file");
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), file.blake3);
        assert_eq!(bytes.len() as u64, file.bytes);
        let reader = ParquetReader::new(bytes::Bytes::from(bytes)).expect("Parquet");
        assert_eq!(reader.row_group_rows(), [3, 1]);
        assert!(reader.schema().metadata()["huggingface"].contains("fixed_size_binary[32]"));
        let rows = reader.read_all().expect("rows");
        assert!(rows.utf8("split").expect("split").values_iter().all(|split| split == "train"));
        found.extend(rows.utf8("sample").expect("sample").values_iter().map(str::to_owned));
    }
    let expected: Vec<_> = (0..20).filter(|i| split_of(*i) == "train").map(sample).collect();
    assert_eq!(found, expected);
    assert_eq!(names_in(folder.path()), ["0.parquet", "9.parquet", "dataset"]);
}

#[test]
fn bytes_do_not_depend_on_the_parts() {
    let expected = tempfile::tempdir().expect("a folder");
    let expected = commit(&sink(7, 3), expected.path(), &[50], &splits(50));
    for cuts in [vec![1, 2, 3, 50], vec![10, 20, 30, 40, 50], (1..=50).collect()] {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(commit(&sink(7, 3), folder.path(), &cuts, &splits(50)), expected);
    }
}

#[test]
fn without_a_split_all_rows_lie_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let late = Batch::new(tables::key(), keys(0..5)).expect("keys");
    let committed = commit(&sink(100, 32), folder.path(), &[5], &late);
    assert_eq!(committed.splits, [("all".to_owned(), 5)].into());
    assert_eq!(committed.files[0].path, "all/part-00000.parquet");
}

#[test]
fn an_older_data_set_is_replaced_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    commit(&sink(1, 1), folder.path(), &[20], &splits(20));
    commit(&sink(100, 32), folder.path(), &[2], &splits(2));
    assert_eq!(names_in(&folder.path().join("dataset")), ["test", "train"]);
    assert_eq!(names_in(&folder.path().join("dataset/train")), ["part-00000.parquet"]);
    assert!(names_in(folder.path()).iter().all(|name| !name.contains(".old")));
}

#[test]
fn a_failed_commit_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = sink(4, 2);
    commit(&sink, folder.path(), &[6], &splits(6));
    let before = names_in(&folder.path().join("dataset/train"));
    let parts = parts(&sink, folder.path(), &[3, 9]);
    let dataset = folder.path().join("dataset");

    let error = sink.commit(&parts, &splits(6), &dataset).expect_err("sample s006 is not told of");
    assert!(error.message.contains("no keyed stage was told of sample `s006`"), "{error}");
    let backwards: Vec<_> = parts.iter().rev().cloned().collect();
    let error = sink.commit(&backwards, &splits(9), &dataset).expect_err("not in key order");
    assert!(error.message.contains("not in key order"), "{error}");
    fs::write(&parts[1], b"PAR1 not really PAR1").expect("damage");
    let error = sink.commit(&parts, &splits(9), &dataset).expect_err("a damaged part");
    assert!(error.message.ends_with("3.parquet"), "{error}");

    assert_eq!(names_in(&dataset.join("train")), before);
    assert_eq!(names_in(folder.path()), ["0.parquet", "3.parquet", "dataset"]);
}

#[test]
fn a_part_is_there_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = sink(4, 2);
    let path = folder.path().join("part");
    sink.write(&path, &batch(0..3)).expect("written");
    sink.write(&path, &batch(0..3)).expect("written again");
    assert_eq!(names_in(folder.path()), ["part"]);
    let error = sink.write(&folder.path().join("none/part"), &batch(0..3)).expect_err("no folder");
    assert!(error.message.starts_with("cannot create: "), "{error}");
}

#[test]
fn the_keys_of_a_part_are_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    for rows in [0, 1, 9] {
        let sink = sink(4, 2);
        let path = folder.path().join("part");
        sink.write(&path, &batch(0..rows)).expect("written");
        let expected = Batch::new(tables::key(), keys(0..rows)).expect("keys");
        assert_eq!(sink.read_keys(&path).expect("keys"), expected);
    }
    let error = sink(4, 2).read_keys(&folder.path().join("none")).expect_err("no part");
    assert!(error.message.starts_with("cannot open: "), "{error}");
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
