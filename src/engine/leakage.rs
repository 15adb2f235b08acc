//! Leakage: samples that are the same, and those of them that a split keeps apart.

use std::collections::HashMap;

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
    let mut known: HashMap<&[u8], (u64, Option<&str>, bool)> = HashMap::new();
    for row in 0..keys.rows() {
        let split = splits.map(|splits| splits.value(row));
        let (samples, first, leaks) = known.entry(hashes.value(row)).or_insert((0, split, false));
        *samples += 1;
        *leaks |= *first != split;
    }
    let mut all = Duplicates { of: column.to_owned(), values: 0, samples: 0, leaking: 0 };
    // Sums do not depend on the order.
    for (samples, _, leaks) in known.into_values().filter(|(samples, ..)| *samples > 1) {
        all.values += 1;
        all.samples += samples;
        all.leaking += u64::from(leaks);
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
