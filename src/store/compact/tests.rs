//! Compaction loses no row, refusal or lifted refusal, whoever reads meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Map;
use voxflow_contract::{Batch, ContentHash, Refusal, Values, tables};

use super::super::{RowReader, Store, verify};
use super::*;
use crate::store::StageFacts;

/// Rows, and shards, since there is one for each: few, as each is forced to disk.
const FEW: u8 = 12;
/// So many that it pays.
const MANY: u8 = 200;

fn facts() -> StageFacts {
    StageFacts {
        fingerprint: "0123456789abcdef0123456789abcdef".to_owned(),
        kind: "voxelize".to_owned(),
        version: 1,
        parameters: Map::new(),
        seed: 0,
        inputs: Vec::new(),
    }
}

fn key(row: u8) -> RowKey {
    RowKey([row; 16])
}

fn row(row: u8) -> Batch {
    let content = ContentHash::of(&[row]);
    let values = vec![
        Values::utf8([format!("sample {row}")]),
        Values::utf8(["chair"]),
        Values::fixed_binary(ContentHash::LEN, [*content.as_bytes()].into_iter()),
    ];
    Batch::new(tables::key(), values).expect("a row")
}

fn refusal(attempt: u32) -> Refusal {
    Refusal {
        stage: "voxelize".to_owned(),
        sample: "a".to_owned(),
        code: "empty".to_owned(),
        message: format!("no triangles, attempt {attempt}"),
        path: None,
        offset: None,
        attempt,
        seconds: 0.0,
    }
}

/// A stage with a shard for each row, refusals of two attempts, and three files of lifted refusals.
fn scattered(store: &Store, rows: u8) -> StageStore {
    let mut stage = store.stage(&facts()).expect("a stage");
    let writer = StageWriter::new(&stage, Duration::ZERO);
    for number in 0..rows {
        writer.append(&row(number), vec![key(number)]).expect("written");
    }
    for (attempt, sample) in [(1, 250), (2, 250), (1, 251), (1, 252), (1, 253)] {
        writer.refuse(vec![(key(sample), refusal(attempt))]).expect("written");
    }
    stage.refresh().expect("read");
    for sample in [251, 252, 253] {
        assert_eq!(stage.lift(&[key(sample)]).expect("lifted"), 1);
    }
    stage
}

fn compact(store: &Store, stage: &StageStore) -> Option<Compacted> {
    let turn = store.take_turn(&[&facts()], || false).expect("a turn").expect("nobody has it");
    stage.compact(Bounds::ALL, &turn).expect("compacted")
}

/// All that the stage says, read out of its files.
fn all_of(stage: &StageStore) -> Vec<String> {
    let mut reader = RowReader::new(stage);
    let mut all = Vec::new();
    for number in 0..=u8::MAX {
        if let Some(place) = stage.place(&key(number)) {
            let bytes = reader.read(&[place]).expect("a row").encode().expect("bytes");
            all.push(format!("{number}: {}", blake3::hash(&bytes)));
        }
        let (refusal, lifted) = (stage.refusal(&key(number)), stage.attempts(&key(number)));
        all.extend(refusal.map(|refusal| format!("{number}: {refusal:?}")));
        all.extend((lifted > 0).then(|| format!("{number}: lifted {lifted}")));
    }
    all
}

fn files(home: &Path, extension: &str) -> Vec<PathBuf> {
    let folder = home.join("store/rows").join(facts().fingerprint);
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn counts(home: &Path) -> [usize; 4] {
    ["parquet", "shard", "lifted", "replaced"].map(|extension| files(home, extension).len())
}

#[test]
fn many_small_shards_become_one_and_say_the_same() {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(home.path()).expect("a store");
    let stage = scattered(&store, MANY);
    let before = all_of(&stage);
    assert_eq!(before.len(), usize::from(MANY) + 1 + 3);
    assert_eq!(counts(home.path()), [200, 205, 3, 0]);
    assert_eq!(stage.worth_compacting().map(|bounds| bounds.smaller_than), Some(1 << 20));

    let done = compact(&store, &stage).expect("something was done");
    assert_eq!((done.shards_before, done.shards_after), (205, 1));
    assert!(done.bytes_after < done.bytes_before / 10, "{done:?}");
    assert_eq!(all_of(&stage), before, "who had it open reads on");
    let other = Store::open(home.path()).expect("a store");
    let fresh = other.stage(&facts()).expect("a stage");
    assert_eq!((fresh.shards(), all_of(&fresh)), (1, before.clone()), "who comes passes over");
    assert_eq!(counts(home.path()), [201, 206, 4, 1], "nothing goes while others may read it");
    assert!(compact(&other, &fresh).is_none(), "there is nothing more to do");

    drop((store, stage, other, fresh));
    let store = Store::open(home.path()).expect("a store");
    assert_eq!(counts(home.path()), [1, 1, 1, 0], "who is alone removes what was replaced");
    let stage = store.stage(&facts()).expect("a stage");
    assert_eq!(all_of(&stage), before);
    assert!(stage.worth_compacting().is_none());
    assert_eq!(verify(home.path(), &mut |_| {}).expect("read"), []);
}

#[test]
fn a_damaged_shard_stays_for_verify_to_find() {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(home.path()).expect("a store");
    let stage = scattered(&store, FEW);
    let (of_data, of_keys) = (files(home.path(), "parquet"), files(home.path(), "shard"));
    let is_other = |keys: &&PathBuf| keys.with_extension("parquet") != of_data[0];
    let keys = of_keys.iter().find(is_other).expect("another shard");
    for path in [&of_data[0], keys] {
        let mut bytes = fs::read(path).expect("bytes");
        bytes[100] ^= 1;
        fs::write(path, bytes).expect("written");
    }
    let done = compact(&store, &stage).expect("something was done");
    assert_eq!(done.shards_before, usize::from(FEW) + 5 - 2);
    drop((store, stage));
    let store = Store::open(home.path()).expect("a store");
    assert_eq!(counts(home.path())[1], 3, "the new one and both damaged ones");
    let damage = verify(home.path(), &mut |_| {}).expect("read");
    let damaged: BTreeSet<&PathBuf> = damage.iter().map(|damage| &damage.path).collect();
    assert_eq!(damaged, BTreeSet::from([&of_data[0], keys]));
    assert!(
        store.stage(&facts()).expect("a stage").rows() >= usize::from(FEW) - 2,
        "no other row is lost"
    );
}

#[test]
fn what_took_the_place_of_others_and_is_gone_has_not_taken_it() {
    let home = tempfile::tempdir().expect("a folder");
    let store = Store::open(home.path()).expect("a store");
    let stage = scattered(&store, FEW);
    let before = all_of(&stage);
    let old: BTreeSet<PathBuf> = files(home.path(), "shard").into_iter().collect();
    compact(&store, &stage).expect("something was done");
    let new = files(home.path(), "shard").into_iter().find(|path| !old.contains(path));
    fs::remove_file(new.expect("a new one")).expect("removed");
    drop(stage);
    assert_eq!(all_of(&store.stage(&facts()).expect("a stage")), before, "the old ones count");
    drop(store);
    let store = Store::open(home.path()).expect("a store");
    assert_eq!(counts(home.path())[1], usize::from(FEW) + 5, "and stay");
    assert_eq!(all_of(&store.stage(&facts()).expect("a stage")), before);
}

#[test]
fn compactions_follow_each_other_while_others_read() {
    let home = tempfile::tempdir().expect("a folder");
    let reading = Store::open(home.path()).expect("a store");
    let first = scattered(&reading, FEW);
    let before = all_of(&first);
    for round in 0..3u8 {
        let store = Store::open(home.path()).expect("a store");
        let mut stage = store.stage(&facts()).expect("a stage");
        let writer = StageWriter::new(&stage, Duration::ZERO);
        writer.append(&row(FEW + round), vec![key(FEW + round)]).expect("written");
        stage.refresh().expect("read");
        let done = compact(&store, &stage).expect("something was done");
        assert_eq!(done.shards_after, 1, "round {round}");
        let fresh = store.stage(&facts()).expect("a stage");
        assert_eq!((fresh.shards(), counts(home.path())[3]), (1, 1), "round {round}");
        assert_eq!(all_of(&fresh).len(), before.len() + usize::from(round) + 1);
    }
    assert_eq!(all_of(&first), before, "who had it open reads on");
    drop((reading, first));
    drop(Store::open(home.path()).expect("a store"));
    assert_eq!(counts(home.path()), [1, 1, 1, 0]);
}
