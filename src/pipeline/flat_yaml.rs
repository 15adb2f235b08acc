//! YAML of one level, as configuration files of public code are: keys and single values, each with
//! its place.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::diagnostics::{Diagnostic, Source};

/// A single value.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// `true`, `false`, and the `yes`, `no`, `on`, `off` of YAML 1.1.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another finite number.
    Float(f64),
    /// Anything else, and all that stands in quotes.
    Text(String),
}

/// A key, its value and where they stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Key.
    pub key: String,
    /// Line of the key, from 1.
    pub line: usize,
    /// Value.
    pub value: Scalar,
    /// Bytes of the key.
    pub key_span: Range<usize>,
    /// Bytes of the value.
    pub value_span: Range<usize>,
}

/// The keys and values of a text.
///
/// # Errors
/// The first place where it is no YAML, or everything that is no key with a single value.
pub fn read(source: &Source<'_>) -> Result<Vec<Field>, Vec<Diagnostic>> {
    let text = source.text();
    let bytes = |span: Span| byte_of(text, span.start.index())..byte_of(text, span.end.index());
    let events: Result<Vec<_>, ScanError> = Parser::new_from_str(text).collect();
    let events = events.map_err(|e| {
        let at = byte_of(text, e.marker().index());
        vec![source.at(at..at + 1, format!("this is no YAML: {}", e.info()))]
    })?;
    let mut nodes = events.into_iter().filter(|(event, _)| {
        !matches!(event, Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_))
    });
    match nodes.next() {
        Some((Event::MappingStart(..), _)) => {}
        None | Some((Event::DocumentEnd, _)) => return Ok(Vec::new()),
        Some((_, span)) => {
            let message = "a table of keys and values must stand here";
            return Err(vec![source.at(bytes(span), message)]);
        }
    }
    let (mut fields, mut wrong) = (Vec::<Field>::new(), Vec::new());
    while let Some((event, span)) = nodes.next() {
        let at = bytes(span);
        let key = match event {
            Event::MappingEnd => break,
            Event::Scalar(key, ..) => key.into_owned(),
            _ => return Err(vec![source.at(at, "a key must be a single word")]),
        };
        if let Some(first) = fields.iter().find(|field| field.key == key) {
            let message = format!("`{key}` stands twice, first in line {}", first.line);
            wrong.push(source.at(at.clone(), message));
        }
        let Some((event, value_span)) = nodes.next() else { break };
        let value_span = bytes(value_span);
        let value = match &event {
            Event::Scalar(value, style, ..) => scalar(value, *style == ScalarStyle::Plain),
            _ => None,
        };
        let line = span.start.line();
        match value {
            Some(value) => fields.push(Field { key, line, value, key_span: at, value_span }),
            None => wrong.push(source.at(at, format!("`{key}` must have a single value"))),
        }
        skip(&event, &mut nodes);
    }
    if let Some((event, span)) = nodes.find(|(event, _)| *event != Event::DocumentEnd) {
        let message = format!("one document is read, and here is more: {event:?}");
        wrong.push(source.at(bytes(span), message));
    }
    if wrong.is_empty() { Ok(fields) } else { Err(wrong) }
}

/// Passes over what is inside a list or table that has begun.
fn skip<'a>(begun: &Event<'_>, nodes: &mut impl Iterator<Item = (Event<'a>, Span)>) {
    let step = |event: &Event<'_>| match event {
        Event::MappingStart(..) | Event::SequenceStart(..) => 1,
        Event::MappingEnd | Event::SequenceEnd => -1,
        _ => 0,
    };
    let mut depth = step(begun);
    while depth > 0 {
        let Some((event, _)) = nodes.next() else { return };
        depth += step(&event);
    }
}

/// The byte at which a character begins.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// What a value means; none where there is none.
fn scalar(text: &str, is_plain: bool) -> Option<Scalar> {
    if !is_plain {
        return Some(Scalar::Text(text.to_owned()));
    }
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "on" | "On" => Scalar::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "off" | "Off" => Scalar::Bool(false),
        _ => {
            let is_number = text.contains(|c: char| c.is_ascii_digit());
            let float = text.parse().ok().filter(|number: &f64| is_number && number.is_finite());
            match (text.parse(), float) {
                (Ok(whole), _) => Scalar::Integer(whole),
                (_, Some(number)) => Scalar::Float(number),
                _ => Scalar::Text(text.to_owned()),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn fields(text: &str) -> Result<Vec<Field>, Vec<String>> {
        let source = Source::new(Path::new("x.yaml"), text);
        let told = |all: Vec<Diagnostic>| {
            all.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect()
        };
        read(&source).map_err(told)
    }

    #[test]
    fn values_are_what_they_look_like() {
        let text = "# é\na: 1e-4\nb: 0.00001 # small\nc: -3\nd: yes\ne: \"yes\"\nf: a b\n";
        let values: Vec<_> = fields(text).expect("fields").into_iter().map(|f| f.value).collect();
        let [e, f] = ["yes", "a b"].map(|text| Scalar::Text(text.to_owned()));
        let [a, b] = [1e-4, 1e-5].map(Scalar::Float);
        assert_eq!(values, [a, b, Scalar::Integer(-3), Scalar::Bool(true), e, f]);
        let field = &fields(text).expect("fields")[1];
        assert_eq!((field.line, &text[field.key_span.clone()]), (3, "b"));
        assert_eq!(&text[field.value_span.clone()], "0.00001");
        assert_eq!(fields("# nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_key_with_a_value_is_told_with_its_line() {
        let told =
            fields("a: 1\nb:\n  c: {d: [1, 2]}\ne: [1, {f: 2}]\na: 2\ng:\n").expect_err("wrong");
        assert_eq!(
            told,
            [
                "2:1 `b` must have a single value",
                "4:1 `e` must have a single value",
                "5:1 `a` stands twice, first in line 1",
                "6:1 `g` must have a single value",
            ]
        );
        let told = fields("- 1\n").expect_err("a list");
        assert_eq!(told, ["1:1 a table of keys and values must stand here"]);
        assert!(fields("a: [1\nb: 2\n").expect_err("broken")[0].contains("this is no YAML"));
        assert!(fields("a: 1\n---\nb: 2\n").expect_err("two documents")[0].starts_with("3:"));
    }
}
