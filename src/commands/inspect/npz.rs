//! What is in an npz file: its arrays, each with shape and type.

use std::path::Path;

use serde_json::{Value, json};
use voxflow_formats::FormatError;
use voxflow_formats::npz::NpzFile;

use super::facts::Facts;
use super::grid::occupancy;
use crate::commands::convert::read;
use crate::error::Error;
use crate::terminal;

/// Looks at an npz file. An array that cannot be read is listed with the reason.
pub(super) fn npz(path: &Path) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let fault = |e: FormatError| Error::input("decode", path, e);
    let file = NpzFile::open(&bytes).map_err(fault)?;
    let mut facts = Facts::new("numpy archive");
    facts.add("bytes", bytes.len());
    let (mut arrays, mut rows) = (Vec::new(), Vec::new());
    for name in file.names() {
        let (entry, row) = match file.array(name) {
            Ok(array) => {
                let kind = array.data.type_name();
                let shape = format!("{:?}", array.shape);
                (
                    json!({ "name": name, "shape": array.shape, "type": kind }),
                    [shape, kind.to_owned()],
                )
            }
            Err(e) => (json!({ "name": name, "fault": e.message }), [String::new(), e.message]),
        };
        arrays.push(entry);
        rows.push([vec![format!("  {name}")], row.to_vec()].concat());
    }
    facts.add("number_of_arrays", arrays.len());
    facts.add("arrays", Value::Array(arrays));
    facts.more = terminal::table(&rows);
    if let Ok(grid) = file.only_grid(0.5) {
        occupancy(&mut facts, &grid);
    }
    Ok(facts)
}
