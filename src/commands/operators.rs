//! `voxflow operators`: the list of what a stage can be, and the manual of each.

use serde_json::{Value, json};
use voxflow_contract::{Inputs, Kind, Schema, tables};

use crate::cli::{Format, OperatorsArgs};
use crate::error::Error;
use crate::parameter_docs::{self, Parameter};
use crate::pipeline::diagnostics::nearest;
use crate::registry::{self, FAMILIES, Family};
use crate::terminal;

/// Prints the list, or the manual of one.
///
/// # Errors
/// When there is no operator of that name.
pub fn operators(args: &OperatorsArgs) -> Result<(), Error> {
    let Some(name) = &args.name else {
        return match args.format {
            Format::Text => terminal::print(&list()),
            Format::Json => {
                let all = FAMILIES.iter().flat_map(|f| f.kinds.iter().map(|k| facts(f, *k)));
                terminal::print_json(&all.collect())
            }
        };
    };
    let (family, kind) = find(name)?;
    match args.format {
        Format::Text => terminal::print(&manual(family, kind)),
        Format::Json => terminal::print_json(&facts(family, kind)),
    }
}

fn find(name: &str) -> Result<(&'static Family, &'static dyn Kind), Error> {
    let all = || FAMILIES.iter().flat_map(|f| f.kinds.iter().map(move |k| (f, *k)));
    all().find(|(_, kind)| kind.name() == name).ok_or_else(|| {
        if registry::is_left_out(name) {
            let hint = "build voxflow with its cargo feature `train` (on by default)";
            return Error::argument(
                name,
                "not in this build, which was made without training",
                hint,
            );
        }
        let names = registry::names();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names.join(", ")),
        };
        Error::argument(name, "there is no operator of this name", hint)
    })
}

fn list() -> String {
    let mut text = String::new();
    for family in FAMILIES {
        text += &format!("{} - {}\n", family.name, family.summary);
        let rows = family.kinds.iter().map(|kind| {
            let flow = format!("{} -> {}", inputs_text(kind.inputs()), kind.output());
            vec![format!("  {}", kind.name()), flow, kind.summary().to_owned()]
        });
        text += &terminal::table(&rows.collect::<Vec<_>>());
        text.push('\n');
    }
    text + "`voxflow operators NAME` shows the manual of one.\n"
}

fn manual(family: &Family, kind: &dyn Kind) -> String {
    let (name, version) = (kind.name(), kind.version());
    let mut text = format!("{name} - {}\n\n", kind.summary());
    text += &format!("family {}, version {version}\n", family.name);
    text += &format!("takes  {}\n", inputs_text(kind.inputs()));
    text += &format!("gives  {}\n\n", kind.output());
    text += &format!("{}\n\n", wrap(kind.manual(), 96));
    text += &parameters_text(&parameter_docs::of(kind));
    let inputs = match kind.inputs() {
        Inputs::Tables(names) => names,
        _ => &[],
    };
    for table in inputs {
        text += &table_text("Columns of input", table);
    }
    text += &table_text("Columns of output", kind.output());
    text + &format!("Example\n{}\n", indent(kind.example().trim()))
}

fn inputs_text(inputs: Inputs) -> String {
    match inputs {
        Inputs::None => "nothing".to_owned(),
        Inputs::Key => "keys of any table".to_owned(),
        Inputs::Any => "any tables".to_owned(),
        Inputs::Tables(tables) => tables.join(" + "),
    }
}

fn parameters_text(parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return "Parameters\n  none\n\n".to_owned();
    }
    let mut text = "Parameters\n".to_owned();
    for parameter in parameters {
        let default = match &parameter.default {
            Some(value) => format!("default {value}"),
            None if parameter.is_required => "required".to_owned(),
            None => "optional".to_owned(),
        };
        text += &format!("  {} ({}, {default})\n", parameter.name, parameter.type_text);
        if !parameter.doc.is_empty() {
            text += &format!(
                "{}\n",
                wrap(&parameter.doc, 88)
                    .lines()
                    .map(|l| format!("      {l}"))
                    .collect::<Vec<_>>()
                    .join("\n")
            );
        }
    }
    text + "\n"
}

fn table_text(title: &str, table: &str) -> String {
    let Some(table) = tables::find(table) else { return String::new() };
    let rows: Vec<_> = (table.schema)()
        .columns()
        .iter()
        .map(|column| {
            let null = if column.nullable { ", may be null" } else { "" };
            let kind = format!("{}{null}", column.column_type);
            vec![format!("  {}", column.name), kind, column.doc.clone()]
        })
        .collect();
    format!("{title} ({})\n{}\n", table.name, terminal::table(&rows))
}

fn facts(family: &Family, kind: &dyn Kind) -> Value {
    let inputs = match kind.inputs() {
        Inputs::None => json!([]),
        Inputs::Key => json!("key"),
        Inputs::Any => json!("any"),
        Inputs::Tables(tables) => json!(tables),
    };
    let columns = tables::find(kind.output()).map(|table| columns_json(&(table.schema)()));
    json!({
        "name": kind.name(),
        "family": family.name,
        "summary": kind.summary(),
        "manual": kind.manual(),
        "version": kind.version(),
        "inputs": inputs,
        "output": kind.output(),
        "columns": columns,
        "parameters": kind.parameters().to_value(),
        "example": kind.example(),
    })
}

/// The columns of a schema, for programs.
pub fn columns_json(schema: &Schema) -> Value {
    let columns = schema.columns().iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.column_type.to_string(),
            "nullable": column.nullable,
            "doc": column.doc,
        })
    });
    columns.collect()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Breaks paragraphs into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let (mut lines, mut line) = (Vec::new(), String::new());
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
        lines.join("\n")
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_wrapped() {
        assert_eq!(wrap("one two three\nfour\n\nfive", 9), "one two\nthree\nfour\n\nfive");
    }

    #[test]
    fn every_kind_has_a_manual() {
        for kind in registry::kinds() {
            let (family, _) = find(kind.name()).unwrap_or_else(|e| panic!("{e}"));
            let text = manual(family, kind);
            assert!(text.contains("Parameters\n") && text.contains("Example\n"), "{text}");
        }
    }
}
