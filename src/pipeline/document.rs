//! A TOML document as a tree that remembers where each part stands in the file.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Source};

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// The value.
    pub tree: Tree,
}

/// A value of TOML.
#[derive(Debug, Clone)]
pub enum Tree {
    /// Text, number or truth value; dates are text.
    Scalar(Value),
    /// An array.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<Field>),
}

/// One key of a table, and its value.
#[derive(Debug, Clone)]
pub struct Field {
    /// The key.
    pub key: String,
    /// Bytes of the key.
    pub key_span: Range<usize>,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value without places.
    pub fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(nodes) => Value::Array(nodes.iter().map(Self::to_json).collect()),
            Tree::Table(fields) => Value::Object(fields_to_json(fields)),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The fields, if it is a table.
    pub fn as_table(&self) -> Option<&[Field]> {
        match &self.tree {
            Tree::Table(fields) => Some(fields),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Scalar(Value::String(_)) => "text",
            Tree::Scalar(Value::Bool(_)) => "a truth value",
            Tree::Scalar(_) => "a number",
            Tree::List(_) => "a list",
            Tree::Table(_) => "a table",
        }
    }
}

/// The values of a table without places.
pub fn fields_to_json(fields: &[Field]) -> Map<String, Value> {
    fields.iter().map(|field| (field.key.clone(), field.node.to_json())).collect()
}

/// Reads a document as far as it can be read, and says what of it is no TOML.
pub fn parse(source: &Source<'_>) -> (Vec<Field>, Vec<Diagnostic>) {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let mut diagnostics: Vec<_> = errors
        .iter()
        .map(|error| {
            source.at(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()))
        })
        .collect();
    let fields = table_fields(table.get_ref(), source, &mut diagnostics);
    (fields, diagnostics)
}

fn table_fields(
    table: &DeTable<'_>,
    source: &Source<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Field> {
    table
        .iter()
        .map(|(key, value)| Field {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: node(value, source, diagnostics),
        })
        .collect()
}

fn node(
    value: &Spanned<DeValue<'_>>,
    source: &Source<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Node {
    let tree = match value.get_ref() {
        DeValue::Array(items) => {
            Tree::List(items.iter().map(|item| node(item, source, diagnostics)).collect())
        }
        DeValue::Table(table) => Tree::Table(table_fields(table, source, diagnostics)),
        scalar => Tree::Scalar(json_scalar(scalar).unwrap_or_else(|| {
            diagnostics.push(source.at(value.span(), "the number is out of range"));
            Value::from(0)
        })),
    };
    Node { span: value.span(), tree }
}

/// `None` for numbers that 64 bits do not hold, and for infinity and NaN.
fn json_scalar(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(truth) => Some(Value::from(*truth)),
        DeValue::Integer(integer) => {
            let signed = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            let unsigned = || u64::from_str_radix(integer.as_str(), integer.radix()).ok();
            signed.map(Value::from).or_else(|| unsigned().map(Value::from))
        }
        DeValue::Float(float) => {
            float.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number)
        }
        other => Some(Value::from(datetime_text(other))),
    }
}

fn datetime_text(value: &DeValue<'_>) -> String {
    value.as_datetime().map(ToString::to_string).unwrap_or_default()
}

/// A value as it is written after `--set name=`: a TOML value, or else plain text.
pub fn parse_value(text: &str) -> Node {
    let plain = || Node { span: 0..text.len(), tree: Tree::Scalar(Value::from(text)) };
    let source = Source::new(std::path::Path::new("--set"), text);
    let mut diagnostics = Vec::new();
    match DeValue::parse(text) {
        Ok(value) => {
            let node = node(&value, &source, &mut diagnostics);
            if diagnostics.is_empty() { node } else { plain() }
        }
        Err(_) => plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn values_keep_their_places() {
        let text = "a = 1\n[b]\nc = [\"x\", 0x10, 1.5]\n";
        let (fields, errors) = parse(&Source::new(Path::new("x"), text));
        assert!(errors.is_empty());
        assert_eq!(
            Value::Object(fields_to_json(&fields)),
            json!({"a": 1, "b": {"c": ["x", 16, 1.5]}})
        );
        let c = &fields[1].node.as_table().expect("table")[0];
        assert_eq!(&text[c.key_span.clone()], "c");
        assert_eq!(&text[c.node.span.clone()], "[\"x\", 0x10, 1.5]");
    }

    #[test]
    fn every_syntax_error_is_told_and_the_rest_is_read() {
        let (fields, errors) = parse(&Source::new(Path::new("x"), "a = \nb = 2\nc = = 3\nd = 4\n"));
        assert!(errors.iter().any(|e| e.line == 1) && errors.iter().any(|e| e.line == 3));
        assert!(errors.iter().all(|e| e.line == 1 || e.line == 3), "{errors:?}");
        assert!(fields.iter().any(|f| f.key == "d"));
    }

    #[test]
    fn assignments_are_typed_or_text() {
        assert_eq!(parse_value("3").to_json(), json!(3));
        assert_eq!(parse_value("[1, 2]").to_json(), json!([1, 2]));
        assert_eq!(parse_value("true").to_json(), json!(true));
        assert_eq!(parse_value("../shared/realdata").to_json(), json!("../shared/realdata"));
        assert_eq!(parse_value("\"3\"").to_json(), json!("3"));
        assert_eq!(parse_value("").to_json(), json!(""));
    }
}
