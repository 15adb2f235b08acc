//! Fingerprints: hashes that change whenever the same data would give other rows.

use serde_json::Value;
use voxflow_contract::Kind;

/// The fingerprint of a stage: of its kind's name and version, its parameters, the seed of the
/// pipeline, and the fingerprints of what it reads from, in order.
pub fn stage(kind: &dyn Kind, params: &Value, seed: u64, inputs: &[&str]) -> String {
    let mut parts = vec![
        "voxflow stage 1".to_owned(),
        kind.name().to_owned(),
        kind.version().to_string(),
        canonical(params),
        seed.to_string(),
    ];
    parts.extend(inputs.iter().map(|input| (*input).to_owned()));
    of_parts(&parts)
}

/// What the rows of a stage depend on beside the samples themselves: as [`stage`], but of a source
/// only the kind and its version. Which samples it lists, and from where, is said by the samples: their
/// ids, classes, paths and contents.
pub fn rows(kind: &dyn Kind, params: &Value, seed: u64, inputs: &[&str]) -> String {
    if !inputs.is_empty() {
        return stage(kind, params, seed, inputs);
    }
    of_parts(&["voxflow source 1", kind.name(), &kind.version().to_string()])
}

/// What the files of a data set depend on of a keyed stage beside what it says of their rows, which counts
/// with each file: only the kind and its version.
pub fn keyed(kind: &dyn Kind) -> String {
    of_parts(&["voxflow keyed 1", kind.name(), &kind.version().to_string()])
}

/// The hash of several texts, each with its length, in hexadecimal.
pub fn of_parts<T: AsRef<str>>(parts: &[T]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let part = part.as_ref().as_bytes();
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

/// A value as JSON text that does not depend on the order of keys.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let (a, b) = (
            json!({"x": [1, {"b": 2, "a": 3}], "a": "t"}),
            json!({"a": "t", "x": [1, {"a": 3, "b": 2}]}),
        );
        assert_eq!(canonical(&a), canonical(&b));
        assert_eq!(canonical(&a), r#"{"a":"t","x":[1,{"a":3,"b":2}]}"#);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(of_parts(&["ab", "c"]), of_parts(&["a", "bc"]));
    }
}
