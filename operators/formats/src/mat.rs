//! MATLAB level 5 MAT-files (`save -v6` and `-v7`), as a tree of values.
//!
//! Follows MathWorks' "MAT-File Format", chapter 1. Arrays of MATLAB have their first axis fastest;
//! here they are in C order under the same indices, so that element (i, j, k) stays element
//! (i, j, k), counted from 0.

mod element;

use voxflow_contract::VoxelGrid;

use crate::error::FormatError;
use crate::inflate::{Deflated, MOST_EXPANSION, inflate};
use crate::npy::{NpyArray, NpyData};
use crate::scan::error;
use element::{Element, Place, Reader, kind};

/// A variable of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct MatVariable {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub value: MatValue,
}

/// A value of a MAT-file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MatValue {
    /// Numbers, or truth values of a logical array, under MATLAB's indices.
    ///
    /// They are of the type the file stores: MATLAB stores whole numbers in few bytes whatever
    /// their class is, so that a `double` array can be `U8` here.
    Numbers(NpyArray),
    /// A character array; its rows, without the blanks that fill them up, stand on lines.
    Text(String),
    /// A struct array.
    Struct(MatStruct),
    /// A cell array.
    Cell {
        /// Length along each axis.
        shape: Vec<usize>,
        /// The cells, last axis fastest.
        values: Vec<MatValue>,
    },
}

/// A struct array: the same fields for each element.
#[derive(Debug, Clone, PartialEq)]
pub struct MatStruct {
    /// Length along each axis; `[1, 1]` for a single struct.
    pub shape: Vec<usize>,
    /// Names of the fields.
    pub fields: Vec<String>,
    /// The fields of the first element, then those of the next, last axis fastest.
    pub values: Vec<MatValue>,
}

impl MatStruct {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A field of an element; `None` when there is no such field or element.
    pub fn field(&self, element: usize, name: &str) -> Option<&MatValue> {
        let field = self.fields.iter().position(|field| field == name)?;
        let fields = self.values.chunks_exact(self.fields.len()).nth(element)?;
        fields.get(field)
    }
}

impl MatValue {
    /// The numbers, where it is a numeric or logical array.
    pub fn numbers(&self) -> Option<&NpyArray> {
        match self {
            Self::Numbers(array) => Some(array),
            Self::Text(_) | Self::Struct(_) | Self::Cell { .. } => None,
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Numbers(_) | Self::Struct(_) | Self::Cell { .. } => None,
        }
    }

    /// A field of a struct, or of the first of several.
    pub fn field(&self, name: &str) -> Option<&MatValue> {
        match self {
            Self::Struct(all) => all.field(0, name),
            Self::Numbers(_) | Self::Text(_) | Self::Cell { .. } => None,
        }
    }

    /// The one number of a scalar.
    pub fn number(&self) -> Option<f64> {
        match self.numbers()?.data.to_f64()[..] {
            [number] => Some(number),
            _ => None,
        }
    }
}

/// Reads all variables of a file.
///
/// # Errors
/// As [`variables`], and the first that a variable has.
pub fn decode(bytes: &[u8]) -> Result<Vec<MatVariable>, FormatError> {
    variables(bytes)?.collect()
}

/// Reads the variable of a name, whatever the others are.
///
/// # Errors
/// As [`variables`]; `no_variable` when there is none of this name; what is wrong with it, or with
/// the first that could not be read and may have been it.
pub fn decode_variable(bytes: &[u8], name: &str) -> Result<MatValue, FormatError> {
    let (mut known, mut fault) = (Vec::new(), None);
    for variable in variables(bytes)? {
        match variable {
            Ok(variable) if variable.name == name => return Ok(variable.value),
            Ok(variable) => known.push(variable.name),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    known.truncate(16);
    let message = format!("there is no variable `{name}`, there are: {}", known.join(", "));
    Err(fault.unwrap_or(FormatError { code: "no_variable", message, offset: None }))
}

/// The grid that a numeric array holds: `Volume`, `voxel`, `input` and the like.
///
/// The array must have three axes of one length, which may follow others of length 1, as in
/// `[1, 256, 256, 256]`. Its first axis becomes x, its last z: what these mean in the frame of the
/// mesh differs from data set to data set, and is for the caller to turn. Cells whose value is at
/// least `threshold` are occupied.
///
/// # Errors
/// `bad_shape` when it is no such array.
pub fn grid_from_mat(value: &MatValue, threshold: f64) -> Result<VoxelGrid, FormatError> {
    let array = value.numbers().ok_or_else(|| FormatError {
        code: "bad_shape",
        message: "the variable is no array of numbers".to_owned(),
        offset: None,
    })?;
    array.to_grid(threshold)
}

/// The grid of the one variable that is a cube; see [`grid_from_mat`].
///
/// # Errors
/// As [`variables`]; `no_grid` when none of the variables that can be read is a cube, or more than
/// one is.
pub fn only_grid(bytes: &[u8], threshold: f64) -> Result<VoxelGrid, FormatError> {
    let readable = variables(bytes)?.filter_map(Result::ok);
    crate::npz::only_grid(readable.map(|it| (it.name, grid_from_mat(&it.value, threshold))))
}

/// Most bytes that reading takes for each byte of a file: what a compressed element can stand for,
/// as values that are kept, and once more while they are reordered.
pub const MOST_BYTES_A_BYTE: usize = 24 * MOST_EXPANSION;

/// The variables of a file, read one at a time.
///
/// # Errors
/// `empty`, `truncated`, `bad_header`, `unsupported` (level 4, and 7.3, which is HDF5). Of a
/// variable: `truncated`, `bad_archive` (compressed bytes that are not), `bad_element`,
/// `bad_length`, `too_deep`, `unsupported` (complex and sparse arrays, objects, function handles).
pub fn variables(bytes: &[u8]) -> Result<Variables<'_>, FormatError> {
    let is_big_endian = header(bytes)?;
    Ok(Variables { reader: Reader::new(bytes, HEADER_LEN, is_big_endian, Place::File(0)) })
}

/// Iterator over the variables of a file.
#[derive(Debug)]
pub struct Variables<'a> {
    reader: Reader<'a>,
}

impl Iterator for Variables<'_> {
    type Item = Result<MatVariable, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.reader.is_at_end() {
            let variable = self.reader.element().and_then(|element| self.variable(&element));
            match variable {
                // Data of the subsystem of objects has no name.
                Ok(variable) if variable.name.is_empty() => {}
                other => return Some(other),
            }
        }
        None
    }
}

impl Variables<'_> {
    fn variable(&self, element: &Element<'_>) -> Result<MatVariable, FormatError> {
        let is_big_endian = self.reader.is_big_endian;
        match element.kind {
            kind::MATRIX => {
                matrix(&mut Reader::new(element.bytes, 0, is_big_endian, element.place), 0)
            }
            kind::COMPRESSED => {
                let (Place::File(at) | Place::Inflated(at)) = element.place;
                let whole =
                    inflate(element.bytes, Deflated::Zlib, usize::MAX).map_err(|cause| {
                        error(
                            "bad_archive",
                            at,
                            format_args!("byte {at}: cannot decompress: {cause}"),
                        )
                    })?;
                let mut inside = Reader::new(&whole, 0, is_big_endian, Place::Inflated(at));
                let element = inside.element()?;
                if element.kind != kind::MATRIX {
                    return Err(element.place.error("bad_element", "it is no array"));
                }
                matrix(&mut Reader::new(element.bytes, 0, is_big_endian, element.place), 0)
            }
            other => {
                let message = format_args!("an element of type {other} is no array");
                Err(element.place.error("bad_element", message))
            }
        }
    }
}

const HEADER_LEN: usize = 128;

/// Whether the numbers of the file are big-endian.
fn header(bytes: &[u8]) -> Result<bool, FormatError> {
    let refused = |message: &str| Err(error("unsupported", 0, message));
    if bytes.is_empty() {
        return Err(error("empty", 0, "the file holds no bytes"));
    }
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
        return refused("the file is of MATLAB 7.3, which is HDF5: save it again with -v7");
    }
    if bytes.iter().take(4).any(|byte| *byte == 0) {
        return refused("the file is a MAT-file of level 4, or none: save it again with -v7");
    }
    let Some(&[a, b, c, d]) = bytes.get(HEADER_LEN - 4..HEADER_LEN).and_then(|e| e.first_chunk())
    else {
        return Err(error("truncated", bytes.len(), "the file ends inside its header"));
    };
    let (version, is_big_endian) = match [c, d] {
        [b'I', b'M'] => (u16::from_le_bytes([a, b]), false),
        [b'M', b'I'] => (u16::from_be_bytes([a, b]), true),
        _ => {
            let message = "the file is no MAT-file: its header does not say the byte order";
            return Err(error("bad_header", HEADER_LEN - 2, message));
        }
    };
    match version {
        0x0100 => Ok(is_big_endian),
        0x0200 => refused("the file is of MATLAB 7.3, which is HDF5: save it again with -v7"),
        _ => {
            let message = format_args!("the version of the file is {version:#06x}, not 0x0100");
            Err(error("unsupported", HEADER_LEN - 4, message))
        }
    }
}

/// Arrays that may lie in one another.
const MOST_DEPTH: usize = 48;

/// Reads an array from inside its element.
fn matrix(reader: &mut Reader<'_>, depth: usize) -> Result<MatVariable, FormatError> {
    if depth > MOST_DEPTH {
        let message = format_args!("more than {MOST_DEPTH} arrays lie in one another");
        return Err(reader.place().error("too_deep", message));
    }
    if reader.is_at_end() {
        // An empty cell is written so.
        let empty = NpyArray { shape: vec![0, 0], data: NpyData::F64(Vec::new()) };
        return Ok(MatVariable { name: String::new(), value: MatValue::Numbers(empty) });
    }
    let flags = reader.expect(kind::UINT32, "the flags of an array")?;
    let flags_word = reader.words(&flags).next();
    let word = flags_word.ok_or_else(|| flags.place.error("bad_element", "no flags"))?;
    let dims = reader.expect(kind::INT32, "the dimensions of an array")?;
    let shape = shape(reader, &dims)?;
    let name = reader.element()?;
    let name = String::from_utf8_lossy(name.bytes).into_owned();
    let named = |e: FormatError| match name.as_str() {
        "" => e,
        name => FormatError { message: format!("variable `{name}`: {e}"), ..e },
    };
    let value = value(reader, word, shape, depth).map_err(named)?;
    Ok(MatVariable { name, value })
}

fn shape(reader: &Reader<'_>, dims: &Element<'_>) -> Result<Vec<usize>, FormatError> {
    let sides = reader.words(dims).map(|side| usize::try_from(side.cast_signed()).ok());
    let shape: Option<Vec<usize>> = sides.collect();
    let whole = |shape: &Vec<usize>| {
        shape.iter().try_fold(1_usize, |cells, side| cells.checked_mul(*side)).is_some()
    };
    let message = "the dimensions of an array are no counts";
    shape.filter(whole).ok_or_else(|| dims.place.error("bad_element", message))
}

/// What follows the name of an array of class `word & 0xff`.
fn value(
    reader: &mut Reader<'_>,
    word: u32,
    shape: Vec<usize>,
    depth: usize,
) -> Result<MatValue, FormatError> {
    const COMPLEX: u32 = 1 << 11;
    const LOGICAL: u32 = 1 << 9;
    let refused =
        |what: &str| Err(reader.place().error("unsupported", format_args!("{what} are not read")));
    match word & 0xff {
        1 => {
            let count = shape.iter().product();
            let values = matrices(reader, count, depth)?;
            Ok(MatValue::Cell { values: element::reorder(values, &shape, 1), shape })
        }
        2 => structs(reader, shape, depth),
        3 => refused("objects"),
        4 => text(reader, &shape),
        5 => refused("sparse arrays"),
        6..=15 if word & COMPLEX != 0 => refused("complex numbers"),
        6..=15 => {
            let element = reader.element()?;
            let array = element.numbers(reader.is_big_endian, shape, word & LOGICAL != 0)?;
            Ok(MatValue::Numbers(array))
        }
        16 => refused("function handles"),
        17 => refused("objects"),
        other => Err(reader.place().error(
            "bad_element",
            format_args!("there is no class of arrays with the number {other}"),
        )),
    }
}

/// `count` arrays, one after the other.
fn matrices(
    reader: &mut Reader<'_>,
    count: usize,
    depth: usize,
) -> Result<Vec<MatValue>, FormatError> {
    // Each takes at least its tag: a count alone must not make room.
    if count > reader.left() / 8 {
        let message = format_args!("{count} arrays do not fit in what is left");
        return Err(reader.place().error("truncated", message));
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let element = reader.expect(kind::MATRIX, "an array")?;
        let mut inside = Reader::new(element.bytes, 0, reader.is_big_endian, element.place);
        values.push(matrix(&mut inside, depth + 1)?.value);
    }
    Ok(values)
}

fn structs(
    reader: &mut Reader<'_>,
    shape: Vec<usize>,
    depth: usize,
) -> Result<MatValue, FormatError> {
    let len = reader.expect(kind::INT32, "the length of field names")?;
    let name_len = reader.words(&len).next().map_or(0, |len| len as usize);
    let names = reader.expect(kind::INT8, "the names of fields")?;
    if name_len == 0 && !names.bytes.is_empty() {
        return Err(len.place.error("bad_element", "field names have no length"));
    }
    let name = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    let fields: Vec<String> = names.bytes.chunks_exact(name_len.max(1)).map(name).collect();
    let elements: usize = shape.iter().product();
    let count = elements.saturating_mul(fields.len());
    let values = matrices(reader, count, depth)?;
    let values = element::reorder(values, &shape, fields.len());
    Ok(MatValue::Struct(MatStruct { shape, fields, values }))
}

fn text(reader: &mut Reader<'_>, shape: &[usize]) -> Result<MatValue, FormatError> {
    let element = reader.element()?;
    let letters = element.letters(reader.is_big_endian)?;
    let rows = shape.first().copied().unwrap_or(0);
    if rows <= 1 {
        return Ok(MatValue::Text(letters.into_iter().collect()));
    }
    let (count, expected) = (letters.len(), shape.iter().product::<usize>());
    if count != expected {
        let message =
            format_args!("a text of shape {shape:?} has {expected} letters, there are {count}");
        return Err(element.place.error("bad_length", message));
    }
    let letters = crate::axis_order::to_row_major(letters, shape);
    let lines = letters.chunks_exact((expected / rows).max(1));
    let lines = lines.map(|line| line.iter().collect::<String>().trim_end().to_owned());
    Ok(MatValue::Text(lines.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests;
