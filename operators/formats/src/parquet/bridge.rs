//! The bridge between `Batch` (arrow2) and `RecordBatch` (arrow), by the Arrow C Data Interface.
#![expect(unsafe_code, reason = "the C Data Interface hands over raw pointers; nothing else may")]

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::ffi::{FFI_ArrowArray, from_ffi_and_data_type};
use arrow_array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow_schema::{DataType as ArrowType, SchemaRef};
use arrow2::array::{Array, FixedSizeListArray, ListArray, StructArray};
use arrow2::bitmap::Bitmap;
use arrow2::datatypes::{DataType, PhysicalType};
use arrow2::ffi::ArrowArray;
use voxflow_contract::{Batch, Schema};

use super::fault;
use super::schema::{arrow_schema, arrow2_type, voxflow_schema};
use crate::FormatError;

/// The rows of `batch` as the `arrow` crate sees them; buffers are shared, not copied.
///
/// # Errors
/// When a column has a type that no voxflow table uses.
pub fn to_record_batch(batch: &Batch) -> Result<RecordBatch, FormatError> {
    record_batch_under(batch, Arc::new(arrow_schema(batch.schema())?))
}

/// The rows of `batch` as voxflow sees them; buffers are shared, not copied.
///
/// Names and nullability of list items need not be what voxflow writes, as long as there are no
/// nulls where voxflow has none.
///
/// # Errors
/// Names the column that has a type no voxflow table uses (views and dictionaries among them), or
/// nulls where there may be none.
pub fn from_record_batch(batch: &RecordBatch) -> Result<Batch, FormatError> {
    batch_under(batch.columns(), voxflow_schema(&batch.schema())?)
}

/// `batch` under an Arrow schema that differs from its own in nullability and metadata only.
pub(super) fn record_batch_under(
    batch: &Batch,
    schema: SchemaRef,
) -> Result<RecordBatch, FormatError> {
    if batch.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }
    let arrays = batch.arrays().iter().zip(schema.fields());
    let columns = arrays
        .map(|(array, field)| export(normalise(array.as_ref()), field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(fault)
}

/// `columns` as a batch of `schema`, which must name their types up to nullability.
pub(super) fn batch_under(columns: &[ArrayRef], schema: Schema) -> Result<Batch, FormatError> {
    if columns.first().is_none_or(|column| column.is_empty()) {
        return Ok(Batch::empty(schema));
    }
    let fields = schema.to_arrow2().fields;
    let arrays = columns
        .iter()
        .zip(&fields)
        .map(|(column, field)| {
            if arrow2_type(&field.name, column.data_type())? != field.data_type {
                let message = format!("column `{}` has type {}", field.name, column.data_type());
                return Err(FormatError { code: "column_type", message, offset: None });
            }
            if has_stray_nulls(column, &field.data_type) {
                let message = format!("column `{}` has nulls inside its lists", field.name);
                return Err(FormatError { code: "null", message, offset: None });
            }
            import(column, field.data_type.clone())
        })
        .collect::<Result<Vec<_>, _>>()?;
    Batch::from_arrow2(schema, arrays).map_err(fault)
}

/// Both crates declare the structure the C Data Interface specifies, `repr(C)`; were one of them to
/// change it, this no longer compiles.
const _: () = {
    assert!(size_of::<ArrowArray>() == size_of::<FFI_ArrowArray>());
    assert!(align_of::<ArrowArray>() == align_of::<FFI_ArrowArray>());
};

fn export(array: Box<dyn Array>, data_type: &ArrowType) -> Result<ArrayRef, FormatError> {
    let exported = arrow2::ffi::export_array_to_c(array);
    // SAFETY: both are the `ArrowArray` of the C Data Interface, `repr(C)`, size and alignment
    // asserted above. The value moves: the release callback stays with the one owner that is left.
    let exported: FFI_ArrowArray = unsafe { std::mem::transmute(exported) };
    // SAFETY: arrow2 wrote the structure for a valid array whose physical type is that of
    // `data_type` (they differ in nullability and names at most), and `normalise` has removed the
    // one kind of array for which it writes a wrong offset. `exported` is moved in.
    let data = unsafe { from_ffi_and_data_type(exported, data_type.clone()) };
    Ok(make_array(data.map_err(fault)?))
}

fn import(array: &ArrayRef, data_type: DataType) -> Result<Box<dyn Array>, FormatError> {
    let exported = FFI_ArrowArray::new(&array.to_data());
    // SAFETY: as in `export`, the other way round.
    let exported: ArrowArray = unsafe { std::mem::transmute(exported) };
    // SAFETY: arrow wrote the structure for a valid array, and the caller has compared its type
    // with `data_type`. arrow2 keeps the structure alive as long as it uses the buffers.
    unsafe { arrow2::ffi::import_array_from_c(exported, data_type) }.map_err(fault)
}

/// The same values, so that arrow2 exports them rightly.
///
/// arrow2 0.18 exports a sliced struct or fixed-size list with the offset of its validity, although
/// its children are sliced already; the importer then applies the offset to the children again.
/// Validities copied to offset 0 (one bit a row) avoid that.
fn normalise(array: &dyn Array) -> Box<dyn Array> {
    let any = array.as_any();
    match array.data_type().to_physical_type() {
        PhysicalType::Struct => any.downcast_ref().map(normalise_struct),
        PhysicalType::FixedSizeList => any.downcast_ref().map(normalise_fixed_size_list),
        PhysicalType::List => any.downcast_ref().map(normalise_list),
        _ => None,
    }
    .unwrap_or_else(|| array.to_boxed())
}

fn normalise_struct(array: &StructArray) -> Box<dyn Array> {
    let values = array.values().iter().map(|values| normalise(values.as_ref())).collect();
    StructArray::new(array.data_type().clone(), values, at_offset_zero(array.validity())).boxed()
}

fn normalise_fixed_size_list(array: &FixedSizeListArray) -> Box<dyn Array> {
    let values = normalise(array.values().as_ref());
    let validity = at_offset_zero(array.validity());
    FixedSizeListArray::new(array.data_type().clone(), values, validity).boxed()
}

fn normalise_list(array: &ListArray<i32>) -> Box<dyn Array> {
    let values = normalise(array.values().as_ref());
    let (data_type, offsets) = (array.data_type().clone(), array.offsets().clone());
    ListArray::<i32>::new(data_type, offsets, values, array.validity().cloned()).boxed()
}

fn at_offset_zero(validity: Option<&Bitmap>) -> Option<Bitmap> {
    validity.map(|bits| bits.iter().collect())
}

/// Whether a value that `target` says is always there is missing inside a list or struct.
fn has_stray_nulls(array: &ArrayRef, target: &DataType) -> bool {
    match target {
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            let values = list.values().slice(first as usize, (last - first) as usize);
            lacks_values(&values, item.is_nullable) || has_stray_nulls(&values, &item.data_type)
        }
        DataType::FixedSizeList(item, _) => {
            let list = array.as_fixed_size_list();
            lacks_values(list.values(), item.is_nullable)
                && list.iter().flatten().any(|row| lacks_values(&row, item.is_nullable))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            columns
                .iter()
                .zip(fields)
                .any(|(column, field)| lacks_values(column, field.is_nullable))
        }
        _ => false,
    }
}

fn lacks_values(array: &ArrayRef, is_nullable: bool) -> bool {
    !is_nullable && array.null_count() > 0
}
