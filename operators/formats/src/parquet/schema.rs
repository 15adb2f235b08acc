//! Schemas in the terms of the `arrow` crate: as they are in memory, and as they are in files.
//!
//! In files two things are said otherwise, so that Hugging Face `datasets` reads them without code
//! of ours; pyarrow and DuckDB do not mind:
//!
//! - `datasets` knows a picture only where every level of the list may be null, so picture columns
//!   are declared so, and the metadata `voxflow.required` keeps that they have no nulls;
//! - `datasets` (5.2) refuses the `arrow.fixed_shape_tensor` extension outright, so tensors are
//!   plain fixed-size lists, and the metadata `voxflow.shape` keeps their shape.

use std::sync::Arc;

use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use arrow2::datatypes::{DataType, Field};
use voxflow_contract::{ColumnType, Schema};

use crate::FormatError;

/// Field metadata of a file: the column has no nulls, whatever its declaration says.
const REQUIRED_KEY: &str = "voxflow.required";
/// Field metadata of a file: shape of the tensors of a column, a JSON list.
const SHAPE_KEY: &str = "voxflow.shape";
const EXTENSION_NAME_KEY: &str = "ARROW:extension:name";
const EXTENSION_METADATA_KEY: &str = "ARROW:extension:metadata";

/// `schema` as it is in memory.
pub(super) fn arrow_schema(schema: &Schema) -> Result<ArrowSchema, FormatError> {
    let schema = schema.to_arrow2();
    let fields = schema.fields.iter().map(arrow_field).collect::<Result<Vec<_>, _>>()?;
    Ok(ArrowSchema::new_with_metadata(fields, schema.metadata))
}

/// `schema` as it is in files.
pub(super) fn file_schema(schema: &Schema) -> Result<ArrowSchema, FormatError> {
    let ArrowSchema { fields, metadata } = arrow_schema(schema)?;
    let fields: Vec<ArrowField> = fields
        .iter()
        .zip(schema.columns())
        .map(|(field, column)| match &column.column_type {
            ColumnType::Images => file_images(field, column.nullable),
            ColumnType::Tensor(_, shape) => file_tensor(field, shape),
            _ => field.as_ref().clone(),
        })
        .collect();
    Ok(ArrowSchema::new_with_metadata(fields, metadata))
}

/// The voxflow schema of an Arrow schema of either kind.
pub(super) fn voxflow_schema(schema: &ArrowSchema) -> Result<Schema, FormatError> {
    let fields = schema.fields().iter().map(|field| arrow2_field(field));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let metadata = schema.metadata().clone().into();
    Schema::from_arrow2(&arrow2::datatypes::Schema { fields, metadata })
        .map_err(|message| FormatError { code: "column_type", message, offset: None })
}

/// `data_type` in arrow2's terms, list items named and required as voxflow has them.
pub(super) fn arrow2_type(column: &str, data_type: &ArrowType) -> Result<DataType, FormatError> {
    Ok(match data_type {
        ArrowType::Boolean => DataType::Boolean,
        ArrowType::UInt8 => DataType::UInt8,
        ArrowType::UInt32 => DataType::UInt32,
        ArrowType::UInt64 => DataType::UInt64,
        ArrowType::Float32 => DataType::Float32,
        ArrowType::Float64 => DataType::Float64,
        ArrowType::Utf8 => DataType::Utf8,
        ArrowType::Binary => DataType::Binary,
        ArrowType::LargeBinary => DataType::LargeBinary,
        ArrowType::FixedSizeBinary(len) if *len > 0 => DataType::FixedSizeBinary(*len as usize),
        ArrowType::FixedSizeList(item, len) if *len > 0 => {
            DataType::FixedSizeList(arrow2_item(column, item)?, *len as usize)
        }
        ArrowType::List(item) => DataType::List(arrow2_item(column, item)?),
        ArrowType::Struct(fields) => {
            let fields = fields.iter().map(|field| {
                let data_type = arrow2_type(column, field.data_type())?;
                Ok(Field::new(field.name(), data_type, field.name() == "path"))
            });
            DataType::Struct(fields.collect::<Result<Vec<_>, _>>()?)
        }
        _ => return Err(unsupported(column, data_type)),
    })
}

fn arrow2_item(column: &str, item: &ArrowField) -> Result<Box<Field>, FormatError> {
    Ok(Box::new(Field::new("item", arrow2_type(column, item.data_type())?, false)))
}

fn arrow2_field(field: &ArrowField) -> Result<Field, FormatError> {
    let mut metadata = field.metadata().clone();
    let is_nullable = metadata.remove(REQUIRED_KEY).is_none() && field.is_nullable();
    if let Some(shape) = metadata.remove(SHAPE_KEY) {
        metadata.insert(EXTENSION_METADATA_KEY, format!("{{\"shape\":{shape}}}"));
    }
    let data_type = arrow2_type(field.name(), field.data_type())?;
    check_shape(field.name(), &data_type, metadata.get(EXTENSION_METADATA_KEY))?;
    let mut field = Field::new(field.name(), data_type, is_nullable);
    field.metadata = metadata.into();
    Ok(field)
}

/// A shape that does not have as many cells as the list would make another type of the column.
fn check_shape(
    column: &str,
    data_type: &DataType,
    extension: Option<&String>,
) -> Result<(), FormatError> {
    let (DataType::FixedSizeList(_, len), Some(json)) = (data_type, extension) else {
        return Ok(());
    };
    let shape = serde_json::from_str::<serde_json::Value>(json)
        .ok()
        .and_then(|value| serde_json::from_value::<Vec<usize>>(value.get("shape")?.clone()).ok());
    let cells = shape.and_then(|s| s.iter().try_fold(1usize, |cells, n| cells.checked_mul(*n)));
    if cells == Some(*len) {
        return Ok(());
    }
    let message = format!("column `{column}` has {len} numbers a row, its shape is {json}");
    Err(FormatError { code: "column_type", message, offset: None })
}

fn arrow_field(field: &Field) -> Result<ArrowField, FormatError> {
    let data_type = arrow_type(&field.name, &field.data_type)?;
    let metadata = field.metadata.clone();
    Ok(ArrowField::new(&field.name, data_type, field.is_nullable).with_metadata(metadata))
}

fn arrow_type(column: &str, data_type: &DataType) -> Result<ArrowType, FormatError> {
    let size = |len: usize| i32::try_from(len).map_err(|_| unsupported(column, data_type));
    Ok(match data_type {
        DataType::Boolean => ArrowType::Boolean,
        DataType::UInt8 => ArrowType::UInt8,
        DataType::UInt32 => ArrowType::UInt32,
        DataType::UInt64 => ArrowType::UInt64,
        DataType::Float32 => ArrowType::Float32,
        DataType::Float64 => ArrowType::Float64,
        DataType::Utf8 => ArrowType::Utf8,
        DataType::Binary => ArrowType::Binary,
        DataType::LargeBinary => ArrowType::LargeBinary,
        DataType::FixedSizeBinary(len) => ArrowType::FixedSizeBinary(size(*len)?),
        DataType::FixedSizeList(item, len) => {
            ArrowType::FixedSizeList(Arc::new(arrow_field(item)?), size(*len)?)
        }
        DataType::List(item) => ArrowType::List(Arc::new(arrow_field(item)?)),
        DataType::Struct(fields) => {
            ArrowType::Struct(fields.iter().map(arrow_field).collect::<Result<_, _>>()?)
        }
        _ => return Err(unsupported(column, data_type)),
    })
}

fn file_images(field: &ArrowField, is_nullable: bool) -> ArrowField {
    let mut metadata = field.metadata().clone();
    if !is_nullable {
        metadata.insert(REQUIRED_KEY, "true");
    }
    let data_type = with_nulls_allowed(field.data_type());
    ArrowField::new(field.name(), data_type, true).with_metadata(metadata)
}

fn with_nulls_allowed(data_type: &ArrowType) -> ArrowType {
    let allowed = |field: &ArrowField| {
        Arc::new(ArrowField::new(field.name(), with_nulls_allowed(field.data_type()), true))
    };
    match data_type {
        ArrowType::List(item) => ArrowType::List(allowed(item)),
        ArrowType::Struct(fields) => ArrowType::Struct(fields.iter().map(|f| allowed(f)).collect()),
        other => other.clone(),
    }
}

fn file_tensor(field: &ArrowField, shape: &[usize]) -> ArrowField {
    let mut metadata = field.metadata().clone();
    metadata.remove(EXTENSION_NAME_KEY);
    metadata.remove(EXTENSION_METADATA_KEY);
    metadata.insert(SHAPE_KEY, serde_json::json!(shape).to_string());
    field.clone().with_metadata(metadata)
}

fn unsupported(column: &str, data_type: &impl std::fmt::Debug) -> FormatError {
    let message = format!("column `{column}` has type {data_type:?}, which no voxflow table uses");
    FormatError { code: "column_type", message, offset: None }
}
