//! What is in a Parquet file: schema, rows, the first of them, and a picture of the first.

use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use voxflow_contract::{Batch, Column, ColumnType, voxels_of_row};
use voxflow_formats::parquet::ParquetReader;
use voxflow_formats::picture::decode;

use super::facts::Facts;
use super::picture::draw;
use crate::commands::operators::columns_json;
use crate::error::Error;
use crate::{terminal, terminal_picture};

/// Longest text of a cell that is shown.
const MAX_CELL: usize = 60;

/// Looks at a Parquet file, and at its first rows.
pub(super) fn parquet(path: &Path, shown: usize) -> Result<Facts, Error> {
    let fault = |e: voxflow_formats::FormatError| Error::input("decode", path, e);
    let file = File::open(path).map_err(|e| Error::input("read", path, e))?;
    let bytes = file.metadata().map_err(|e| Error::input("read", path, e))?.len();
    let reader = ParquetReader::new(file).map_err(fault)?;
    let schema = reader.schema().clone();
    let groups = reader.row_group_rows();
    let mut facts = Facts::new("Parquet table");
    facts.add("bytes", bytes);
    facts.add("rows", groups.iter().sum::<usize>());
    facts.add("row_groups", groups.len());
    if !schema.table().is_empty() {
        facts.add("table", format!("{} v{}", schema.table(), schema.version()));
    }
    facts.add("columns", columns_json(&schema));
    facts.more = schema_text(schema.columns());
    if !groups.is_empty() {
        let first = reader.read_row_group(0, None).map_err(fault)?;
        let shown = first.slice(0, first.rows().min(shown));
        facts.add("first_rows", rows_json(&shown));
        facts.more += &format!("\n{}", rows_text(&shown));
        facts.picture = row_picture(&first);
    }
    Ok(facts)
}

fn schema_text(columns: &[Column]) -> String {
    let rows = columns.iter().map(|column| {
        let null = if column.nullable { ", may be null" } else { "" };
        let kind = format!("{}{null}", column.column_type);
        vec![format!("  {}", column.name), kind, column.doc.clone()]
    });
    terminal::table(&rows.collect::<Vec<_>>())
}

fn rows_json(batch: &Batch) -> Value {
    let row = |row: usize| -> Value {
        let cells = batch.schema().columns().iter();
        Value::Object(cells.map(|c| (c.name.clone(), cell(batch, c, row))).collect())
    };
    (0..batch.rows()).map(row).collect()
}

fn rows_text(batch: &Batch) -> String {
    let mut text = String::new();
    for row in 0..batch.rows() {
        text += &format!("row {row}\n");
        let cells = batch.schema().columns().iter().map(|column| {
            let value = cell(batch, column, row);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![format!("  {}", column.name), shortened(&value)]
        });
        text += &terminal::table(&cells.collect::<Vec<_>>());
    }
    text
}

fn shortened(text: &str) -> String {
    let line = text.replace('\n', " ");
    if line.chars().count() <= MAX_CELL {
        return line;
    }
    line.chars().take(MAX_CELL - 1).chain(['…']).collect()
}

/// The value of a cell, or what can be said of one that is long.
fn cell(batch: &Batch, column: &Column, row: usize) -> Value {
    let name = column.name.as_str();
    let found = match &column.column_type {
        ColumnType::Utf8 => batch.utf8(name).ok().and_then(|a| a.get(row)).map(Value::from),
        ColumnType::Boolean => batch.boolean(name).ok().and_then(|a| a.get(row)).map(Value::from),
        ColumnType::UInt32 => number(batch.optional_numbers::<u32>(name).ok(), row),
        ColumnType::UInt64 => number(batch.optional_numbers::<u64>(name).ok(), row),
        ColumnType::Float32 => number(batch.optional_numbers::<f32>(name).ok(), row),
        ColumnType::Float64 => number(batch.optional_numbers::<f64>(name).ok(), row),
        ColumnType::Binary => {
            batch.binary(name).ok().map(|a| Value::from(terminal::bytes(a.value(row).len() as u64)))
        }
        ColumnType::FixedBinary(_) => batch.fixed_binary(name).ok().map(|a| hex(a.value(row))),
        ColumnType::Images => {
            batch.images(name).ok().map(|a| Value::from(format!("{} pictures", a.count(row))))
        }
        other => Some(long_cell(batch, name, other, row)),
    };
    found.unwrap_or(Value::Null)
}

fn number<T: Into<Value>>(values: Option<Vec<Option<T>>>, row: usize) -> Option<Value> {
    values?.into_iter().nth(row)?.map(Into::into)
}

fn hex(bytes: &[u8]) -> Value {
    Value::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Short tensors of 64-bit numbers are shown; of other lists and tensors only the type and length.
fn long_cell(batch: &Batch, name: &str, kind: &ColumnType, row: usize) -> Value {
    if let Ok(tensor) = batch.tensors::<f64>(name)
        && tensor.value(row).len() <= 4
    {
        return json!(tensor.value(row));
    }
    let lists = [
        batch.lists::<f32>(name).map(|a| a.value(row).len()),
        batch.lists::<u32>(name).map(|a| a.value(row).len()),
        batch.lists::<f64>(name).map(|a| a.value(row).len()),
        batch.lists::<u8>(name).map(|a| a.value(row).len()),
    ];
    match lists.into_iter().find_map(Result::ok) {
        Some(len) => Value::from(format!("{kind} of {len}")),
        None => Value::from(kind.to_string()),
    }
}

/// The grid or the first picture of the first row.
fn row_picture(batch: &Batch) -> String {
    if batch.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    if batch.schema().column("voxels").is_some()
        && let Ok(grid) = voxels_of_row(batch, 0)
    {
        text += &format!("voxels of row 0\n{}", terminal_picture::grid_silhouettes(&grid));
    }
    if let Ok(images) = batch.images("images")
        && images.count(0) > 0
        && let Ok(picture) = decode(images.bytes(0, 0))
    {
        text += &format!("picture 0 of row 0\n{}", draw(&picture));
    }
    text
}
