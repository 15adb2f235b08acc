//! The rows of a PLY file: numbers one after the other, or rows of one length all at once.

use crate::error::FormatError;
use crate::ply_header::{Element, Encoding, Property, Scalar};
use crate::quick_lines;
use crate::scan::{Scanner, error};

/// The numbers after the header, one after the other.
pub(crate) struct Body<'a> {
    pub(crate) scanner: Scanner<'a>,
    pub(crate) encoding: Encoding,
    /// The element at hand, for messages.
    pub(crate) element: &'a str,
}

impl Body<'_> {
    pub(crate) fn error(&self, code: &'static str, offset: usize, message: &str) -> FormatError {
        let element = self.element;
        match self.encoding {
            Encoding::Ascii => {
                self.scanner.error(code, offset, format_args!("element `{element}`: {message}"))
            }
            _ => error(code, offset, format_args!("byte {offset}, element `{element}`: {message}")),
        }
    }

    pub(crate) fn scalar(&mut self, scalar: Scalar) -> Result<f64, FormatError> {
        if self.encoding == Encoding::Ascii {
            self.scanner.seek();
            return self.scanner.double("a number");
        }
        let offset = self.scanner.offset();
        let Some(bytes) = self.scanner.take(scalar.size()) else {
            return Err(self.error("truncated", offset, "the file ends inside a row"));
        };
        let mut number = [0; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        if self.encoding == Encoding::BigEndian {
            number[..bytes.len()].reverse();
        }
        Ok(scalar.number(number))
    }

    pub(crate) fn list_length(&mut self, scalar: Scalar) -> Result<u64, FormatError> {
        let offset = self.scanner.offset();
        let length = self.scalar(scalar)?;
        if length >= 0.0 && length.fract() == 0.0 && length <= f64::from(u32::MAX) {
            return Ok(length as u64);
        }
        Err(self.error("bad_count", offset, &format!("a list is {length} long")))
    }

    pub(crate) fn pass_over(&mut self, property: &Property) -> Result<(), FormatError> {
        let length = match property.length {
            Some(length) => self.list_length(length)?,
            None => 1,
        };
        for _ in 0..length {
            self.scalar(property.scalar)?;
        }
        Ok(())
    }
}

/// Where the numbers of a row go: a slot for each property that is asked for by name.
pub(crate) struct Slots<const N: usize> {
    of_property: Vec<Option<usize>>,
    /// Type of the number in each slot that there is.
    pub(crate) scalars: [Option<Scalar>; N],
}

impl<const N: usize> Slots<N> {
    /// Finds the properties that are single numbers by the names that each slot goes by.
    pub(crate) fn of(element: &Element, names: [&[&str]; N]) -> Self {
        let mut of_property = vec![None; element.properties.len()];
        let scalars = std::array::from_fn(|slot| {
            let place = element.find(false, names[slot])?;
            of_property[place] = Some(slot);
            Some(element.properties[place].scalar)
        });
        Self { of_property, scalars }
    }

    /// Whether all slots of a range are there.
    pub(crate) fn has(&self, slots: std::ops::Range<usize>) -> bool {
        self.scalars[slots].iter().all(Option::is_some)
    }

    /// The slot of a property.
    pub(crate) fn slot(&self, property: usize) -> Option<usize> {
        self.of_property[property]
    }
}

/// How to read rows without lists.
pub(crate) struct FixedRows {
    /// Bytes of a row of a binary file.
    pub(crate) stride: usize,
    /// Slot, byte offset in the row and type of each number that is asked for.
    fields: Vec<(usize, usize, Scalar)>,
    is_big_endian: bool,
}

impl FixedRows {
    /// How to read the properties from `first` on of a binary file; `None` when one is a list.
    pub(crate) fn of<const N: usize>(
        element: &Element,
        first: usize,
        slots: &Slots<N>,
        encoding: Encoding,
    ) -> Option<Self> {
        let (mut stride, mut fields) = (0, Vec::new());
        for (i, property) in element.properties.iter().enumerate().skip(first) {
            if property.length.is_some() {
                return None;
            }
            fields.extend(slots.slot(i).map(|slot| (slot, stride, property.scalar)));
            stride += property.scalar.size();
        }
        Some(Self { stride, fields, is_big_endian: encoding == Encoding::BigEndian })
    }

    /// Whether a row is three little-endian floats in slots 0, 1 and 2 and nothing else.
    pub(crate) fn is_three_floats(&self) -> bool {
        let expected = [(0, 0, Scalar::F32), (1, 4, Scalar::F32), (2, 8, Scalar::F32)];
        !self.is_big_endian && self.stride == 12 && self.fields == expected
    }

    /// The numbers of a row.
    #[inline]
    pub(crate) fn read(&self, bytes: &[u8], row: &mut [f32]) {
        for &(slot, offset, scalar) in &self.fields {
            let mut number = [0; 8];
            let size = scalar.size();
            number[..size].copy_from_slice(&bytes[offset..offset + size]);
            if self.is_big_endian {
                number[..size].reverse();
            }
            row[slot] = scalar.number(number) as f32;
        }
    }
}

/// The numbers of an ordinary line of a text file, each in its slot; `None` when it is not ordinary.
pub(crate) fn quick_text_row<const N: usize>(
    scanner: &Scanner<'_>,
    slots: &Slots<N>,
    row: &mut [f32; N],
) -> Option<usize> {
    const MOST: usize = 32;
    let mut numbers = [0.0; MOST];
    let numbers = numbers.get_mut(..slots.of_property.len())?;
    let next = quick_lines::row(scanner.bytes(), scanner.offset(), numbers)?;
    for (number, slot) in numbers.iter().zip(&slots.of_property) {
        if let Some(slot) = slot {
            row[*slot] = *number;
        }
    }
    Some(next)
}
