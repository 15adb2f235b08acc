//! What is in a MATLAB file: its variables, and what lies in them.

use std::path::Path;

use serde_json::{Value, json};
use voxflow_formats::FormatError;
use voxflow_formats::mat::{self as format, MatValue};

use super::facts::Facts;
use super::grid::occupancy;
use crate::commands::convert::read;
use crate::error::Error;

/// Most lines of the tree that is shown.
const MAX_LINES: usize = 60;

/// Looks at a MAT-file. A variable that cannot be read is listed with the reason.
pub(super) fn mat(path: &Path) -> Result<Facts, Error> {
    let bytes = read(path)?;
    let fault = |e: FormatError| Error::input("decode", path, e);
    let mut facts = Facts::new("MATLAB file");
    facts.add("bytes", bytes.len());
    let (mut variables, mut lines) = (Vec::new(), Vec::new());
    for variable in format::variables(&bytes).map_err(fault)? {
        match variable {
            Ok(variable) => {
                push_lines(&mut lines, 1, &variable.name, &variable.value);
                variables.push(json!({ "name": variable.name, "value": summary(&variable.value) }));
            }
            Err(e) => {
                lines.push(format!("  {}", e.message));
                variables.push(json!({ "fault": e.message }));
            }
        }
    }
    facts.add("number_of_variables", variables.len());
    facts.add("variables", Value::Array(variables));
    let more = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    facts.more = lines.join("\n") + "\n";
    if more > 0 {
        facts.more += &format!("  and {more} more\n");
    }
    if let Ok(grid) = format::only_grid(&bytes, 0.5) {
        occupancy(&mut facts, &grid);
    }
    Ok(facts)
}

/// What a value is, in a few words.
fn summary(value: &MatValue) -> String {
    match value {
        MatValue::Numbers(array) => match array.data.to_f64().as_slice() {
            [number] => number.to_string(),
            _ => format!("{} {:?}", array.data.type_name(), array.shape),
        },
        MatValue::Text(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        MatValue::Struct(all) => format!("struct {:?}: {}", all.shape, all.fields.join(", ")),
        MatValue::Cell { shape, .. } => format!("cell {shape:?}"),
        _ => "something else".to_owned(),
    }
}

/// One line for the value, and below it those of the first element of what it holds.
fn push_lines(lines: &mut Vec<String>, depth: usize, name: &str, value: &MatValue) {
    lines.push(format!("{}{name}  {}", "  ".repeat(depth), summary(value)));
    match value {
        MatValue::Struct(all) => {
            for (name, value) in all.fields.iter().zip(&all.values) {
                push_lines(lines, depth + 1, name, value);
            }
        }
        MatValue::Cell { values, .. } => {
            if let Some(value) = values.first() {
                push_lines(lines, depth + 1, "{1}", value);
            }
        }
        _ => {}
    }
}
