//! Samples into files: which of them lie together.

use std::collections::BTreeMap;

use voxflow_contract::{Batch, MachineFault, PlannedFile};

use crate::fault::internal;

/// Folder of all rows where nothing splits them.
const UNSPLIT: &str = "all";
const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Cuts the samples of each split into files of at most `rows_per_file` rows; see `Sink::plan`.
///
/// As long as there are more rows together, they are cut in two, at least half of `rows_per_file`,
/// rounded up, from either end, before the sample with the least hash: the first 8 bytes,
/// little-endian, of the BLAKE3 of its id. As hashes say where files end, and not how many samples
/// came before, a sample that comes or goes moves the cuts near to it at most.
pub(crate) fn plan(keys: &Batch, rows_per_file: usize) -> Result<Vec<PlannedFile>, MachineFault> {
    let samples: Vec<&str> = keys.utf8("sample").map_err(internal)?.values_iter().collect();
    if let Some(pair) = samples.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(internal(format!("sample `{}` is not in key order", pair[1])));
    }
    let hashes: Vec<u64> = samples.iter().map(|sample| hash(sample)).collect();
    let mut files = Vec::new();
    for (split, rows) in rows_of_splits(keys)? {
        for (number, rows) in cut(&rows, &hashes, rows_per_file).into_iter().enumerate() {
            let path = format!("{split}/part-{number:05}.parquet");
            files.push(PlannedFile { path, split: split.to_owned(), rows: rows.to_vec() });
        }
    }
    // Beyond 99999 files the order of the numbers is not that of the paths.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The rows of each split that has any, in key order.
fn rows_of_splits(keys: &Batch) -> Result<BTreeMap<&str, Vec<u32>>, MachineFault> {
    let rows = u32::try_from(keys.rows()).map_err(internal)?;
    if keys.schema().column("split").is_none() {
        let all = (rows > 0).then(|| (UNSPLIT, (0..rows).collect()));
        return Ok(all.into_iter().collect());
    }
    let mut rows_of_split: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let splits = keys.utf8("split").map_err(internal)?;
    for (row, split) in (0..rows).zip(splits.values_iter()) {
        if !SPLITS.contains(&split) {
            let there_are = SPLITS.join(", ");
            return Err(internal(format!("there is no split `{split}` (there are: {there_are})")));
        }
        rows_of_split.entry(split).or_default().push(row);
    }
    Ok(rows_of_split)
}

/// The rows of each file, in order.
fn cut<'a>(rows: &'a [u32], hashes: &[u64], rows_per_file: usize) -> Vec<&'a [u32]> {
    let least = rows_per_file.div_ceil(2);
    let (mut files, mut uncut) = (Vec::new(), vec![rows]);
    while let Some(rows) = uncut.pop() {
        // More rows than fit are always enough for two files that are half full.
        let places = if rows.len() > rows_per_file { least..rows.len() - least + 1 } else { 0..0 };
        match places.min_by_key(|place| hashes[rows[*place] as usize]) {
            Some(place) => uncut.extend([&rows[place..], &rows[..place]]),
            None => files.push(rows),
        }
    }
    files
}

fn hash(sample: &str) -> u64 {
    let mut first_bytes = [0; 8];
    first_bytes.copy_from_slice(&blake3::hash(sample.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first_bytes)
}
