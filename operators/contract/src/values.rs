//! The values of one column: how rows are put in, and how they are looked at.

use std::marker::PhantomData;

use arrow2::array::{
    Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, ListArray,
    PrimitiveArray, StructArray, Utf8Array,
};
use arrow2::datatypes::DataType;
use arrow2::offset::{Offsets, OffsetsBuffer};

use crate::schema::{ColumnType, ScalarType, image_struct};

/// A number that columns, lists and tensors hold.
pub trait Number: arrow2::types::NativeType {
    /// Name of the type in messages.
    const NAME: &'static str;
}

impl Number for u8 {
    const NAME: &'static str = "u8";
}
impl Number for u32 {
    const NAME: &'static str = "u32";
}
impl Number for u64 {
    const NAME: &'static str = "u64";
}
impl Number for f32 {
    const NAME: &'static str = "f32";
}
impl Number for f64 {
    const NAME: &'static str = "f64";
}

/// A [`Number`] that lists and tensors may hold.
pub trait Scalar: Number {
    /// The scalar type in schemas.
    const SCALAR: ScalarType;
}

impl Scalar for u8 {
    const SCALAR: ScalarType = ScalarType::UInt8;
}
impl Scalar for u32 {
    const SCALAR: ScalarType = ScalarType::UInt32;
}
impl Scalar for f32 {
    const SCALAR: ScalarType = ScalarType::Float32;
}
impl Scalar for f64 {
    const SCALAR: ScalarType = ScalarType::Float64;
}

/// The values of one column, to be given to [`crate::Batch::new`].
pub struct Values(pub(crate) Box<dyn Array>);

impl Values {
    /// Text.
    pub fn utf8<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Self {
        Self(Utf8Array::<i32>::from_iter_values(values.into_iter()).boxed())
    }

    /// Text that some rows lack.
    pub fn optional_utf8<T: AsRef<str>>(values: impl IntoIterator<Item = Option<T>>) -> Self {
        Self(values.into_iter().collect::<Utf8Array<i32>>().boxed())
    }

    /// Truth values.
    pub fn boolean(values: impl IntoIterator<Item = bool>) -> Self {
        Self(BooleanArray::from_trusted_len_values_iter(Vec::from_iter(values).into_iter()).boxed())
    }

    /// Numbers.
    pub fn numbers<T: Number>(values: Vec<T>) -> Self {
        Self(PrimitiveArray::from_vec(values).boxed())
    }

    /// Numbers that some rows lack.
    pub fn optional_numbers<T: Number>(values: impl IntoIterator<Item = Option<T>>) -> Self {
        Self(values.into_iter().collect::<PrimitiveArray<T>>().boxed())
    }

    /// Bytes of any length.
    pub fn binary<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Self {
        Self(BinaryArray::<i64>::from_iter_values(values.into_iter()).boxed())
    }

    /// Bytes of one fixed length.
    ///
    /// # Panics
    /// When a value is not `len` bytes long.
    pub fn fixed_binary<T: AsRef<[u8]>>(len: usize, values: impl IntoIterator<Item = T>) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            assert_eq!(value.as_ref().len(), len, "a fixed-length value has another length");
            bytes.extend_from_slice(value.as_ref());
        }
        Self(FixedSizeBinaryArray::new(DataType::FixedSizeBinary(len), bytes.into(), None).boxed())
    }

    /// Lists of numbers.
    pub fn lists<T: Scalar, L: AsRef<[T]>>(values: impl IntoIterator<Item = L>) -> Self {
        let (mut flat, mut lengths) = (Vec::new(), Vec::new());
        for value in values {
            flat.extend_from_slice(value.as_ref());
            lengths.push(value.as_ref().len());
        }
        let data_type = ColumnType::List(T::SCALAR).to_arrow();
        let values = PrimitiveArray::from_vec(flat).boxed();
        Self(ListArray::<i32>::new(data_type, offsets(lengths), values, None).boxed())
    }

    /// Fixed-shape tensors in C order.
    ///
    /// # Panics
    /// When a value does not have as many numbers as `shape` says.
    pub fn tensors<T: Scalar, L: AsRef<[T]>>(
        shape: &[usize],
        values: impl IntoIterator<Item = L>,
    ) -> Self {
        let len: usize = shape.iter().product();
        let mut flat = Vec::new();
        for value in values {
            assert_eq!(value.as_ref().len(), len, "a tensor has another size than its shape");
            flat.extend_from_slice(value.as_ref());
        }
        Self(fixed_lists(T::SCALAR, len, flat).boxed())
    }

    /// Lists of number lists that are all `len` long, each list given flat.
    ///
    /// # Panics
    /// When a list's length is not a multiple of `len`.
    pub fn tensor_lists<T: Scalar, L: AsRef<[T]>>(
        len: usize,
        values: impl IntoIterator<Item = L>,
    ) -> Self {
        let (mut flat, mut lengths) = (Vec::new(), Vec::new());
        for value in values {
            let value = value.as_ref();
            assert_eq!(value.len() % len, 0, "a list of tensors has another size");
            lengths.push(value.len() / len);
            flat.extend_from_slice(value);
        }
        let inner = fixed_lists(T::SCALAR, len, flat).boxed();
        let data_type = ColumnType::TensorList(T::SCALAR, len).to_arrow();
        Self(ListArray::<i32>::new(data_type, offsets(lengths), inner, None).boxed())
    }

    /// Lists of encoded pictures, each with an optional file name.
    pub fn images(rows: &[Vec<Image>]) -> Self {
        let flat = || rows.iter().flatten();
        let bytes = BinaryArray::<i32>::from_iter_values(flat().map(|image| &image.bytes));
        let paths: Utf8Array<i32> = flat().map(|image| image.path.as_deref()).collect();
        let structs = StructArray::new(image_struct(), vec![bytes.boxed(), paths.boxed()], None);
        let offsets = offsets(rows.iter().map(Vec::len));
        let data_type = ColumnType::Images.to_arrow();
        Self(ListArray::<i32>::new(data_type, offsets, structs.boxed(), None).boxed())
    }
}

/// An encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The bytes of the file: PNG or JPEG.
    pub bytes: Vec<u8>,
    /// A file name that readers may show.
    pub path: Option<String>,
}

fn offsets(lengths: impl IntoIterator<Item = usize>) -> OffsetsBuffer<i32> {
    let mut offsets = Offsets::<i32>::default();
    for len in lengths {
        offsets.try_push_usize(len).expect("a batch holds fewer than 2^31 list elements");
    }
    offsets.into()
}

fn fixed_lists<T: Scalar>(scalar: ScalarType, len: usize, flat: Vec<T>) -> FixedSizeListArray {
    let data_type = ColumnType::Tensor(scalar, vec![len]).to_arrow();
    FixedSizeListArray::new(data_type, PrimitiveArray::from_vec(flat).boxed(), None)
}

fn primitive_slice<T: Number>(array: &dyn Array) -> Option<&[T]> {
    array.as_any().downcast_ref::<PrimitiveArray<T>>().map(|a| a.values().as_slice())
}

/// A bytes column.
#[derive(Clone, Copy)]
pub struct BinaryValues<'a>(pub(crate) &'a BinaryArray<i64>);

impl<'a> BinaryValues<'a> {
    /// The bytes of row `row`.
    pub fn value(&self, row: usize) -> &'a [u8] {
        self.0.value(row)
    }
}

/// A column of number lists.
#[derive(Clone, Copy)]
pub struct ListValues<'a, T> {
    offsets: &'a OffsetsBuffer<i32>,
    values: &'a [T],
}

impl<'a, T: Number> ListValues<'a, T> {
    pub(crate) fn of(array: &'a ListArray<i32>) -> Option<Self> {
        Some(Self { offsets: array.offsets(), values: primitive_slice(array.values().as_ref())? })
    }

    /// The list of row `row`.
    pub fn value(&self, row: usize) -> &'a [T] {
        let (start, end) = self.offsets.start_end(row);
        &self.values[start..end]
    }
}

/// A column of fixed-shape tensors.
#[derive(Clone, Copy)]
pub struct TensorValues<'a, T> {
    len: usize,
    values: &'a [T],
}

impl<'a, T: Number> TensorValues<'a, T> {
    pub(crate) fn of(array: &'a FixedSizeListArray) -> Option<Self> {
        Some(Self { len: array.size(), values: primitive_slice(array.values().as_ref())? })
    }

    /// The numbers of row `row`, in C order.
    pub fn value(&self, row: usize) -> &'a [T] {
        &self.values[row * self.len..(row + 1) * self.len]
    }
}

/// A column of lists of fixed-length number lists.
#[derive(Clone, Copy)]
pub struct TensorListValues<'a, T> {
    offsets: &'a OffsetsBuffer<i32>,
    len: usize,
    values: &'a [T],
    number: PhantomData<T>,
}

impl<'a, T: Number> TensorListValues<'a, T> {
    pub(crate) fn of(array: &'a ListArray<i32>) -> Option<Self> {
        let inner = array.values().as_any().downcast_ref::<FixedSizeListArray>()?;
        let values = primitive_slice(inner.values().as_ref())?;
        Some(Self { offsets: array.offsets(), len: inner.size(), values, number: PhantomData })
    }

    /// All numbers of row `row`, one inner list after the other.
    pub fn value(&self, row: usize) -> &'a [T] {
        let (start, end) = self.offsets.start_end(row);
        &self.values[start * self.len..end * self.len]
    }

    /// Numbers in an inner list.
    pub fn inner_len(&self) -> usize {
        self.len
    }
}

/// A column of picture lists.
#[derive(Clone, Copy)]
pub struct ImageValues<'a> {
    offsets: &'a OffsetsBuffer<i32>,
    bytes: &'a BinaryArray<i32>,
    paths: &'a Utf8Array<i32>,
}

impl<'a> ImageValues<'a> {
    pub(crate) fn of(array: &'a ListArray<i32>) -> Option<Self> {
        let inner = array.values().as_any().downcast_ref::<StructArray>()?;
        Some(Self {
            offsets: array.offsets(),
            bytes: inner.values().first()?.as_any().downcast_ref()?,
            paths: inner.values().get(1)?.as_any().downcast_ref()?,
        })
    }

    /// Number of pictures in row `row`.
    pub fn count(&self, row: usize) -> usize {
        let (start, end) = self.offsets.start_end(row);
        end - start
    }

    /// Bytes of picture `index` of row `row`.
    ///
    /// # Panics
    /// When the row has no such picture, as indexing would.
    pub fn bytes(&self, row: usize, index: usize) -> &'a [u8] {
        let (start, end) = self.offsets.start_end(row);
        assert!(start + index < end, "picture {index} of {}", end - start);
        self.bytes.value(start + index)
    }

    /// File name of picture `index` of row `row`, where it has one.
    pub fn path(&self, row: usize, index: usize) -> Option<&'a str> {
        self.paths.get(self.offsets.start_end(row).0 + index)
    }
}
