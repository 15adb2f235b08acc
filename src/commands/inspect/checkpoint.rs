//! What is in a checkpoint: its manifest, its files, the tensors of its weights.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::facts::Facts;
use crate::commands::convert::read;
use crate::error::Error;
use crate::terminal;

/// Longest header of a safetensors file that is read.
const MAX_HEADER_BYTES: u64 = 100 << 20;

/// Looks at a checkpoint folder.
pub(super) fn folder(path: &Path) -> Result<Facts, Error> {
    let path = newest_below(path)?;
    let (path, files) = (path.as_path(), files(&path)?);
    let with = |extension: &str| {
        files.iter().filter(|f| f.extension().is_some_and(|e| e == extension)).collect::<Vec<_>>()
    };
    let (manifests, weights) = (with("json"), with("safetensors"));
    if manifests.is_empty() || weights.is_empty() {
        let message = "the folder is no checkpoint: it lacks a manifest (*.json) or weights \
                       (*.safetensors)";
        return Err(Error::input("inspect", path, message));
    }
    let mut facts = Facts::new("checkpoint");
    facts.add("folder", path.display().to_string());
    for manifest in manifests {
        let bytes = read(manifest)?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|e| Error::input("decode", manifest, e))?;
        match value {
            Value::Object(fields) => fields.iter().for_each(|(k, v)| add_flat(&mut facts, k, v)),
            other => facts.add(&stem(manifest), other),
        }
    }
    for file in weights {
        facts.more += &format!("{}\n{}", stem(file), tensors_text(&header(file)?));
    }
    Ok(facts)
}

/// Looks at a file of weights.
pub(super) fn safetensors(path: &Path) -> Result<Facts, Error> {
    let header = header(path)?;
    let mut facts = Facts::new("weights");
    let tensors = tensors(&header);
    facts.add("tensors", tensors.len());
    facts.add("numbers", tensors.iter().map(|t| t.numbers).sum::<u64>());
    if let Some(Value::Object(metadata)) = header.get("__metadata__") {
        metadata.iter().for_each(|(key, value)| facts.add(key, value.clone()));
    }
    facts.more = tensors_text(&header);
    Ok(facts)
}

/// Tables inside the manifest become dotted names, two deep, so that they show as lines.
fn add_flat(facts: &mut Facts, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(key, value)| facts.add(&format!("{name}.{key}"), value.clone()));
        }
        other => facts.add(name, other.clone()),
    }
}

struct Tensor {
    name: String,
    shape: String,
    numbers: u64,
}

fn tensors(header: &Map<String, Value>) -> Vec<Tensor> {
    let tensor = |(name, value): (&String, &Value)| {
        let shape: Vec<u64> =
            value.get("shape")?.as_array()?.iter().filter_map(Value::as_u64).collect();
        let kind = value.get("dtype").and_then(Value::as_str).unwrap_or("?");
        let numbers = shape.iter().product();
        Some(Tensor { name: name.clone(), shape: format!("{kind} {shape:?}"), numbers })
    };
    let mut tensors: Vec<_> = header.iter().filter_map(tensor).collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

fn tensors_text(header: &Map<String, Value>) -> String {
    let rows = tensors(header).into_iter().map(|tensor| {
        vec![format!("  {}", tensor.name), tensor.shape, terminal::thousands(tensor.numbers)]
    });
    terminal::table(&rows.collect::<Vec<_>>())
}

/// A safetensors file begins with the length of its header, then the header as JSON.
fn header(path: &Path) -> Result<Map<String, Value>, Error> {
    let mut file = File::open(path).map_err(|e| Error::input("read", path, e))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| Error::input("read", path, e))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return Err(Error::input("decode", path, "its header is too long for safetensors"));
    }
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(|e| Error::input("read", path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::input("decode", path, e))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fault = |e: std::io::Error| Error::input("read", folder, e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        files.push(entry.map_err(fault)?.path());
    }
    files.sort();
    Ok(files)
}

/// A stage's folder holds one checkpoint an epoch, `epoch-0001`, ...: its newest, or else the folder
/// itself.
fn newest_below(path: &Path) -> Result<PathBuf, Error> {
    let is_checkpoint = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && folder.join("manifest.json").is_file()
    };
    let newest = files(path)?.into_iter().rfind(is_checkpoint);
    Ok(newest.unwrap_or_else(|| path.to_owned()))
}

fn stem(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tensor of 2 x 3 numbers, as safetensors lays it out.
    fn weights() -> Vec<u8> {
        let header = r#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 24]);
        bytes
    }

    #[test]
    fn the_newest_checkpoint_of_a_stage_is_shown() {
        let stage = tempfile::tempdir().expect("a folder");
        for epoch in [1, 2] {
            let folder = stage.path().join(format!("epoch-000{epoch}"));
            std::fs::create_dir(&folder).expect("writable");
            let manifest = format!("{{\"epoch\": {epoch}, \"seed\": {{\"value\": 7}}}}");
            std::fs::write(folder.join("manifest.json"), manifest).expect("writable");
            std::fs::write(folder.join("model.safetensors"), weights()).expect("writable");
        }
        let facts = folder(stage.path()).unwrap_or_else(|e| panic!("{e}"));
        let json = facts.to_json(stage.path());
        assert_eq!((&json["epoch"], &json["seed.value"]), (&Value::from(2), &Value::from(7)));
        assert!(facts.more.contains("F32 [2, 3]"), "{}", facts.more);
    }

    #[test]
    fn other_folders_are_no_checkpoints() {
        let empty = tempfile::tempdir().expect("a folder");
        assert!(folder(empty.path()).is_err());
    }
}
