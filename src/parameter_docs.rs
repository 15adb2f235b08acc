//! The parameters of a kind as its JSON Schema tells them: names, types, defaults, sentences.

use serde_json::Value;
use voxflow_contract::Kind;

/// One parameter of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// Name.
    pub(crate) name: String,
    /// Type, for people: `integer, 1 to 512`, `"surface" | "solid"`.
    pub(crate) type_text: String,
    /// Value it has when it is not given.
    pub(crate) default: Option<Value>,
    /// Whether it must be given.
    pub(crate) is_required: bool,
    /// What it is for.
    pub(crate) doc: String,
}

/// The parameters of `kind`, in the order they are declared.
pub(crate) fn of(kind: &dyn Kind) -> Vec<Parameter> {
    let schema = kind.parameters().to_value();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let parameter = |(name, property): (&String, &Value)| Parameter {
        name: name.clone(),
        type_text: type_text(property, &schema),
        default: property.get("default").filter(|value| !value.is_null()).cloned(),
        is_required: required.contains(&name.as_str()),
        doc: text(property, "description"),
    };
    properties.iter().map(parameter).collect()
}

fn text(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn type_text(property: &Value, root: &Value) -> String {
    if let Some(target) = property.get("$ref").and_then(Value::as_str) {
        let definition = root.pointer(target.trim_start_matches('#'));
        return definition.map_or_else(|| "value".to_owned(), |d| type_text(d, root));
    }
    if let Some(value) = property.get("const") {
        return value.to_string();
    }
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(options) = property.get(key).and_then(Value::as_array) {
            return alternatives(options.iter().map(|option| type_text(option, root)));
        }
    }
    match property.get("type") {
        Some(Value::String(name)) => simple_type(name, property, root),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str);
            alternatives(names.map(|name| simple_type(name, property, root)))
        }
        _ => "value".to_owned(),
    }
}

/// A parameter that may be left out is `null` in the schema; nobody writes that in TOML.
fn alternatives(options: impl Iterator<Item = String>) -> String {
    options.filter(|option| option != "null").collect::<Vec<_>>().join(" | ")
}

fn simple_type(name: &str, property: &Value, root: &Value) -> String {
    match name {
        "string" => "text".to_owned(),
        "boolean" => "true | false".to_owned(),
        "array" => {
            let items =
                property.get("items").map_or_else(|| "values".to_owned(), |i| type_text(i, root));
            format!("list of {items}")
        }
        "object" => "table".to_owned(),
        "integer" | "number" => name.to_owned() + &bounds(property),
        other => other.to_owned(),
    }
}

fn bounds(property: &Value) -> String {
    match (property.get("minimum"), property.get("maximum")) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        (Some(low), None) => format!(", from {low}"),
        (None, Some(high)) => format!(", up to {high}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_told_to_people() {
        let root = json!({"$defs": {"Fill": {"oneOf": [{"const": "a"}, {"const": "b"}]}}});
        let check = |property: Value, expected: &str| {
            assert_eq!(type_text(&property, &root), expected);
        };
        check(json!({"$ref": "#/$defs/Fill"}), "\"a\" | \"b\"");
        check(json!({"type": "integer", "minimum": 1, "maximum": 512}), "integer, 1 to 512");
        check(json!({"type": ["string", "null"]}), "text");
        check(json!({"type": "array", "items": {"type": "number"}}), "list of number");
    }
}
