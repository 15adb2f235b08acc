//! Schema metadata by which Hugging Face `datasets` (4 and later) knows the columns.

use serde_json::{Map, Value, json};
use voxflow_contract::{Column, ColumnType, ScalarType, Schema};

/// `schema` with the metadata that makes `datasets` show pictures as pictures.
pub(crate) fn with_features(schema: &Schema) -> Schema {
    let columns = schema.columns();
    let features: Map<String, Value> =
        columns.iter().map(|column| (column.name.clone(), feature(column))).collect();
    let mut metadata = schema.metadata().clone();
    let info = json!({ "info": { "features": features } });
    metadata.insert("huggingface".to_owned(), info.to_string());
    Schema::with_metadata(schema.table(), schema.version(), columns.to_vec(), metadata)
}

fn feature(column: &Column) -> Value {
    match &column.column_type {
        ColumnType::Utf8 => value("string"),
        ColumnType::Boolean => value("bool"),
        ColumnType::UInt32 => value("uint32"),
        ColumnType::UInt64 => value("uint64"),
        ColumnType::Float32 => value("float32"),
        ColumnType::Float64 => value("float64"),
        ColumnType::FixedBinary(len) => value(&format!("fixed_size_binary[{len}]")),
        ColumnType::List(number) => list(&scalar(*number)),
        ColumnType::Tensor(number, shape) => fixed_list(&scalar(*number), shape.iter().product()),
        ColumnType::TensorList(number, len) => list(&fixed_list(&scalar(*number), *len)),
        ColumnType::Images => list(&json!({ "_type": "Image" })),
        // `Binary`, and what may come: `datasets` then looks at the Arrow type itself.
        _ => value("large_binary"),
    }
}

fn scalar(number: ScalarType) -> Value {
    value(match number {
        ScalarType::UInt8 => "uint8",
        ScalarType::UInt32 => "uint32",
        ScalarType::Float32 => "float32",
        _ => "float64",
    })
}

fn value(dtype: &str) -> Value {
    json!({ "dtype": dtype, "_type": "Value" })
}

fn list(feature: &Value) -> Value {
    json!({ "feature": feature, "_type": "List" })
}

fn fixed_list(feature: &Value, length: usize) -> Value {
    json!({ "feature": feature, "length": length, "_type": "List" })
}
