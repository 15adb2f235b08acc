//! Elements of a MAT-file: a type, a length, bytes.

use crate::error::FormatError;
use crate::npy::{NpyArray, NumberKind};
use crate::scan::error;

/// Types of elements.
pub(super) mod kind {
    pub(in crate::mat) const INT8: u32 = 1;
    pub(in crate::mat) const UINT8: u32 = 2;
    pub(in crate::mat) const INT16: u32 = 3;
    pub(in crate::mat) const UINT16: u32 = 4;
    pub(in crate::mat) const INT32: u32 = 5;
    pub(in crate::mat) const UINT32: u32 = 6;
    pub(in crate::mat) const SINGLE: u32 = 7;
    pub(in crate::mat) const DOUBLE: u32 = 9;
    pub(in crate::mat) const INT64: u32 = 12;
    pub(in crate::mat) const UINT64: u32 = 13;
    pub(in crate::mat) const MATRIX: u32 = 14;
    pub(in crate::mat) const COMPRESSED: u32 = 15;
    pub(in crate::mat) const UTF8: u32 = 16;
    pub(in crate::mat) const UTF16: u32 = 17;
    pub(in crate::mat) const UTF32: u32 = 18;
}

/// Where bytes are, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// At this byte of the file.
    File(usize),
    /// Somewhere in the compressed element that begins at this byte of the file.
    Inflated(usize),
}

impl Place {
    fn plus(self, len: usize) -> Self {
        match self {
            Self::File(at) => Self::File(at + len),
            Self::Inflated(at) => Self::Inflated(at),
        }
    }

    /// An error here.
    pub(super) fn error(self, code: &'static str, message: impl std::fmt::Display) -> FormatError {
        match self {
            Self::File(at) => error(code, at, format_args!("byte {at}: {message}")),
            Self::Inflated(at) => {
                error(code, at, format_args!("in the compressed element at byte {at}: {message}"))
            }
        }
    }
}

/// An element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    /// Its type.
    pub(super) kind: u32,
    /// What it holds.
    pub(super) bytes: &'a [u8],
    /// Where that begins.
    pub(super) place: Place,
}

/// A place between elements.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether numbers are big-endian.
    pub(super) is_big_endian: bool,
    start: Place,
}

impl<'a> Reader<'a> {
    /// Byte `at` of some bytes, which begin at `start`.
    pub(super) fn new(bytes: &'a [u8], at: usize, is_big_endian: bool, start: Place) -> Self {
        Self { bytes, at, is_big_endian, start }
    }

    /// Whether nothing is left, or nothing but a few bytes that fill up.
    pub(super) fn is_at_end(&self) -> bool {
        self.left() < 8 && self.bytes[self.at..].iter().all(|byte| *byte == 0)
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The place, for messages.
    pub(super) fn place(&self) -> Place {
        self.start.plus(self.at)
    }

    /// The next element.
    pub(super) fn element(&mut self) -> Result<Element<'a>, FormatError> {
        let place = self.place();
        let rest = &self.bytes[self.at..];
        let cut_off = |at: usize| {
            Err(self.start.plus(at).error("truncated", "the file ends inside an element"))
        };
        let Some((head, body)) = rest.split_first_chunk::<8>() else {
            return cut_off(self.bytes.len());
        };
        let [word, len] =
            [[head[0], head[1], head[2], head[3]], [head[4], head[5], head[6], head[7]]]
                .map(|bytes| self.word(bytes));
        if word >> 16 != 0 {
            // A small element: its length and its bytes lie in its head.
            let (kind, len) = (word & 0xffff, (word >> 16) as usize);
            let Some(bytes) = rest[4..8].get(..len) else {
                let message = format_args!("a small element has {len} bytes, four are the most");
                return Err(place.error("bad_element", message));
            };
            self.at += 8;
            return Ok(Element { kind, bytes, place: place.plus(4) });
        }
        let Some(bytes) = body.get(..len as usize) else {
            return cut_off(self.bytes.len());
        };
        let padding = if word == kind::COMPRESSED { 0 } else { bytes.len().wrapping_neg() % 8 };
        self.at = (self.at + 8 + bytes.len() + padding).min(self.bytes.len());
        Ok(Element { kind: word, bytes, place: place.plus(8) })
    }

    /// The next element, which must be of a type.
    pub(super) fn expect(&mut self, kind: u32, what: &str) -> Result<Element<'a>, FormatError> {
        let element = self.element()?;
        if element.kind == kind {
            return Ok(element);
        }
        let found = element.kind;
        let message = format_args!("expected {what}, found an element of type {found}");
        Err(element.place.error("bad_element", message))
    }

    /// The whole numbers of 32 bits in an element.
    pub(super) fn words(&self, element: &Element<'a>) -> impl Iterator<Item = u32> + use<'a, '_> {
        element.bytes.as_chunks::<4>().0.iter().map(|bytes| self.word(*bytes))
    }

    fn word(&self, bytes: [u8; 4]) -> u32 {
        if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

impl Element<'_> {
    /// The numbers of an array of a shape.
    pub(super) fn numbers(
        &self,
        is_big_endian: bool,
        shape: Vec<usize>,
        is_logical: bool,
    ) -> Result<NpyArray, FormatError> {
        let kind = self.number_kind()?;
        let kind = if is_logical && kind.size() == 1 { NumberKind::Bool } else { kind };
        let (found, expected) = (self.bytes.len() / kind.size(), shape.iter().product::<usize>());
        if found != expected || !self.bytes.len().is_multiple_of(kind.size()) {
            let message = format_args!(
                "an array of shape {shape:?} has {expected} numbers, there are {found}"
            );
            return Err(self.place.error("bad_length", message));
        }
        let data = kind.read(self.bytes, is_big_endian).into_row_major(&shape);
        Ok(NpyArray { shape, data })
    }

    fn number_kind(&self) -> Result<NumberKind, FormatError> {
        match self.kind {
            kind::INT8 => Ok(NumberKind::I8),
            kind::UINT8 => Ok(NumberKind::U8),
            kind::INT16 => Ok(NumberKind::I16),
            kind::UINT16 => Ok(NumberKind::U16),
            kind::INT32 => Ok(NumberKind::I32),
            kind::UINT32 => Ok(NumberKind::U32),
            kind::SINGLE => Ok(NumberKind::F32),
            kind::DOUBLE => Ok(NumberKind::F64),
            kind::INT64 => Ok(NumberKind::I64),
            kind::UINT64 => Ok(NumberKind::U64),
            other => {
                let message = format_args!("an element of type {other} holds no numbers");
                Err(self.place.error("bad_element", message))
            }
        }
    }

    /// The letters of a text; what is none becomes U+FFFD.
    pub(super) fn letters(&self, is_big_endian: bool) -> Result<Vec<char>, FormatError> {
        let units = || {
            let pair = |bytes: &[u8; 2]| match is_big_endian {
                true => u16::from_be_bytes(*bytes),
                false => u16::from_le_bytes(*bytes),
            };
            self.bytes.as_chunks::<2>().0.iter().map(pair)
        };
        let replaced = |letter: Option<char>| letter.unwrap_or(char::REPLACEMENT_CHARACTER);
        match self.kind {
            kind::UTF8 => Ok(String::from_utf8_lossy(self.bytes).chars().collect()),
            kind::INT8 | kind::UINT8 => Ok(self.bytes.iter().map(|b| char::from(*b)).collect()),
            kind::UINT16 | kind::UTF16 => {
                Ok(char::decode_utf16(units()).map(|letter| replaced(letter.ok())).collect())
            }
            kind::UTF32 | kind::UINT32 => {
                let word = |bytes: &[u8; 4]| match is_big_endian {
                    true => u32::from_be_bytes(*bytes),
                    false => u32::from_le_bytes(*bytes),
                };
                let words = self.bytes.as_chunks::<4>().0.iter().map(word);
                Ok(words.map(|word| replaced(char::from_u32(word))).collect())
            }
            other => {
                let message = format_args!("an element of type {other} holds no text");
                Err(self.place.error("bad_element", message))
            }
        }
    }
}

/// Groups of `each` values whose first axis is the fastest, reordered so that the last one is.
pub(super) fn reorder<T>(values: Vec<T>, shape: &[usize], each: usize) -> Vec<T> {
    let count = values.len() / each.max(1);
    if shape.iter().filter(|len| **len > 1).count() < 2 {
        return values;
    }
    let order = crate::axis_order::to_row_major((0..count).collect(), shape);
    let mut values: Vec<Option<T>> = values.into_iter().map(Some).collect();
    let places = order.into_iter().flat_map(|group| group * each..(group + 1) * each);
    places.filter_map(|place| values[place].take()).collect()
}
