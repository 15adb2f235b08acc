//! `Batch`: some rows of one table, in Arrow arrays, cheap to clone.

use std::sync::Arc;

use arrow2::array::growable::make_growable;
use arrow2::array::{Array, StructArray};
use arrow2::chunk::Chunk;
use arrow2::datatypes::PhysicalType;

use crate::schema::{Column, Schema};
use crate::values::{
    BinaryValues, ImageValues, ListValues, Number, TensorListValues, TensorValues, Values,
};

/// Why arrays and a schema do not make a batch, or a batch lacks what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The number of arrays is not the number of columns.
    #[error("schema has {columns} columns, {arrays} were given")]
    ColumnCount {
        /// Columns the schema names.
        columns: usize,
        /// Arrays that were given.
        arrays: usize,
    },
    /// An array has another type than its column.
    #[error("column `{column}` should be {expected}, the array is {found}")]
    ColumnType {
        /// Name of the column.
        column: String,
        /// Type the schema states.
        expected: String,
        /// Type the array has.
        found: String,
    },
    /// An array is longer or shorter than the first.
    #[error("column `{column}` has {found} rows, the first has {expected}")]
    RowCount {
        /// Name of the column.
        column: String,
        /// Rows of the first column.
        expected: usize,
        /// Rows of this one.
        found: usize,
    },
    /// A column that may not be null has nulls.
    #[error("column `{0}` may not have nulls")]
    Null(String),
    /// There is no such column.
    #[error("there is no column `{name}` (there are: {known})")]
    NoColumn {
        /// Name that was asked for.
        name: String,
        /// Names there are.
        known: String,
    },
    /// Bytes are not a batch.
    #[error("cannot decode a batch: {0}")]
    Decode(String),
}

/// Some rows of one table.
///
/// Columns are Arrow arrays behind reference counts: a clone costs one increment, a slice one small
/// allocation a column, and neither copies a value.
#[derive(Clone)]
pub struct Batch {
    schema: Schema,
    arrays: Arc<[Box<dyn Array>]>,
    rows: usize,
}

impl Batch {
    /// A batch of `values`, one for each column of `schema`.
    ///
    /// # Errors
    /// When number, type, length or nulls of the values are not what the schema says.
    pub fn new(schema: Schema, values: Vec<Values>) -> Result<Self, BatchError> {
        Self::from_arrow2(schema, values.into_iter().map(|v| v.0).collect())
    }

    /// A batch of `schema` without rows.
    pub fn empty(schema: Schema) -> Self {
        let arrays = schema
            .to_arrow2()
            .fields
            .iter()
            .map(|field| arrow2::array::new_empty_array(field.data_type.clone()))
            .collect();
        Self { schema, arrays, rows: 0 }
    }

    /// A batch of Arrow arrays; for the Parquet bridge and the wire.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn from_arrow2(schema: Schema, arrays: Vec<Box<dyn Array>>) -> Result<Self, BatchError> {
        if arrays.len() != schema.columns().len() {
            let (columns, arrays) = (schema.columns().len(), arrays.len());
            return Err(BatchError::ColumnCount { columns, arrays });
        }
        let rows = arrays.first().map_or(0, |array| array.len());
        for (column, array) in schema.columns().iter().zip(&arrays) {
            check_column(column, array.as_ref(), rows)?;
        }
        Ok(Self { schema, arrays: arrays.into(), rows })
    }

    /// The Arrow arrays; for the Parquet bridge.
    pub fn arrays(&self) -> &[Box<dyn Array>] {
        &self.arrays
    }

    /// What the columns are.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes the rows occupy in memory, as far as this batch sees its buffers.
    pub fn bytes(&self) -> usize {
        self.arrays.iter().map(|array| array_bytes(array.as_ref())).sum()
    }

    /// The text column called `name`.
    ///
    /// # Errors
    /// When there is no such column, or it has another type; so for all column getters.
    pub fn utf8(&self, name: &str) -> Result<&arrow2::array::Utf8Array<i32>, BatchError> {
        self.typed(name, "utf8")
    }

    /// The truth-value column called `name`.
    pub fn boolean(&self, name: &str) -> Result<&arrow2::array::BooleanArray, BatchError> {
        self.typed(name, "bool")
    }

    /// The values of the number column called `name`; rows without a value hold an arbitrary one.
    pub fn numbers<T: Number>(&self, name: &str) -> Result<&[T], BatchError> {
        let array: &arrow2::array::PrimitiveArray<T> = self.typed(name, T::NAME)?;
        Ok(array.values().as_slice())
    }

    /// The number column called `name`, value by value, `None` where a row has none.
    pub fn optional_numbers<T: Number>(&self, name: &str) -> Result<Vec<Option<T>>, BatchError> {
        let array: &arrow2::array::PrimitiveArray<T> = self.typed(name, T::NAME)?;
        Ok(array.iter().map(|value| value.copied()).collect())
    }

    /// The bytes column called `name`.
    pub fn binary(&self, name: &str) -> Result<BinaryValues<'_>, BatchError> {
        Ok(BinaryValues(self.typed(name, "binary")?))
    }

    /// The fixed-length bytes column called `name`.
    pub fn fixed_binary(
        &self,
        name: &str,
    ) -> Result<&arrow2::array::FixedSizeBinaryArray, BatchError> {
        self.typed(name, "binary[n]")
    }

    /// The column of number lists called `name`.
    pub fn lists<T: Number>(&self, name: &str) -> Result<ListValues<'_, T>, BatchError> {
        ListValues::of(self.typed(name, "list")?).ok_or_else(|| self.mismatch(name, T::NAME))
    }

    /// The column of fixed-shape tensors called `name`.
    pub fn tensors<T: Number>(&self, name: &str) -> Result<TensorValues<'_, T>, BatchError> {
        TensorValues::of(self.typed(name, "tensor")?).ok_or_else(|| self.mismatch(name, T::NAME))
    }

    /// The column of lists of fixed-length number lists called `name`.
    pub fn tensor_lists<T: Number>(
        &self,
        name: &str,
    ) -> Result<TensorListValues<'_, T>, BatchError> {
        TensorListValues::of(self.typed(name, "list<tensor>")?)
            .ok_or_else(|| self.mismatch(name, T::NAME))
    }

    /// The column of picture lists called `name`.
    pub fn images(&self, name: &str) -> Result<ImageValues<'_>, BatchError> {
        ImageValues::of(self.typed(name, "list<image>")?)
            .ok_or_else(|| self.mismatch(name, "list<image>"))
    }

    /// The batch with only the named columns, in that order.
    ///
    /// # Errors
    /// When a name is not a column.
    pub fn project(&self, names: &[&str]) -> Result<Self, BatchError> {
        let arrays = names
            .iter()
            .map(|name| Ok(self.arrays[self.index_of(name)?].clone()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { schema: self.schema.project(names), arrays: arrays.into(), rows: self.rows })
    }

    /// Rows `start .. start + len`, without a copy.
    ///
    /// # Panics
    /// When the range reaches past the last row, as a slice would.
    pub fn slice(&self, start: usize, len: usize) -> Self {
        assert!(start + len <= self.rows, "rows {start}+{len} of {}", self.rows);
        let arrays = self.arrays.iter().map(|array| array.sliced(start, len)).collect();
        Self { schema: self.schema.clone(), arrays, rows: len }
    }

    /// The rows of the given numbers, in that order, copied.
    ///
    /// # Panics
    /// When a number is not a row, as indexing would.
    pub fn gather(&self, rows: &[usize]) -> Self {
        let arrays = self.arrays.iter().map(|array| gather_array(array.as_ref(), rows)).collect();
        Self { schema: self.schema.clone(), arrays, rows: rows.len() }
    }

    /// All rows of several batches of one schema, in order; `None` when there is no batch.
    ///
    /// # Errors
    /// When the batches do not have the same columns.
    pub fn concat(batches: &[Self]) -> Result<Option<Self>, BatchError> {
        let Some(first) = batches.first() else { return Ok(None) };
        if let Some(other) = batches.iter().find(|b| b.schema.columns() != first.schema.columns()) {
            return Err(BatchError::ColumnType {
                column: "*".to_owned(),
                expected: format!("{:?}", first.schema),
                found: format!("{:?}", other.schema),
            });
        }
        let rows = batches.iter().map(Self::rows).sum();
        let arrays = (0..first.arrays.len())
            .map(|i| {
                concat_arrays(&batches.iter().map(|b| b.arrays[i].as_ref()).collect::<Vec<_>>())
            })
            .collect();
        Ok(Some(Self { schema: first.schema.clone(), arrays, rows }))
    }

    /// The same rows under another schema of equal column types: renames, metadata.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn with_schema(&self, schema: Schema) -> Result<Self, BatchError> {
        Self::from_arrow2(schema, self.arrays.to_vec())
    }

    /// Puts the columns of `other` that this batch lacks to the right of its own; rows must
    /// correspond one to one.
    ///
    /// # Errors
    /// When the batches do not have the same number of rows.
    pub fn beside(&self, other: &Self) -> Result<Self, BatchError> {
        if self.rows != other.rows {
            let column = other.schema.columns().first().map_or("", |c| c.name.as_str()).to_owned();
            return Err(BatchError::RowCount { column, expected: self.rows, found: other.rows });
        }
        let (mut columns, mut arrays) = (self.schema.columns().to_vec(), self.arrays.to_vec());
        let mut metadata = self.schema.metadata().clone();
        metadata.extend(other.schema.metadata().clone());
        for (column, array) in other.schema.columns().iter().zip(other.arrays.iter()) {
            if self.schema.index_of(&column.name).is_none() {
                columns.push(column.clone());
                arrays.push(array.clone());
            }
        }
        let table = format!("{}+{}", self.schema.table(), other.schema.table());
        let schema = Schema::with_metadata(&table, self.schema.version(), columns, metadata);
        Ok(Self { schema, arrays: arrays.into(), rows: self.rows })
    }

    /// The batch as one Arrow IPC stream.
    ///
    /// # Errors
    /// When Arrow refuses a column, which no voxflow schema makes it do.
    pub fn encode(&self) -> Result<Vec<u8>, BatchError> {
        use arrow2::io::ipc::write::{StreamWriter, WriteOptions};
        let mut writer = StreamWriter::new(Vec::new(), WriteOptions { compression: None });
        let chunk = Chunk::new(self.arrays.to_vec());
        writer
            .start(&self.schema.to_arrow2(), None)
            .and_then(|()| writer.write(&chunk, None))
            .and_then(|()| writer.finish())
            .map_err(|e| BatchError::Decode(e.to_string()))?;
        Ok(writer.into_inner())
    }

    /// Reads back what [`Batch::encode`] wrote. For bytes of this same program only: Arrow's IPC
    /// reader is not hardened against forged input.
    ///
    /// # Errors
    /// When the bytes are not one batch.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BatchError> {
        use arrow2::io::ipc::read::{StreamReader, StreamState, read_stream_metadata};
        let fault = |e: arrow2::error::Error| BatchError::Decode(e.to_string());
        let metadata = read_stream_metadata(&mut bytes).map_err(fault)?;
        let schema = Schema::from_arrow2(&metadata.schema).map_err(BatchError::Decode)?;
        match StreamReader::new(bytes, metadata, None).next() {
            Some(Ok(StreamState::Some(chunk))) => Self::from_arrow2(schema, chunk.into_arrays()),
            Some(Err(e)) => Err(fault(e)),
            _ => Err(BatchError::Decode("the stream ends before its batch".to_owned())),
        }
    }

    fn index_of(&self, name: &str) -> Result<usize, BatchError> {
        self.schema.index_of(name).ok_or_else(|| {
            let known: Vec<_> = self.schema.columns().iter().map(|c| c.name.as_str()).collect();
            BatchError::NoColumn { name: name.to_owned(), known: known.join(", ") }
        })
    }

    fn typed<A: 'static>(&self, name: &str, expected: &str) -> Result<&A, BatchError> {
        let array = &self.arrays[self.index_of(name)?];
        array.as_any().downcast_ref().ok_or_else(|| self.mismatch(name, expected))
    }

    fn mismatch(&self, name: &str, expected: &str) -> BatchError {
        let found = self.schema.column(name).map(|c| c.column_type.to_string()).unwrap_or_default();
        BatchError::ColumnType { column: name.to_owned(), expected: expected.to_owned(), found }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema && self.arrays == other.arrays
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows of {:?}", self.rows, self.schema)
    }
}

fn check_column(column: &Column, array: &dyn Array, rows: usize) -> Result<(), BatchError> {
    let expected = column.column_type.to_arrow();
    if array.data_type() != &expected {
        return Err(BatchError::ColumnType {
            column: column.name.clone(),
            expected: column.column_type.to_string(),
            found: format!("{:?}", array.data_type()),
        });
    }
    if array.len() != rows {
        let found = array.len();
        return Err(BatchError::RowCount { column: column.name.clone(), expected: rows, found });
    }
    if !column.nullable && array.null_count() > 0 {
        return Err(BatchError::Null(column.name.clone()));
    }
    Ok(())
}

/// Runs of consecutive rows are copied at once; arrow2's own `take` lacks fixed-size binary.
fn gather_array(array: &dyn Array, rows: &[usize]) -> Box<dyn Array> {
    let mut grown = make_growable(&[array], false, rows.len());
    let mut i = 0;
    while i < rows.len() {
        let start = i;
        while i + 1 < rows.len() && rows[i + 1] == rows[i] + 1 {
            i += 1;
        }
        i += 1;
        grown.extend(0, rows[start], i - start);
    }
    grown.as_box()
}

fn concat_arrays(arrays: &[&dyn Array]) -> Box<dyn Array> {
    let rows = arrays.iter().map(|array| array.len()).sum();
    let mut grown = make_growable(arrays, false, rows);
    for (i, array) in arrays.iter().enumerate() {
        grown.extend(i, 0, array.len());
    }
    grown.as_box()
}

/// arrow2 offers this only with a feature that compiles its unsound row sort.
fn array_bytes(array: &dyn Array) -> usize {
    use arrow2::array::{
        BinaryArray, FixedSizeBinaryArray, FixedSizeListArray, ListArray, Utf8Array,
    };
    let any = array.as_any();
    let rows = array.len();
    let validity = array.validity().map_or(0, |_| rows.div_ceil(8));
    validity
        + match array.data_type().to_physical_type() {
            PhysicalType::Boolean => rows.div_ceil(8),
            PhysicalType::Primitive(primitive) => rows * primitive_bytes(primitive),
            PhysicalType::FixedSizeBinary => {
                any.downcast_ref::<FixedSizeBinaryArray>().map_or(0, |a| a.values().len())
            }
            PhysicalType::Utf8 => any
                .downcast_ref::<Utf8Array<i32>>()
                .map_or(0, |a| a.offsets().range() as usize + 4 * (rows + 1)),
            PhysicalType::Binary => any
                .downcast_ref::<BinaryArray<i32>>()
                .map_or(0, |a| a.offsets().range() as usize + 4 * (rows + 1)),
            PhysicalType::LargeBinary => any
                .downcast_ref::<BinaryArray<i64>>()
                .map_or(0, |a| a.offsets().range() as usize + 8 * (rows + 1)),
            PhysicalType::FixedSizeList => any
                .downcast_ref::<FixedSizeListArray>()
                .map_or(0, |a| array_bytes(a.values().as_ref())),
            PhysicalType::List => any.downcast_ref::<ListArray<i32>>().map_or(0, |a| {
                let (first, range) = (*a.offsets().first(), a.offsets().range());
                let values = a.values().sliced(first as usize, range as usize);
                array_bytes(values.as_ref()) + 4 * (rows + 1)
            }),
            PhysicalType::Struct => any
                .downcast_ref::<StructArray>()
                .map_or(0, |a| a.values().iter().map(|v| array_bytes(v.as_ref())).sum()),
            _ => 0,
        }
}

fn primitive_bytes(primitive: arrow2::types::PrimitiveType) -> usize {
    use arrow2::types::PrimitiveType as P;
    match primitive {
        P::Int8 | P::UInt8 => 1,
        P::Int16 | P::UInt16 | P::Float16 => 2,
        P::Int32 | P::UInt32 | P::Float32 => 4,
        _ => 8,
    }
}
