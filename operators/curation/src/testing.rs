//! Keys of samples for tests, and what is said of them.

use voxflow_contract::{Batch, ContentHash, Keyed, Values, tables};

use crate::split::SPLITS;

/// A sample: id, class, content.
pub(crate) type Row = (String, String, String);

/// The keys of samples.
pub(crate) fn batch(rows: &[Row]) -> Batch {
    let hashes = rows.iter().map(|row| *ContentHash::of(row.2.as_bytes()).as_bytes());
    let values = vec![
        Values::utf8(rows.iter().map(|row| &row.0)),
        Values::utf8(rows.iter().map(|row| &row.1)),
        Values::fixed_binary(ContentHash::LEN, hashes),
    ];
    Batch::new(tables::key(), values).expect("a key batch")
}

/// Samples of a class, no two of them alike.
pub(crate) fn unlike(class: &str, count: usize) -> Vec<Row> {
    (0..count)
        .map(|i| (format!("{class}/{i:05}"), class.to_owned(), format!("{class}{i}")))
        .collect()
}

/// The number of the part of each sample.
pub(crate) fn splits_of(keyed: &dyn Keyed, rows: &[Row]) -> Vec<u8> {
    let said = keyed.assign(&batch(rows)).expect("a split");
    assert_eq!(said.schema(), &tables::split());
    let splits = said.utf8("split").expect("split").values_iter();
    let number = |name: &str| SPLITS.iter().position(|split| *split == name).expect("a part") as u8;
    splits.map(number).collect()
}
