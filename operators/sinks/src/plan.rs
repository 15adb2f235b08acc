//! Samples into files: which of them lie together.

use std::collections::BTreeMap;

use voxflow_contract::{Batch, FilePolicy, MachineFault, PlannedFile};

use crate::fault::internal;

const SPLITS: [&str; 3] = ["train", "val", "test"];

/// Cuts the samples of each split into files; see [`FilePolicy`].
pub(crate) fn plan(keys: &Batch, policy: FilePolicy) -> Result<Vec<PlannedFile>, MachineFault> {
    let samples = keys.utf8("sample").map_err(internal)?;
    let pairs = samples.values_iter().zip(samples.values_iter().skip(1));
    if let Some((_, late)) = pairs.into_iter().find(|(before, after)| before >= after) {
        return Err(internal(format!("sample `{late}` is not in key order")));
    }
    let mut files = Vec::new();
    for (split, rows) in rows_of_splits(keys)? {
        let hash = |row: &u32| FilePolicy::hash(samples.value(*row as usize));
        let hashes: Vec<u64> = rows.iter().map(hash).collect();
        for (number, file) in policy.cut(&hashes).into_iter().enumerate() {
            let (path, split) = (FilePolicy::path(split, number), split.to_owned());
            files.push(PlannedFile { path, split, rows: rows[file].to_vec() });
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
        let all = (rows > 0).then(|| (FilePolicy::UNSPLIT, (0..rows).collect()));
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
