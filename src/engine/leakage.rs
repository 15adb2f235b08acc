//! Leakage: samples that are the same, and those of them that a split keeps apart.

use voxflow_contract::{Batch, BatchError};

/// What a data set has of the same samples.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Duplicates {
    /// What is the same: `content`, the bytes that samples were made from, or a column.
    pub of: String,
    /// Values that several samples have.
    pub values: u64,
    /// Samples that have one of those.
    pub samples: u64,
    /// Values that lie in several splits: what is tested was trained on.
    pub leaking: u64,
}

/// Counts samples of the same `column`, a column of hashes of `keys`, by what `splits` says of them.
///
/// # Errors
/// When a column is missing.
pub(crate) fn duplicates(
    keys: &Batch,
    column: &str,
    splits: Option<&Batch>,
) -> Result<Duplicates, BatchError> {
    let hashes = keys.fixed_binary(column)?;
    let splits = splits.map(|said| said.utf8("split")).transpose()?;
    // Of hashes the first bytes tell nearly all apart, and numbers are sorted fast.
    let first = |row: &u32| {
        let first = hashes.value(*row as usize).first_chunk();
        first.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    };
    let rows = u32::try_from(keys.rows()).unwrap_or(u32::MAX);
    let mut sorted: Vec<(u64, u32)> = (0..rows).map(|row| (first(&row), row)).collect();
    let value = |row: u32| hashes.value(row as usize);
    sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| value(a.1).cmp(value(b.1))));
    let mut all = Duplicates { of: column.to_owned(), values: 0, samples: 0, leaking: 0 };
    let same = sorted.chunk_by(|a, b| a.0 == b.0 && value(a.1) == value(b.1));
    for same in same.filter(|same| same.len() > 1) {
        let mut of_rows = same.iter().map(|(_, row)| splits.map(|s| s.value(*row as usize)));
        let first = of_rows.next();
        all.values += 1;
        all.samples += same.len() as u64;
        all.leaking += u64::from(of_rows.any(|split| Some(split) != first));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::{Column, ColumnType, Schema, Values, tables};

    #[test]
    fn what_is_the_same_is_counted_and_what_leaks() {
        let contents = [1u8, 1, 2, 3, 3, 3, 4].map(|i| [i; 32]);
        let values = vec![
            Values::utf8(["a", "b", "c", "d", "e", "f", "g"]),
            Values::utf8(["x"; 7]),
            Values::fixed_binary(32, contents),
        ];
        let keys = Batch::new(tables::key(), values).expect("keys");
        let schema = Schema::new("s", 1, vec![Column::new("split", ColumnType::Utf8, "Split.")]);
        let said = ["train", "train", "test", "train", "test", "train", "val"];
        let splits = Batch::new(schema, vec![Values::utf8(said)]).expect("splits");
        let found = duplicates(&keys, "content", Some(&splits)).expect("columns");
        assert_eq!((found.values, found.samples, found.leaking), (2, 5, 1));
        let found = duplicates(&keys, "content", None).expect("columns");
        assert_eq!((found.values, found.samples, found.leaking), (2, 5, 0));
    }
}
