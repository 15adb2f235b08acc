//! Which samples lie together, and what changes when one comes or goes.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{Batch, MachineFault, PlannedFile, Random, Sink, Values, tables};

use super::{key_values, sink, splits};

/// Keys of these samples, sorted, in these splits.
fn keys(samples: &BTreeMap<String, &str>) -> Batch {
    let values = vec![
        Values::utf8(samples.keys().map(String::as_str)),
        Values::utf8(vec!["cup"; samples.len()]),
        Values::fixed_binary(32, vec![[0; 32]; samples.len()]),
        Values::utf8(samples.values().copied()),
    ];
    Batch::new(tables::split(), values).expect("a batch")
}

fn random_samples(count: usize, random: &mut Random) -> BTreeMap<String, &'static str> {
    let split = |random: &mut Random| ["train", "train", "val", "test"][random.below(4) as usize];
    let mut samples = BTreeMap::new();
    while samples.len() < count {
        samples.insert(format!("cup/{:016x}", random.bits()), split(random));
    }
    samples
}

fn plan(samples: &BTreeMap<String, &str>, rows_per_file: usize) -> Vec<PlannedFile> {
    sink(rows_per_file, 1).plan(&keys(samples)).expect("a plan")
}

/// Random samples and sizes of files, edge cases among them.
fn for_each_case(mut check: impl FnMut(&BTreeMap<String, &str>, usize)) {
    let mut random = Random::new(1, &["cutting"]);
    for count in [0, 1, 2, 3, 10, 100, 300, 1000] {
        let samples = random_samples(count, &mut random);
        for rows_per_file in [1, 2, 3, 4, 5, 8, 63, 64, 1 + random.below(200) as usize] {
            check(&samples, rows_per_file);
        }
    }
}

#[test]
fn every_sample_is_in_one_file_of_its_split() {
    for_each_case(|samples, rows_per_file| {
        let files = plan(samples, rows_per_file);
        assert!(files.is_sorted_by(|a, b| a.path < b.path), "{files:?}");
        let splits: Vec<&str> = samples.values().copied().collect();
        let mut seen = vec![0; samples.len()];
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for file in &files {
            let number = numbers.entry(&file.split).or_default();
            assert_eq!(file.path, format!("{}/part-{number:05}.parquet", file.split));
            *number += 1;
            assert!(file.rows.is_sorted_by(|a, b| a < b), "{file:?}");
            for row in &file.rows {
                assert_eq!(splits[*row as usize], file.split);
                seen[*row as usize] += 1;
            }
        }
        assert!(seen.iter().all(|times| *times == 1), "{rows_per_file} rows a file: {files:?}");
        for pair in files.windows(2).filter(|pair| pair[0].split == pair[1].split) {
            assert!(pair[0].rows.last() < pair[1].rows.first(), "{pair:?}");
        }
    });
}

#[test]
fn files_are_half_full_at_least_but_for_small_splits() {
    for_each_case(|samples, rows_per_file| {
        let files = plan(samples, rows_per_file);
        for file in &files {
            let of_split = samples.values().filter(|split| **split == file.split).count();
            let least = of_split.min(rows_per_file.div_ceil(2));
            assert!((least..=rows_per_file).contains(&file.rows.len()), "{file:?}");
        }
    });
}

#[test]
fn files_end_where_hashes_are_least() {
    for_each_case(|samples, rows_per_file| {
        let ids: Vec<&str> = samples.keys().map(String::as_str).collect();
        let files = plan(samples, rows_per_file);
        for split in ["train", "val", "test"] {
            let files = files.iter().filter(|file| file.split == split);
            let found: Vec<&[u32]> = files.map(|file| &file.rows[..]).collect();
            let rows = found.concat();
            let mut ends = BTreeSet::from([0, rows.len()]);
            let mut places: Vec<usize> = (0..rows.len()).collect();
            places.sort_by_key(|place| {
                let hash = blake3::hash(ids[rows[*place] as usize].as_bytes());
                u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes"))
            });
            // All at once, the least hash first, what the sink does piece by piece.
            for place in places {
                let before = ends.range(..=place).next_back().expect("an end");
                let Some(after) = ends.range(place + 1..).next() else { continue };
                let is_free = (place - before).min(after - place) >= rows_per_file.div_ceil(2);
                if is_free && after - before > rows_per_file {
                    ends.insert(place);
                }
            }
            let ends: Vec<usize> = ends.into_iter().collect();
            let expected: Vec<&[u32]> = ends.windows(2).map(|w| &rows[w[0]..w[1]]).collect();
            assert_eq!(found, expected, "{rows_per_file} rows a file");
        }
    });
}

/// Files by the ids of their samples.
fn files_by_ids(samples: &BTreeMap<String, &'static str>) -> BTreeSet<Vec<String>> {
    let ids: Vec<&String> = samples.keys().collect();
    let ids_of = |rows: Vec<u32>| rows.iter().map(|row| ids[*row as usize].clone()).collect();
    plan(samples, 64).into_iter().map(|file| ids_of(file.rows)).collect()
}

/// How many files there are with `more` that there were not, or the other way round.
fn changed_files(before: &BTreeSet<Vec<String>>, after: &BTreeSet<Vec<String>>) -> usize {
    before.difference(after).count().max(after.difference(before).count())
}

#[test]
fn a_sample_that_comes_or_goes_changes_few_files() {
    let mut random = Random::new(2, &["cutting"]);
    let mut samples = random_samples(5000, &mut random);
    let before = files_by_ids(&samples);
    let mut changes = Vec::new();
    for _ in 0..50 {
        let gone = random.below(5000) as usize;
        let gone = samples.keys().nth(gone).expect("a sample").clone();
        let split = samples.remove(&gone).expect("a sample");
        changes.push(changed_files(&before, &files_by_ids(&samples)));
        samples.insert(gone, split);
    }
    for (new, split) in random_samples(50, &mut random) {
        samples.insert(new.clone(), split);
        changes.push(changed_files(&before, &files_by_ids(&samples)));
        samples.remove(&new);
    }
    assert!(changes.iter().all(|changed| (1..=3).contains(changed)), "{changes:?}");
}

#[test]
fn without_a_split_all_rows_lie_together() {
    let keys = Batch::new(tables::key(), key_values(0..5)).expect("keys");
    let files = sink(100, 32).plan(&keys).expect("a plan");
    let all = PlannedFile {
        path: "all/part-00000.parquet".to_owned(),
        split: "all".to_owned(),
        rows: vec![0, 1, 2, 3, 4],
    };
    assert_eq!(files, [all]);
    assert_eq!(sink(100, 32).plan(&Batch::empty(tables::key())).expect("a plan"), []);
}

#[test]
fn keys_that_are_not_what_they_should_be_are_internal_faults() {
    let fault = |keys: &Batch| -> MachineFault { sink(4, 2).plan(keys).expect_err("no plan") };
    for order in [[0, 2, 1], [0, 1, 1]] {
        let error = fault(&splits(3).gather(&order));
        let expected = "internal error while a data set is made: sample `s001` is not in key order";
        assert_eq!(error.message, expected);
    }
    let samples = [("a".to_owned(), "train"), ("b".to_owned(), "training")].into();
    let error = fault(&keys(&samples));
    assert!(error.message.contains("there is no split `training` (there are: train,"), "{error}");
    let error = fault(&keys(&samples).project(&["split"]).expect("a column"));
    assert!(error.message.starts_with("internal error while a data set is made: "), "{error}");
}
