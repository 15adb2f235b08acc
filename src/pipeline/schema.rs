//! JSON Schema of pipelines and of operators' parameters, composed from the registry, for editors.

use serde_json::{Map, Value, json};
use voxflow_contract::{Inputs, Kind};

use crate::registry;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// JSON Schema of `pipelines/*.toml`: a stage's parameters follow from its `use`.
pub fn pipeline() -> Value {
    let mut definitions = Map::new();
    let stages: Vec<Value> =
        registry::kinds().into_iter().map(|kind| stage(kind, &mut definitions)).collect();
    json!({
        "$schema": DRAFT,
        "title": "voxflow pipeline",
        "type": "object",
        "additionalProperties": false,
        "required": ["pipeline", "stage"],
        "properties": {
            "pipeline": header(),
            "parameters": {
                "type": "object",
                "description": "Values that `--set name=value` changes; \"${name}\" refers to one.",
                "additionalProperties": {"anyOf": [parameter(), {"not": {"type": "object"}}]},
            },
            "profile": {
                "type": "object",
                "description": "Sets of values that `--set profile=NAME` gives to parameters, and under \
                                a stage's id to that stage.",
                "additionalProperties": {"type": "object"},
            },
            "stage": {"type": "array", "minItems": 1, "items": {"oneOf": stages}},
        },
        "$defs": definitions,
    })
}

/// The parameters of every operator, by name.
pub fn operators() -> Value {
    let kinds = registry::kinds();
    let all: Map<String, Value> = kinds
        .into_iter()
        .map(|kind| (kind.name().to_owned(), kind.parameters().to_value()))
        .collect();
    json!({"$schema": DRAFT, "title": "voxflow operators", "$defs": all})
}

fn header() -> Value {
    let seed = json!({
        "description": "Seed of everything random.",
        "anyOf": [{"type": "integer", "minimum": 0}, reference()],
        "default": 0,
    });
    let text = |doc: &str| json!({"type": "string", "description": doc});
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": text("Name of the pipeline."),
            "description": text("What it is for."),
            "seed": seed,
            "dataset": text("Id of a data set of datasets.toml; gives its source a root."),
        },
    })
}

fn parameter() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "help": {"type": "string", "description": "What it is for."},
            "default": {"description": "Value when nobody sets it; without one it must be set."},
            "required": {"const": true},
        },
    })
}

fn reference() -> Value {
    json!({"type": "string", "pattern": "\\$\\{[^}]+\\}"})
}

/// One stage: `use` is a constant, the rest are the kind's parameters, or references.
fn stage(kind: &dyn Kind, definitions: &mut Map<String, Value>) -> Value {
    let name = kind.name();
    let mut schema = kind.parameters().to_value();
    prefix_references(&mut schema, name);
    if let Some(Value::Object(own)) = schema.get_mut("$defs").map(Value::take) {
        definitions.extend(own.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
    }
    let mut properties = Map::new();
    properties.insert("use".to_owned(), json!({"const": name, "description": kind.summary()}));
    properties.insert("id".to_owned(), id());
    if kind.inputs() != Inputs::None {
        properties.insert("from".to_owned(), from());
    }
    let own = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.extend(own.into_iter().map(|(key, value)| (key, or_reference(value))));
    let mut required = vec![json!("use")];
    required.extend(schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    // A source's root may come from `[pipeline].dataset`.
    if kind.inputs() == Inputs::None {
        required.retain(|key| key != "root");
    }
    json!({
        "title": name,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn id() -> Value {
    json!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_][A-Za-z0-9_-]*$",
        "description": "Name of the stage; the value of `use` if left out.",
    })
}

fn from() -> Value {
    json!({
        "description": "Stages it reads from; the stage before it if left out.",
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
        ],
    })
}

/// Wherever a value may stand, so may a reference to one; text is fine already.
fn or_reference(mut value: Value) -> Value {
    if value.get("type").is_some_and(|kind| kind == "string") && value.get("enum").is_none() {
        return value;
    }
    let mut outer = Map::new();
    if let Some(map) = value.as_object_mut() {
        for key in ["description", "default"] {
            outer.extend(map.remove(key).map(|value| (key.to_owned(), value)));
        }
    }
    outer.insert("anyOf".to_owned(), json!([value, reference()]));
    Value::Object(outer)
}

/// Definitions of all kinds lie in one place, each under the name of its kind.
fn prefix_references(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => {
                        *target = target.replacen("#/$defs/", &format!("#/$defs/{prefix}."), 1);
                    }
                    _ => prefix_references(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prefix_references(item, prefix)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_stage_and_every_reference_leads_somewhere() {
        let schema = pipeline();
        let stages = schema["properties"]["stage"]["items"]["oneOf"].as_array().expect("stages");
        assert_eq!(stages.len(), registry::kinds().len());
        check_references(&schema, &schema);
    }

    fn check_references(root: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    let pointer = target.trim_start_matches('#');
                    assert!(root.pointer(pointer).is_some(), "{target} leads nowhere");
                }
                map.values().for_each(|value| check_references(root, value));
            }
            Value::Array(items) => items.iter().for_each(|item| check_references(root, item)),
            _ => {}
        }
    }
}
