//! NPY: one array of numbers, as numpy saves it.

use voxflow_contract::VoxelGrid;

use crate::error::FormatError;
use crate::scan::error;

/// The numbers of an array, in C order.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NpyData {
    /// `|b1`.
    Bool(Vec<bool>),
    /// `|u1`.
    U8(Vec<u8>),
    /// `<u2`.
    U16(Vec<u16>),
    /// `<u4`.
    U32(Vec<u32>),
    /// `<f4`.
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
        NpyData::U8(values) => bytes.extend_from_slice(values),
        NpyData::U16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::U32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
        NpyData::F64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
    }
    bytes
}

/// Reads an NPY file of version 1, 2 or 3.
///
/// # Errors
/// `empty`, `bad_header`, `unsupported` (Fortran order, big-endian numbers, pickled objects, types
/// that [`NpyData`] lacks), `truncated`, `bad_length` (bytes after the array).
pub fn decode(bytes: &[u8]) -> Result<NpyArray, FormatError> {
    let (header, start) = split(bytes)?;
    let (descr, shape) = parse_header(header, start - header.len())?;
    let size = item_size(descr, start - header.len())?;
    let cells = shape.iter().try_fold(1_usize, |cells, side| cells.checked_mul(*side));
    let promised = cells.and_then(|cells| cells.checked_mul(size)).unwrap_or(usize::MAX);
    let body = &bytes[start..];
    if body.len() != promised {
        let code = if body.len() < promised { "truncated" } else { "bad_length" };
        let found = body.len();
        let message = format_args!(
            "an array of shape {shape:?} and type {descr} takes {promised} bytes, the file holds {found}"
        );
        return Err(error(code, bytes.len().min(start.saturating_add(promised)), message));
    }
    Ok(NpyArray { shape, data: read_data(descr, body) })
}

/// A voxel grid as truth values of shape `[d, d, d]`, indexed x, y, z.
pub fn from_grid(grid: &VoxelGrid) -> NpyArray {
    let d = grid.resolution;
    let cells = (0..d * d * d).map(|index| grid.get_index(index));
    NpyArray { shape: vec![d; 3], data: NpyData::Bool(cells.collect()) }
}

impl NpyData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::U32(values) => values.len(),
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
            Self::U8(_) => "|u1",
            Self::U16(_) => "<u2",
            Self::U32(_) => "<u4",
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

/// Type and shape out of the header's Python dictionary, which begins at byte `offset`.
fn parse_header(header: &str, offset: usize) -> Result<(&str, Vec<usize>), FormatError> {
    let bad = |what: &str| error("bad_header", offset, format_args!("the header has no {what}"));
    match value_of(header, "fortran_order") {
        Some(value) if value.starts_with("False") => {}
        Some(value) if value.starts_with("True") => {
            let message = "the array is in Fortran order; save it with numpy.ascontiguousarray";
            return Err(error("unsupported", offset, message));
        }
        _ => return Err(bad("fortran_order")),
    }
    let descr = value_of(header, "descr").ok_or_else(|| bad("descr"))?;
    if descr.starts_with('[') {
        let message = "the array has a structured type; save each field alone";
        return Err(error("unsupported", offset, message));
    }
    let descr = descr
        .strip_prefix(['\'', '"'])
        .and_then(|text| text.split(['\'', '"']).next())
        .ok_or_else(|| bad("descr"))?;
    let shape = value_of(header, "shape")
        .and_then(|text| text.strip_prefix('(')?.split_once(')'))
        .and_then(|(sides, _)| parse_shape(sides))
        .ok_or_else(|| bad("shape"))?;
    Ok((descr, shape))
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

fn item_size(descr: &str, offset: usize) -> Result<usize, FormatError> {
    let reason = match descr {
        "|b1" | "|u1" | "<b1" | "<u1" => return Ok(1),
        "<u2" => return Ok(2),
        "<u4" | "<f4" => return Ok(4),
        "<f8" => return Ok(8),
        _ if descr.starts_with("|O") => "pickled objects are never read",
        _ if descr.starts_with('>') => "big-endian numbers are not read",
        _ => "types read are b1, u1, u2, u4, f4 and f8",
    };
    let message = format_args!("the array has type `{}`: {reason}", descr.escape_debug());
    Err(error("unsupported", offset, message))
}

/// The values of a type that [`item_size`] knows.
fn read_data(descr: &str, bytes: &[u8]) -> NpyData {
    fn read<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
    }
    match &descr[1..] {
        "b1" => NpyData::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
        "u1" => NpyData::U8(bytes.to_vec()),
        "u2" => NpyData::U16(read(bytes, u16::from_le_bytes)),
        "u4" => NpyData::U32(read(bytes, u32::from_le_bytes)),
        "f4" => NpyData::F32(read(bytes, f32::from_le_bytes)),
        _ => NpyData::F64(read(bytes, f64::from_le_bytes)),
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
    fn refusals() {
        check(b"", "empty: the file holds no bytes");
        check(b"PK", "bad_header: the file does not begin with \\x93NUMPY");
        check(b"\x93NUMPY\x01\x00\x10", "truncated: the file ends inside its header");
        check(b"\x93NUMPY\x09\x00", "unsupported: NPY version 9 is not supported, 1 to 3 are");
        let dict = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        check(
            &file(&dict("'<f4'", "True", "(1,)"), &[0; 4]),
            "unsupported: the array is in Fortran order; save it with numpy.ascontiguousarray",
        );
        check(
            &file(&dict("'|O'", "False", "(1,)"), &[0; 4]),
            "unsupported: the array has type `|O`: pickled objects are never read",
        );
        check(
            &file(&dict("'>f4'", "False", "(1,)"), &[0; 4]),
            "unsupported: the array has type `>f4`: big-endian numbers are not read",
        );
        check(
            &file(&dict("'<i8'", "False", "(1,)"), &[0; 8]),
            "unsupported: the array has type `<i8`: types read are b1, u1, u2, u4, f4 and f8",
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
