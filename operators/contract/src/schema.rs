//! Schemas: named, typed, documented columns that know their table and its version.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow2::datatypes as arrow;

/// Metadata key that names the table a schema belongs to.
pub const TABLE_KEY: &str = "voxflow.table";
/// Metadata key that holds the version of that table.
pub const VERSION_KEY: &str = "voxflow.version";
/// Field metadata key that holds the sentence which explains a column.
pub const DOC_KEY: &str = "voxflow.doc";

/// The element type of lists and tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScalarType {
    /// Unsigned 8-bit integer.
    UInt8,
    /// Unsigned 32-bit integer.
    UInt32,
    /// 32-bit IEEE float.
    Float32,
    /// 64-bit IEEE float.
    Float64,
}

impl ScalarType {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::UInt8 => 1,
            Self::UInt32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    fn to_arrow(self) -> arrow::DataType {
        match self {
            Self::UInt8 => arrow::DataType::UInt8,
            Self::UInt32 => arrow::DataType::UInt32,
            Self::Float32 => arrow::DataType::Float32,
            Self::Float64 => arrow::DataType::Float64,
        }
    }

    fn from_arrow(data_type: &arrow::DataType) -> Option<Self> {
        match data_type {
            arrow::DataType::UInt8 => Some(Self::UInt8),
            arrow::DataType::UInt32 => Some(Self::UInt32),
            arrow::DataType::Float32 => Some(Self::Float32),
            arrow::DataType::Float64 => Some(Self::Float64),
            _ => None,
        }
    }
}

/// The type of a column: the small part of Arrow that voxflow uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnType {
    /// UTF-8 text.
    Utf8,
    /// Truth value.
    Boolean,
    /// Unsigned 32-bit integer.
    UInt32,
    /// Unsigned 64-bit integer.
    UInt64,
    /// 32-bit IEEE float.
    Float32,
    /// 64-bit IEEE float.
    Float64,
    /// Bytes of any length, 64-bit offsets.
    Binary,
    /// Bytes of one fixed length.
    FixedBinary(usize),
    /// A list of numbers.
    List(ScalarType),
    /// A fixed-shape tensor in C order; carries the `arrow.fixed_shape_tensor` extension.
    Tensor(ScalarType, Vec<usize>),
    /// A list of fixed-length number lists: a 4x4 matrix per view, say.
    TensorList(ScalarType, usize),
    /// A list of encoded pictures: `list<struct<bytes: binary, path: utf8>>`, the layout of the
    /// Hugging Face `Image` feature.
    Images,
}

impl ColumnType {
    /// Bytes of one value; `None` where values differ in length.
    pub fn fixed_bytes(&self) -> Option<usize> {
        match self {
            Self::Boolean => Some(1),
            Self::UInt32 | Self::Float32 => Some(4),
            Self::UInt64 | Self::Float64 => Some(8),
            Self::FixedBinary(bytes) => Some(*bytes),
            Self::Tensor(scalar, shape) => Some(scalar.bytes() * shape.iter().product::<usize>()),
            Self::Utf8 | Self::Binary | Self::List(_) | Self::TensorList(..) | Self::Images => None,
        }
    }

    pub(crate) fn to_arrow(&self) -> arrow::DataType {
        use arrow::DataType as D;
        match self {
            Self::Utf8 => D::Utf8,
            Self::Boolean => D::Boolean,
            Self::UInt32 => D::UInt32,
            Self::UInt64 => D::UInt64,
            Self::Float32 => D::Float32,
            Self::Float64 => D::Float64,
            Self::Binary => D::LargeBinary,
            Self::FixedBinary(len) => D::FixedSizeBinary(*len),
            Self::List(scalar) => D::List(item(scalar.to_arrow())),
            Self::Tensor(scalar, shape) => {
                D::FixedSizeList(item(scalar.to_arrow()), shape.iter().product())
            }
            Self::TensorList(scalar, len) => {
                D::List(item(D::FixedSizeList(item(scalar.to_arrow()), *len)))
            }
            Self::Images => D::List(item(image_struct())),
        }
    }

    fn from_arrow(field: &arrow::Field) -> Option<Self> {
        use arrow::DataType as D;
        Some(match &field.data_type {
            D::Utf8 => Self::Utf8,
            D::Boolean => Self::Boolean,
            D::UInt32 => Self::UInt32,
            D::UInt64 => Self::UInt64,
            D::Float32 => Self::Float32,
            D::Float64 => Self::Float64,
            D::LargeBinary => Self::Binary,
            D::FixedSizeBinary(len) => Self::FixedBinary(*len),
            D::FixedSizeList(inner, len) => {
                let shape = tensor_shape(&field.metadata).unwrap_or_else(|| vec![*len]);
                Self::Tensor(ScalarType::from_arrow(&inner.data_type)?, shape)
            }
            D::List(inner) => match &inner.data_type {
                D::FixedSizeList(leaf, len) => {
                    Self::TensorList(ScalarType::from_arrow(&leaf.data_type)?, *len)
                }
                D::Struct(_) if inner.data_type == image_struct() => Self::Images,
                leaf => Self::List(ScalarType::from_arrow(leaf)?),
            },
            _ => return None,
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 => f.write_str("utf8"),
            Self::Boolean => f.write_str("bool"),
            Self::UInt32 => f.write_str("u32"),
            Self::UInt64 => f.write_str("u64"),
            Self::Float32 => f.write_str("f32"),
            Self::Float64 => f.write_str("f64"),
            Self::Binary => f.write_str("binary"),
            Self::FixedBinary(len) => write!(f, "binary[{len}]"),
            Self::List(scalar) => write!(f, "list<{scalar:?}>"),
            Self::Tensor(scalar, shape) => write!(f, "tensor<{scalar:?}>{shape:?}"),
            Self::TensorList(scalar, len) => write!(f, "list<{scalar:?}[{len}]>"),
            Self::Images => f.write_str("list<image>"),
        }
    }
}

fn item(data_type: arrow::DataType) -> Box<arrow::Field> {
    Box::new(arrow::Field::new("item", data_type, false))
}

pub(crate) fn image_struct() -> arrow::DataType {
    arrow::DataType::Struct(vec![
        arrow::Field::new("bytes", arrow::DataType::Binary, false),
        arrow::Field::new("path", arrow::DataType::Utf8, true),
    ])
}

fn tensor_shape(metadata: &BTreeMap<String, String>) -> Option<Vec<usize>> {
    let json = metadata.get("ARROW:extension:metadata")?;
    let value: serde_json::Value = serde_json::from_str(json).ok()?;
    serde_json::from_value(value.get("shape")?.clone()).ok()
}

/// One column of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name, `snake_case`, unique in its schema.
    pub name: String,
    /// Type.
    pub column_type: ColumnType,
    /// Whether a row may lack a value.
    pub nullable: bool,
    /// One sentence: meaning, unit, coordinate frame.
    pub doc: String,
    /// Further facts that every row shares, such as the axis order of a grid.
    pub metadata: BTreeMap<String, String>,
}

impl Column {
    /// A column that always has a value.
    pub fn new(name: &str, column_type: ColumnType, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            column_type,
            nullable: false,
            doc: doc.to_owned(),
            metadata: BTreeMap::new(),
        }
    }

    /// The same column, but a row may lack its value.
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// The same column with one more fact that every row shares.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    fn to_arrow(&self) -> arrow::Field {
        let mut field = arrow::Field::new(&self.name, self.column_type.to_arrow(), self.nullable);
        field.metadata = self.metadata.clone();
        field.metadata.insert(DOC_KEY.to_owned(), self.doc.clone());
        if let ColumnType::Tensor(_, shape) = &self.column_type {
            let shape = serde_json::json!({ "shape": shape }).to_string();
            field
                .metadata
                .insert("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned());
            field.metadata.insert("ARROW:extension:metadata".to_owned(), shape);
        }
        field
    }

    fn from_arrow(field: &arrow::Field) -> Option<Self> {
        let mut metadata = field.metadata.clone();
        let doc = metadata.remove(DOC_KEY).unwrap_or_default();
        metadata.remove("ARROW:extension:name");
        metadata.remove("ARROW:extension:metadata");
        Some(Self {
            name: field.name.clone(),
            column_type: ColumnType::from_arrow(field)?,
            nullable: field.is_nullable,
            doc,
            metadata,
        })
    }
}

/// The columns of a batch, and the table and version they belong to.
///
/// Cloning costs one reference count.
#[derive(Clone, PartialEq, Eq)]
pub struct Schema {
    inner: Arc<SchemaInner>,
}

#[derive(PartialEq, Eq)]
struct SchemaInner {
    table: String,
    version: u32,
    columns: Vec<Column>,
    metadata: BTreeMap<String, String>,
}

impl Schema {
    /// A schema of `table` at `version`.
    pub fn new(table: &str, version: u32, columns: Vec<Column>) -> Self {
        Self::with_metadata(table, version, columns, BTreeMap::new())
    }

    /// A schema that carries further metadata, which Parquet files keep.
    pub fn with_metadata(
        table: &str,
        version: u32,
        columns: Vec<Column>,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        Self {
            inner: Arc::new(SchemaInner { table: table.to_owned(), version, columns, metadata }),
        }
    }

    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.inner.table
    }

    /// Version of the table.
    pub fn version(&self) -> u32 {
        self.inner.version
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.inner.columns
    }

    /// Further metadata of the whole table.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.inner.metadata
    }

    /// Position of the column called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.inner.columns.iter().position(|column| column.name == name)
    }

    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.index_of(name).map(|i| &self.inner.columns[i])
    }

    /// The schema with only the named columns, in the order given; unknown names are left out.
    pub fn project(&self, names: &[&str]) -> Self {
        let columns = names.iter().filter_map(|name| self.column(name).cloned()).collect();
        Self::with_metadata(self.table(), self.version(), columns, self.metadata().clone())
    }

    /// The schema in Arrow's own terms, for the Parquet bridge and the wire.
    pub fn to_arrow2(&self) -> arrow::Schema {
        let mut metadata = self.metadata().clone();
        metadata.insert(TABLE_KEY.to_owned(), self.table().to_owned());
        metadata.insert(VERSION_KEY.to_owned(), self.version().to_string());
        arrow::Schema { fields: self.columns().iter().map(Column::to_arrow).collect(), metadata }
    }

    /// Reads a schema back from Arrow's terms; the error names the column that has no counterpart.
    pub fn from_arrow2(schema: &arrow::Schema) -> Result<Self, String> {
        let columns = schema
            .fields
            .iter()
            .map(|field| Column::from_arrow(field).ok_or_else(|| unsupported(field)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut metadata = schema.metadata.clone();
        let table = metadata.remove(TABLE_KEY).unwrap_or_default();
        let version = metadata.remove(VERSION_KEY).and_then(|v| v.parse().ok()).unwrap_or(0);
        Ok(Self::with_metadata(&table, version, columns, metadata))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{} (", self.table(), self.version())?;
        for (i, column) in self.columns().iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let null = if column.nullable { "?" } else { "" };
            write!(f, "{comma}{}: {}{null}", column.name, column.column_type)?;
        }
        f.write_str(")")
    }
}

fn unsupported(field: &arrow::Field) -> String {
    format!("column `{}` has type {:?}, which no voxflow table uses", field.name, field.data_type)
}
