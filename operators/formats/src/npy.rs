//! NPY: one array of numbers, as numpy saves it.

use half::f16;
use voxflow_contract::{Fill, VoxelGrid};

use crate::axis_order::to_row_major;
use crate::error::FormatError;
use crate::scan::error;

/// The numbers of an array, in C order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NpyData {
    /// `|b1`.
    Bool(Vec<bool>),
    /// `|i1`.
    I8(Vec<i8>),
    /// `<i2`.
    I16(Vec<i16>),
    /// `<i4`.
    I32(Vec<i32>),
    /// `<i8`.
    I64(Vec<i64>),
    /// `|u1`.
    U8(Vec<u8>),
    /// `<u2`.
    U16(Vec<u16>),
    /// `<u4`.
    U32(Vec<u32>),
    /// `<u8`.
    U64(Vec<u64>),
    /// `<f4`, and what was read as `<f2`.
    F32(Vec<f32>),
    /// `<f8`.
    F64(Vec<f64>),
}

/// An array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct NpyArray {
    /// Length along each axis, slowest first; empty for a single number.
    pub shape: Vec<usize>,
    /// The numbers, as many as the lengths multiply to.
    pub data: NpyData,
}

/// Writes an array as little-endian NPY, version 1.0 (2.0 when the header needs it).
///
/// # Panics
/// When the array does not hold as many numbers as its shape says.
///
/// ```
/// use voxflow_formats::npy::{NpyArray, NpyData, decode, encode};
///
/// let array = NpyArray { shape: vec![2, 2], data: NpyData::U8(vec![1, 2, 3, 4]) };
/// let bytes = encode(&array);
/// assert_eq!(bytes.len(), 128 + 4); // numpy pads the header to a multiple of 64
/// assert_eq!(decode(&bytes)?, array);
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
pub fn encode(array: &NpyArray) -> Vec<u8> {
    let NpyArray { shape, data } = array;
    let cells: usize = shape.iter().product();
    assert_eq!(cells, data.len(), "an array of shape {shape:?} has another number of values");
    let mut bytes = header(data.descr(), shape);
    match data {
        NpyData::Bool(values) => bytes.extend(values.iter().map(|value| u8::from(*value))),
        NpyData::I8(values) => bytes.extend(values.iter().map(|value| value.cast_unsigned())),
        NpyData::I16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::I32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::I64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::U8(values) => bytes.extend_from_slice(values),
        NpyData::U16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::U32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::U64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::F64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
    }
    bytes
}

/// Reads an NPY file of version 1, 2 or 3.
///
/// Numbers of either byte order; arrays in Fortran order are put in C order, half floats become
/// single ones.
///
/// # Errors
/// `empty`, `bad_header`, `unsupported` (pickled objects, structured types, types that [`NpyData`]
/// lacks), `truncated`, `bad_length` (bytes after the array).
pub fn decode(bytes: &[u8]) -> Result<NpyArray, FormatError> {
    let (text, start) = split(bytes)?;
    let header = Header::parse(text, start - text.len())?;
    let Header { kind, shape, .. } = &header;
    let cells = shape.iter().try_fold(1_usize, |cells, side| cells.checked_mul(*side));
    let promised = cells.and_then(|cells| cells.checked_mul(kind.size())).unwrap_or(usize::MAX);
    let body = &bytes[start..];
    if body.len() != promised {
        let code = if body.len() < promised { "truncated" } else { "bad_length" };
        let (found, descr) = (body.len(), header.descr);
        let message = format_args!(
            "an array of shape {shape:?} and type {descr} takes {promised} bytes, the file holds {found}"
        );
        return Err(error(code, bytes.len().min(start.saturating_add(promised)), message));
    }
    let data = kind.read(body, header.is_big_endian);
    let data = if header.is_fortran_order { data.into_row_major(shape) } else { data };
    Ok(NpyArray { shape: header.shape, data })
}

/// A voxel grid as truth values of shape `[d, d, d]`, indexed x, y, z.
pub fn from_grid(grid: &VoxelGrid) -> NpyArray {
    let d = grid.resolution;
    let cells = (0..d * d * d).map(|index| grid.get_index(index));
    NpyArray { shape: vec![d; 3], data: NpyData::Bool(cells.collect()) }
}

impl NpyArray {
    /// The grid of a cubic array of three axes, which may follow others of length 1: cells whose
    /// value is at least `threshold` are occupied (a truth value counts as 0 or 1). The first axis
    /// is x, the last z. It lies in the unit cube at the origin, as the array does not say where.
    ///
    /// # Errors
    /// `bad_shape` when the array has another shape, or more than [`VoxelGrid::MAX_RESOLUTION`]
    /// cells a side.
    pub fn to_grid(&self, threshold: f64) -> Result<VoxelGrid, FormatError> {
        let ones = self.shape.iter().take_while(|side| **side == 1).count();
        let axes = &self.shape[ones.min(self.shape.len().saturating_sub(3))..];
        let side = match axes {
            [x, y, z] if x == y && y == z => *x,
            _ => 0,
        };
        if side == 0 || side > VoxelGrid::MAX_RESOLUTION {
            let (shape, most) = (&self.shape, VoxelGrid::MAX_RESOLUTION);
            let message =
                format!("an array of shape {shape:?} is no cube of 1 to {most} cells a side");
            return Err(FormatError { code: "bad_shape", message, offset: None });
        }
        let mut grid = VoxelGrid::empty(side, [0.0; 3], [1.0; 3], Fill::Unknown);
        self.data.for_each(|cell, value| {
            if value >= threshold {
                grid.set_index(cell);
            }
        });
        Ok(grid)
    }
}

impl NpyData {
    /// All values as numbers of 64 bits; whole numbers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        let mut numbers = Vec::with_capacity(self.len());
        self.for_each(|_, value| numbers.push(value));
        numbers
    }

    /// The type in words: `bool`, `u8`, ...
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "i8",
            Self::I16(_) => "i16",
            Self::I32(_) => "i32",
            Self::I64(_) => "i64",
            Self::U8(_) => "u8",
            Self::U16(_) => "u16",
            Self::U32(_) => "u32",
            Self::U64(_) => "u64",
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
        }
    }

    fn for_each(&self, mut take: impl FnMut(usize, f64)) {
        fn each<T: Copy>(values: &[T], number: fn(T) -> f64, mut take: impl FnMut(usize, f64)) {
            values.iter().enumerate().for_each(|(i, value)| take(i, number(*value)));
        }
        match self {
            Self::Bool(values) => each(values, |value| f64::from(u8::from(value)), &mut take),
            Self::I8(values) => each(values, f64::from, &mut take),
            Self::I16(values) => each(values, f64::from, &mut take),
            Self::I32(values) => each(values, f64::from, &mut take),
            Self::I64(values) => each(values, |value| value as f64, &mut take),
            Self::U8(values) => each(values, f64::from, &mut take),
            Self::U16(values) => each(values, f64::from, &mut take),
            Self::U32(values) => each(values, f64::from, &mut take),
            Self::U64(values) => each(values, |value| value as f64, &mut take),
            Self::F32(values) => each(values, f64::from, &mut take),
            Self::F64(values) => each(values, |value| value, &mut take),
        }
    }

    /// Values whose first axis is the fastest, reordered so that the last one is.
    pub(crate) fn into_row_major(self, shape: &[usize]) -> Self {
        match self {
            Self::Bool(values) => Self::Bool(to_row_major(values, shape)),
            Self::I8(values) => Self::I8(to_row_major(values, shape)),
            Self::I16(values) => Self::I16(to_row_major(values, shape)),
            Self::I32(values) => Self::I32(to_row_major(values, shape)),
            Self::I64(values) => Self::I64(to_row_major(values, shape)),
            Self::U8(values) => Self::U8(to_row_major(values, shape)),
            Self::U16(values) => Self::U16(to_row_major(values, shape)),
            Self::U32(values) => Self::U32(to_row_major(values, shape)),
            Self::U64(values) => Self::U64(to_row_major(values, shape)),
            Self::F32(values) => Self::F32(to_row_major(values, shape)),
            Self::F64(values) => Self::F64(to_row_major(values, shape)),
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn descr(&self) -> &'static str {
        match self {
            Self::Bool(_) => "|b1",
            Self::I8(_) => "|i1",
            Self::I16(_) => "<i2",
            Self::I32(_) => "<i4",
            Self::I64(_) => "<i8",
            Self::U8(_) => "|u1",
            Self::U16(_) => "<u2",
            Self::U32(_) => "<u4",
            Self::U64(_) => "<u8",
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
        }
    }
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// Axes that numpy allows.
const MAX_AXES: usize = 64;

fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sides: Vec<String> = shape.iter().map(|side| format!("{side},")).collect();
    let shape = match sides.as_slice() {
        [one] => one.clone(),
        _ => sides.join(" ").trim_end_matches(',').to_owned(),
    };
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let long = dict.len() + 64 > usize::from(u16::MAX);
    let before = MAGIC.len() + if long { 6 } else { 4 };
    let padded = (before + dict.len() + 1).next_multiple_of(64) - before;
    let mut bytes = MAGIC.to_vec();
    if long {
        bytes.extend_from_slice(&[2, 0]);
        bytes.extend_from_slice(&(padded as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&(padded as u16).to_le_bytes());
    }
    bytes.extend_from_slice(dict.as_bytes());
    bytes.resize(before + padded - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// The header's text, and where the numbers begin.
fn split(bytes: &[u8]) -> Result<(&str, usize), FormatError> {
    if bytes.is_empty() {
        return Err(error("empty", 0, "the file holds no bytes"));
    }
    let short = || error("truncated", bytes.len(), "the file ends inside its header");
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(error("bad_header", 0, "the file does not begin with \\x93NUMPY"));
    };
    let (start, len) = match rest {
        [1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        [0 | 4.., ..] => {
            let message = format_args!("NPY version {} is not supported, 1 to 3 are", rest[0]);
            return Err(error("unsupported", MAGIC.len(), message));
        }
        _ => return Err(short()),
    };
    let end = start + len;
    let header = bytes.get(start..end).ok_or_else(short)?;
    let header = std::str::from_utf8(header)
        .map_err(|_| error("bad_header", start, "the header is not UTF-8"))?;
    Ok((header, end))
}

/// What the header says.
struct Header<'a> {
    descr: &'a str,
    kind: NumberKind,
    is_big_endian: bool,
    is_fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Out of the header's Python dictionary, which begins at byte `offset`.
    fn parse(text: &'a str, offset: usize) -> Result<Self, FormatError> {
        let bad =
            |what: &str| error("bad_header", offset, format_args!("the header has no {what}"));
        let is_fortran_order = match value_of(text, "fortran_order") {
            Some(value) if value.starts_with("False") => false,
            Some(value) if value.starts_with("True") => true,
            _ => return Err(bad("fortran_order")),
        };
        let descr = value_of(text, "descr").ok_or_else(|| bad("descr"))?;
        if descr.starts_with('[') {
            let message = "the array has a structured type; save each field alone";
            return Err(error("unsupported", offset, message));
        }
        let descr = descr
            .strip_prefix(['\'', '"'])
            .and_then(|text| text.split(['\'', '"']).next())
            .ok_or_else(|| bad("descr"))?;
        let shape = value_of(text, "shape")
            .and_then(|text| text.strip_prefix('(')?.split_once(')'))
            .and_then(|(sides, _)| parse_shape(sides))
            .ok_or_else(|| bad("shape"))?;
        let kind = NumberKind::of(descr, offset)?;
        Ok(Self { descr, kind, is_big_endian: descr.starts_with('>'), is_fortran_order, shape })
    }
}

/// What follows `'key':` in a Python dictionary.
fn value_of<'a>(dict: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = dict.split_once(key)?;
    Some(after.strip_prefix(['\'', '"'])?.trim_start().strip_prefix(':')?.trim_start())
}

fn parse_shape(sides: &str) -> Option<Vec<usize>> {
    let sides = sides.trim();
    let sides = sides.strip_suffix(',').unwrap_or(sides);
    if sides.is_empty() {
        return Some(Vec::new());
    }
    let shape: Option<Vec<usize>> =
        sides.split(',').take(MAX_AXES + 1).map(|side| side.trim().parse().ok()).collect();
    shape.filter(|shape| shape.len() <= MAX_AXES)
}

/// A type of numbers that files have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NumberKind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
}

impl NumberKind {
    /// The type of numpy's name for it, with the byte order before.
    fn of(descr: &str, offset: usize) -> Result<Self, FormatError> {
        match descr.strip_prefix(['<', '>', '|', '=']).unwrap_or_default() {
            "b1" => return Ok(Self::Bool),
            "i1" => return Ok(Self::I8),
            "i2" => return Ok(Self::I16),
            "i4" => return Ok(Self::I32),
            "i8" => return Ok(Self::I64),
            "u1" => return Ok(Self::U8),
            "u2" => return Ok(Self::U16),
            "u4" => return Ok(Self::U32),
            "u8" => return Ok(Self::U64),
            "f2" => return Ok(Self::F16),
            "f4" => return Ok(Self::F32),
            "f8" => return Ok(Self::F64),
            _ => {}
        }
        let reason = if descr.starts_with("|O") {
            "pickled objects are never read"
        } else {
            "types read are b1, i1 to i8, u1 to u8 and f2 to f8"
        };
        let descr: String = descr.chars().take(32).collect();
        let message = format_args!("the array has type `{}`: {reason}", descr.escape_debug());
        Err(error("unsupported", offset, message))
    }

    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 | Self::F16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// The numbers of as many bytes as they take.
    pub(crate) fn read(self, bytes: &[u8], is_big_endian: bool) -> NpyData {
        fn read<const N: usize, T>(
            bytes: &[u8],
            is_big_endian: bool,
            from: fn([u8; N]) -> T,
        ) -> Vec<T> {
            let chunks = bytes.as_chunks::<N>().0.iter();
            if is_big_endian {
                let turned = |chunk: &[u8; N]| {
                    let mut chunk = *chunk;
                    chunk.reverse();
                    from(chunk)
                };
                return chunks.map(turned).collect();
            }
            chunks.map(|chunk| from(*chunk)).collect()
        }
        match self {
            Self::Bool => NpyData::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
            Self::I8 => NpyData::I8(bytes.iter().map(|byte| byte.cast_signed()).collect()),
            Self::I16 => NpyData::I16(read(bytes, is_big_endian, i16::from_le_bytes)),
            Self::I32 => NpyData::I32(read(bytes, is_big_endian, i32::from_le_bytes)),
            Self::I64 => NpyData::I64(read(bytes, is_big_endian, i64::from_le_bytes)),
            Self::U8 => NpyData::U8(bytes.to_vec()),
            Self::U16 => NpyData::U16(read(bytes, is_big_endian, u16::from_le_bytes)),
            Self::U32 => NpyData::U32(read(bytes, is_big_endian, u32::from_le_bytes)),
            Self::U64 => NpyData::U64(read(bytes, is_big_endian, u64::from_le_bytes)),
            Self::F16 => {
                let from = |bytes| f16::from_le_bytes(bytes).to_f32();
                NpyData::F32(read(bytes, is_big_endian, from))
            }
            Self::F32 => NpyData::F32(read(bytes, is_big_endian, f32::from_le_bytes)),
            Self::F64 => NpyData::F64(read(bytes, is_big_endian, f64::from_le_bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use voxflow_contract::Fill;

    use super::*;

    fn file(dict: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((dict.len() as u16).to_le_bytes());
        [&bytes, dict.as_bytes(), body].concat()
    }

    /// `expected` is the array's debug text, or `code: message`.
    fn check(bytes: &[u8], expected: &str) {
        let found = match decode(bytes) {
            Ok(array) => format!("{:?} {:?}", array.shape, array.data),
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        // numpy.save of numpy.zeros(3, "f4") and of a scalar.
        let one = encode(&NpyArray { shape: vec![3], data: NpyData::F32(vec![0.0; 3]) });
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(&one[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert_eq!(String::from_utf8_lossy(&one[10..128]), format!("{text:117}\n"));
        let scalar = encode(&NpyArray { shape: vec![], data: NpyData::U8(vec![7]) });
        check(&scalar, "[] U8([7])");
        let many = vec![1; 30_000];
        assert_eq!(header("|u1", &many)[6], 2);
    }

    #[test]
    fn headers_of_others() {
        let dict = "{\"shape\":(2,1),\"descr\":\"<u2\",\"fortran_order\":False}";
        check(&file(dict, &[1, 0, 2, 1]), "[2, 1] U16([1, 258])");
        let mut version_3 = b"\x93NUMPY\x03\x00".to_vec();
        version_3.extend((dict.len() as u32).to_le_bytes());
        version_3.extend(dict.as_bytes());
        version_3.extend([1, 0, 2, 1]);
        check(&version_3, "[2, 1] U16([1, 258])");
    }

    #[test]
    fn orders_and_types_of_others() {
        let dict = |descr: &str, order: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (2, 3)}}")
        };
        check(&file(&dict("|i1", "True"), &[1, 2, 3, 4, 5, 255]), "[2, 3] I8([1, 3, 5, 2, 4, -1])");
        check(
            &file(&dict("|b1", "True"), &[1, 0, 0, 0, 0, 0]),
            "[2, 3] Bool([true, false, false, false, false, false])",
        );
        check(
            &file(&dict(">i2", "False"), &[1, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1]),
            "[2, 3] I16([256, -1, 0, 0, 0, 1])",
        );
        // One, minus two, the largest and the smallest half, infinity, zero.
        check(
            &file(&dict("<f2", "False"), &[0, 60, 0, 192, 255, 123, 1, 0, 0, 124, 0, 0]),
            "[2, 3] F32([1.0, -2.0, 65504.0, 5.9604645e-8, inf, 0.0])",
        );
        check(
            &file("{'descr': '>u8', 'fortran_order': True, 'shape': ()}", &[1; 8]),
            "[] U64([72340172838076673])",
        );
    }

    #[test]
    fn cubes_become_grids() {
        let array =
            NpyArray { shape: vec![1, 2, 2, 2], data: NpyData::U8(vec![0, 0, 0, 0, 0, 0, 9, 4]) };
        let grid = array.to_grid(5.0).expect("a cube");
        assert!(grid.get(1, 1, 0) && grid.occupied() == 1);
        for shape in [vec![4, 2], vec![2, 2, 2, 1], vec![2, 1, 4], vec![0, 0, 0], vec![]] {
            let data = NpyData::U8(vec![0; shape.iter().product()]);
            let error = NpyArray { shape, data }.to_grid(0.5).expect_err("no cube");
            assert_eq!(error.code, "bad_shape");
        }
        let one = NpyArray { shape: vec![1, 1, 1], data: NpyData::F32(vec![0.5]) };
        assert_eq!(one.to_grid(0.5).map(|grid| grid.occupied()), Ok(1));
    }

    #[test]
    fn refusals() {
        check(b"", "empty: the file holds no bytes");
        check(b"PK", "bad_header: the file does not begin with \\x93NUMPY");
        check(b"\x93NUMPY\x01\x00\x10", "truncated: the file ends inside its header");
        check(b"\x93NUMPY\x09\x00", "unsupported: NPY version 9 is not supported, 1 to 3 are");
        let dict = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        check(
            &file(&dict("'|O'", "False", "(1,)"), &[0; 4]),
            "unsupported: the array has type `|O`: pickled objects are never read",
        );
        check(
            &file(&dict("'<c8'", "False", "(1,)"), &[0; 8]),
            "unsupported: the array has type `<c8`: types read are b1, i1 to i8, u1 to u8 and f2 \
             to f8",
        );
        check(
            &file(&dict("[('a', '<f4')]", "False", "(1,)"), &[0; 4]),
            "unsupported: the array has a structured type; save each field alone",
        );
        for shape in ["(-1,)", "3", "(a,)", "(1, 2"] {
            check(
                &file(&dict("'<f4'", "False", shape), &[0; 4]),
                "bad_header: the header has no shape",
            );
        }
        check(
            &file(&dict("'<f4'", "False", "(2,)"), &[0; 7]),
            "truncated: an array of shape [2] and type <f4 takes 8 bytes, the file holds 7",
        );
        check(
            &file(&dict("'|u1'", "False", "(2,)"), &[0; 3]),
            "bad_length: an array of shape [2] and type |u1 takes 2 bytes, the file holds 3",
        );
        let huge = "(9223372036854775807, 9223372036854775807)";
        let error = decode(&file(&dict("'<f8'", "False", huge), &[])).expect_err("no bytes");
        assert_eq!(error.code, "truncated");
    }

    #[test]
    fn grids_are_indexed_x_y_z() {
        let mut grid = VoxelGrid::empty(3, [0.0; 3], [1.0; 3], Fill::Unknown);
        grid.set(2, 1, 0);
        let array = from_grid(&grid);
        assert_eq!(array.shape, [3, 3, 3]);
        let NpyData::Bool(cells) = &array.data else { panic!("truth values") };
        assert_eq!(cells.iter().position(|cell| *cell), Some(2 * 9 + 3));
    }
}
