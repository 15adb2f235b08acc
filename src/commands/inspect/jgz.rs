//! What is in a gzipped JSON array: how many records, and which keys they have.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use voxflow_formats::jgz as format;

use super::facts::Facts;
use crate::error::Error;
use crate::terminal;

/// Looks at all records of a `.jgz` file, one at a time.
pub(super) fn jgz(path: &Path) -> Result<Facts, Error> {
    let file = File::open(path).map_err(|e| Error::input("read", path, e))?;
    let bytes = file.metadata().map_err(|e| Error::input("read", path, e))?.len();
    let mut facts = Facts::new("gzipped JSON records");
    facts.add("bytes", bytes);
    let (mut count, mut first) = (0_u64, Value::Null);
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    for record in format::records::<Value, _>(file) {
        let record = record.map_err(|e| Error::input("decode", path, e))?;
        for key in record.as_object().into_iter().flat_map(|fields| fields.keys()) {
            match keys.get_mut(key) {
                Some(times) => *times += 1,
                None => {
                    keys.insert(key.clone(), 1);
                }
            }
        }
        if count == 0 {
            first = record;
        }
        count += 1;
    }
    facts.add("records", count);
    let rows =
        keys.iter().map(|(key, times)| vec![format!("  {key}"), terminal::thousands(*times)]);
    facts.more = terminal::table(&rows.collect::<Vec<_>>());
    facts.add("keys", json!(keys));
    facts.add("first_record", first);
    Ok(facts)
}
