//! The header of a PLY file: which elements there are, and which numbers a row of each has.

use crate::error::FormatError;
use crate::scan::{Scanner, error};
use crate::sidecars::plain_name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Ascii,
    LittleEndian,
    BigEndian,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Scalar {
    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"char" | b"int8" => Self::I8,
            b"uchar" | b"uint8" => Self::U8,
            b"short" | b"int16" => Self::I16,
            b"ushort" | b"uint16" => Self::U16,
            b"int" | b"int32" => Self::I32,
            b"uint" | b"uint32" => Self::U32,
            b"float" | b"float32" => Self::F32,
            b"double" | b"float64" => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The number in little-endian bytes of this size; every type fits an `f64`.
    pub(crate) fn number(self, bytes: [u8; 8]) -> f64 {
        let [a, b, c, d, ..] = bytes;
        match self {
            Self::I8 => f64::from(a as i8),
            Self::U8 => f64::from(a),
            Self::I16 => f64::from(i16::from_le_bytes([a, b])),
            Self::U16 => f64::from(u16::from_le_bytes([a, b])),
            Self::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Self::U32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            Self::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Self::F64 => f64::from_le_bytes(bytes),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Property {
    pub(crate) name: String,
    /// Type of the length of a list; `None` for one number.
    pub(crate) length: Option<Scalar>,
    pub(crate) scalar: Scalar,
}

#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) rows: u64,
    pub(crate) properties: Vec<Property>,
}

impl Element {
    /// Place of the first property, list or not, of one of these names.
    pub(crate) fn find(&self, list: bool, names: &[&str]) -> Option<usize> {
        let named = |p: &Property| p.length.is_some() == list && names.contains(&p.name.as_str());
        self.properties.iter().position(named)
    }

    /// Fewest bytes that a row takes.
    pub(crate) fn least_bytes(&self, encoding: Encoding) -> usize {
        let size = |p: &Property| match encoding {
            Encoding::Ascii => 2,
            _ => p.length.unwrap_or(p.scalar).size(),
        };
        self.properties.iter().map(size).sum::<usize>().max(1)
    }
}

#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) encoding: Encoding,
    pub(crate) elements: Vec<Element>,
    /// Pictures that comments name: `comment TextureFile fuze.png`.
    pub(crate) textures: Vec<String>,
}

impl Header {
    /// Reads to the first byte after the `end_header` line.
    pub(crate) fn read(scanner: &mut Scanner<'_>) -> Result<Self, FormatError> {
        if scanner.rest().is_empty() {
            return Err(error("empty", 0, "the file holds no bytes"));
        }
        if scanner.clone().word() != Some(b"ply") {
            return Err(scanner.unexpected("bad_header", "the keyword ply"));
        }
        let (mut encoding, mut elements, mut textures) = (None, Vec::new(), Vec::new());
        while scanner.skip_line() {
            let before = scanner.clone();
            match scanner.word() {
                None | Some(b"obj_info") => {}
                Some(b"comment") => textures.extend(read_texture(scanner)),
                Some(b"format") => encoding = Some(read_encoding(scanner)?),
                Some(b"element") => elements.push(read_element(scanner)?),
                Some(b"property") => read_property(scanner, elements.last_mut())?,
                Some(b"end_header") => {
                    scanner.skip_line();
                    let message = "the header has no format line";
                    let error = || before.error("bad_header", before.offset(), message);
                    let encoding = encoding.ok_or_else(error)?;
                    return Ok(Self { encoding, elements, textures });
                }
                _ => return Err(before.unexpected("bad_header", "a keyword of the header")),
            }
        }
        Err(scanner.error("truncated", scanner.offset(), "the file ends before end_header"))
    }

    /// Number of vertices the header promises, at least one.
    pub(crate) fn vertex_count(&self, scanner: &Scanner<'_>) -> Result<u64, FormatError> {
        let refuse = |code, message: &str| Err(scanner.error(code, scanner.offset(), message));
        let mut vertices = self.elements.iter().filter(|element| element.name == "vertex");
        let count = vertices.next().map_or(0, |element| element.rows);
        if vertices.next().is_some() {
            return refuse("bad_header", "the header has two elements `vertex`");
        }
        if count == 0 {
            return refuse("empty", "the header says that there are no vertices");
        }
        Ok(count)
    }
}

fn read_encoding(scanner: &mut Scanner<'_>) -> Result<Encoding, FormatError> {
    let before = scanner.clone();
    match scanner.word() {
        Some(b"ascii") => Ok(Encoding::Ascii),
        Some(b"binary_little_endian") => Ok(Encoding::LittleEndian),
        Some(b"binary_big_endian") => Ok(Encoding::BigEndian),
        _ => {
            Err(before.unexpected("bad_header", "ascii, binary_little_endian or binary_big_endian"))
        }
    }
}

fn read_element(scanner: &mut Scanner<'_>) -> Result<Element, FormatError> {
    let name = read_name(scanner, "the name of an element")?;
    let rows = scanner.count("the number of rows of an element")?;
    Ok(Element { name, rows, properties: Vec::new() })
}

fn read_property(
    scanner: &mut Scanner<'_>,
    element: Option<&mut Element>,
) -> Result<(), FormatError> {
    let Some(element) = element else {
        let message = "a property comes before the first element";
        return Err(scanner.error("bad_header", scanner.offset(), message));
    };
    let is_list = scanner.clone().word() == Some(b"list");
    let length = if is_list {
        scanner.word();
        Some(read_scalar(scanner)?)
    } else {
        None
    };
    let scalar = read_scalar(scanner)?;
    let name = read_name(scanner, "the name of a property")?;
    element.properties.push(Property { name, length, scalar });
    Ok(())
}

fn read_scalar(scanner: &mut Scanner<'_>) -> Result<Scalar, FormatError> {
    let before = scanner.clone();
    let scalar = scanner.word().and_then(Scalar::from_name);
    scalar.ok_or_else(|| before.unexpected("bad_header", "the type of a property (float, int, ..)"))
}

fn read_name(scanner: &mut Scanner<'_>, what: &str) -> Result<String, FormatError> {
    let before = scanner.clone();
    let name = scanner.word().map(|word| String::from_utf8_lossy(word).into_owned());
    name.ok_or_else(|| before.unexpected("bad_header", what))
}

/// The name behind `TextureFile` in a comment.
fn read_texture(scanner: &mut Scanner<'_>) -> Option<String> {
    let is_texture = scanner.word() == Some(b"TextureFile");
    let name = is_texture.then(|| String::from_utf8_lossy(scanner.rest_of_line()));
    name.map(|name| plain_name(&name)).filter(|name| !name.is_empty())
}
