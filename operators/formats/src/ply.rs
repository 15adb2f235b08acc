//! PLY: the Stanford polygon format, as text and as binary of both byte orders.
//!
//! Elements may come in any order with any properties: `x`, `y`, `z` of `vertex` and the list
//! `vertex_indices` (or `vertex_index`) of `face` are read, the rest is passed over. Coordinates
//! of type `double` are rounded to `f32`.

use voxflow_contract::{Appearance, TriMesh};

use crate::error::FormatError;
use crate::fan::Fan;
use crate::mesh_format::DecodedMesh;
use crate::quirks::Quirks;
use crate::scan::{Scanner, bounded, error};

/// Reads a PLY file.
///
/// # Errors
/// `empty` without vertices, `bad_header`, `unsupported` (triangle strips), `bad_number`,
/// `bad_count`, `truncated`, `not_finite`, `index_out_of_range`.
pub(crate) fn decode(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let header = Header::read(&mut scanner)?;
    let vertex_count = header.vertex_count(&scanner)?;
    let body = Body { scanner, encoding: header.encoding, element: "" };
    let mut reader =
        Reader { body, quirks: Quirks::default(), mesh: TriMesh::default(), vertex_count };
    for element in &header.elements {
        reader.element(element)?;
    }
    reader.finish()
}

/// Writes a little-endian binary PLY file; a point cloud has no face element.
pub(crate) fn encode(mesh: &TriMesh) -> Vec<u8> {
    let mut header = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\n\
         property float x\nproperty float y\nproperty float z\n",
        mesh.vertices.len()
    );
    if !mesh.triangles.is_empty() {
        let count = mesh.triangles.len();
        header += &format!("element face {count}\nproperty list uchar uint vertex_indices\n");
    }
    header += "end_header\n";
    let mut bytes = header.into_bytes();
    bytes.reserve(12 * mesh.vertices.len() + 13 * mesh.triangles.len());
    for coordinate in mesh.vertices.iter().flatten() {
        bytes.extend_from_slice(&coordinate.to_le_bytes());
    }
    for triangle in &mesh.triangles {
        bytes.push(3);
        triangle.iter().for_each(|vertex| bytes.extend_from_slice(&vertex.to_le_bytes()));
    }
    bytes
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Ascii,
    LittleEndian,
    BigEndian,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
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

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The number in little-endian bytes of this size; every type fits an `f64`.
    fn number(self, bytes: [u8; 8]) -> f64 {
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
struct Property {
    name: String,
    /// Type of the length of a list; `None` for one number.
    length: Option<Scalar>,
    scalar: Scalar,
}

#[derive(Debug)]
struct Element {
    name: String,
    rows: u64,
    properties: Vec<Property>,
}

impl Element {
    /// Place of the first property, list or not, of one of these names.
    fn find(&self, list: bool, names: &[&str]) -> Option<usize> {
        let named = |p: &Property| p.length.is_some() == list && names.contains(&p.name.as_str());
        self.properties.iter().position(named)
    }

    /// Fewest bytes that a row takes.
    fn least_bytes(&self, encoding: Encoding) -> usize {
        let size = |p: &Property| match encoding {
            Encoding::Ascii => 2,
            _ => p.length.unwrap_or(p.scalar).size(),
        };
        self.properties.iter().map(size).sum::<usize>().max(1)
    }
}

#[derive(Debug)]
struct Header {
    encoding: Encoding,
    elements: Vec<Element>,
}

impl Header {
    /// Reads to the first byte after the `end_header` line.
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, FormatError> {
        if scanner.rest().is_empty() {
            return Err(error("empty", 0, "the file holds no bytes"));
        }
        if scanner.clone().word() != Some(b"ply") {
            return Err(scanner.unexpected("bad_header", "the keyword ply"));
        }
        let (mut encoding, mut elements) = (None, Vec::new());
        while scanner.skip_line() {
            let before = scanner.clone();
            match scanner.word() {
                None | Some(b"comment" | b"obj_info") => {}
                Some(b"format") => encoding = Some(read_encoding(scanner)?),
                Some(b"element") => elements.push(read_element(scanner)?),
                Some(b"property") => read_property(scanner, elements.last_mut())?,
                Some(b"end_header") => {
                    scanner.skip_line();
                    return encoding.map(|encoding| Self { encoding, elements }).ok_or_else(|| {
                        before.error("bad_header", before.offset(), "the header has no format line")
                    });
                }
                _ => return Err(before.unexpected("bad_header", "a keyword of the header")),
            }
        }
        Err(scanner.error("truncated", scanner.offset(), "the file ends before end_header"))
    }

    /// Number of vertices the header promises, at least one.
    fn vertex_count(&self, scanner: &Scanner<'_>) -> Result<u64, FormatError> {
        let refuse = |code, message: &str| Err(scanner.error(code, scanner.offset(), message));
        let mut vertices = self.elements.iter().filter(|element| element.name == "vertex");
        let count = vertices.next().map_or(0, |element| element.rows);
        if vertices.next().is_some() {
            return refuse("bad_header", "the header has two elements `vertex`");
        }
        if count == 0 {
            return refuse("empty", "the header says that there are no vertices");
        }
        if self.elements.iter().any(|element| element.name == "tristrips" && element.rows > 0) {
            let message = "triangle strips are not supported; convert the file to faces";
            return refuse("unsupported", message);
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

/// The numbers after the header, one after the other.
struct Body<'a> {
    scanner: Scanner<'a>,
    encoding: Encoding,
    /// The element at hand, for messages.
    element: &'a str,
}

impl Body<'_> {
    fn error(&self, code: &'static str, offset: usize, message: &str) -> FormatError {
        let element = self.element;
        match self.encoding {
            Encoding::Ascii => {
                self.scanner.error(code, offset, format_args!("element `{element}`: {message}"))
            }
            _ => error(code, offset, format_args!("byte {offset}, element `{element}`: {message}")),
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Result<f64, FormatError> {
        if self.encoding == Encoding::Ascii {
            self.scanner.seek();
            return self.scanner.number("a number");
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

    fn list_length(&mut self, scalar: Scalar) -> Result<u64, FormatError> {
        let offset = self.scanner.offset();
        let length = self.scalar(scalar)?;
        if length >= 0.0 && length.fract() == 0.0 && length <= f64::from(u32::MAX) {
            return Ok(length as u64);
        }
        Err(self.error("bad_count", offset, &format!("a list is {length} long")))
    }

    fn pass_over(&mut self, property: &Property) -> Result<(), FormatError> {
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

struct Reader<'a> {
    body: Body<'a>,
    quirks: Quirks,
    mesh: TriMesh,
    vertex_count: u64,
}

impl<'a> Reader<'a> {
    fn element(&mut self, element: &'a Element) -> Result<(), FormatError> {
        self.body.element = &element.name;
        if element.properties.is_empty() {
            // Rows without properties take no bytes, however many are promised.
            return if element.name == "vertex" { self.no_position() } else { Ok(()) };
        }
        let room = self.body.scanner.rest().len();
        let room = bounded(element.rows, room, element.least_bytes(self.body.encoding));
        match element.name.as_str() {
            "vertex" => {
                self.mesh.vertices.reserve(room);
                self.vertices(element)
            }
            "face" if element.rows > 0 => {
                self.mesh.triangles.reserve(room);
                self.faces(element)
            }
            _ => self.rows(element, |reader, _, property| reader.body.pass_over(property)),
        }
    }

    /// Calls `read` for each property of each row, with the number of the property.
    fn rows(
        &mut self,
        element: &Element,
        mut read: impl FnMut(&mut Self, usize, &Property) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        for _ in 0..element.rows {
            for (i, property) in element.properties.iter().enumerate() {
                read(self, i, property)?;
            }
            if self.body.encoding == Encoding::Ascii {
                self.end_row();
            }
        }
        Ok(())
    }

    fn end_row(&mut self) {
        let scanner = &mut self.body.scanner;
        if !scanner.at_line_end() {
            self.quirks.note("row with more numbers than properties", scanner.line());
        }
        scanner.skip_line();
    }

    fn vertices(&mut self, element: &Element) -> Result<(), FormatError> {
        let axes = ["x", "y", "z"].map(|name| element.find(false, &[name]));
        let [Some(x), Some(y), Some(z)] = axes else { return self.no_position() };
        let last = element.properties.len() - 1;
        let mut vertex = [0.0_f32; 3];
        self.rows(element, |reader, i, property| {
            if let Some(axis) = [x, y, z].iter().position(|place| *place == i) {
                vertex[axis] = reader.body.scalar(property.scalar)? as f32;
            } else {
                reader.body.pass_over(property)?;
            }
            if i == last { reader.push_vertex(vertex) } else { Ok(()) }
        })
    }

    fn push_vertex(&mut self, vertex: [f32; 3]) -> Result<(), FormatError> {
        if vertex.iter().all(|coordinate| coordinate.is_finite()) {
            self.mesh.vertices.push(vertex);
            return Ok(());
        }
        let (offset, number, [x, y, z]) =
            (self.body.scanner.offset(), self.mesh.vertices.len(), vertex);
        let message = format!("vertex {number} ({x} {y} {z}) is not finite");
        Err(self.body.error("not_finite", offset, &message))
    }

    fn faces(&mut self, element: &Element) -> Result<(), FormatError> {
        let Some(corners) = element.find(true, &["vertex_indices", "vertex_index"]) else {
            let message = "the faces have no list vertex_indices";
            return Err(self.body.error("bad_header", self.body.scanner.offset(), message));
        };
        self.rows(element, |reader, i, property| match property.length {
            Some(length) if i == corners => reader.face(length, property.scalar),
            _ => reader.body.pass_over(property),
        })
    }

    fn face(&mut self, length: Scalar, scalar: Scalar) -> Result<(), FormatError> {
        let mut fan = Fan::default();
        for _ in 0..self.body.list_length(length)? {
            let offset = self.body.scanner.offset();
            let vertex = self.body.scalar(scalar)?;
            let exists = vertex >= 0.0
                && vertex < self.vertex_count as f64
                && vertex <= f64::from(u32::MAX)
                && vertex.fract() == 0.0;
            if !exists {
                let last = self.vertex_count - 1;
                let message = format!("a face names vertex {vertex}, there are 0 to {last}");
                return Err(self.body.error("index_out_of_range", offset, &message));
            }
            fan.corner(vertex as u32, &mut self.mesh.triangles);
        }
        if fan.corners() < 3 {
            let line = self.body.scanner.line();
            self.quirks.note("face of fewer than three corners skipped", line);
        }
        Ok(())
    }

    fn no_position(&self) -> Result<(), FormatError> {
        let message = "the vertices have no properties x, y and z";
        Err(self.body.error("bad_header", self.body.scanner.offset(), message))
    }

    fn finish(mut self) -> Result<DecodedMesh, FormatError> {
        let more = match self.body.encoding {
            Encoding::Ascii => self.body.scanner.seek(),
            _ => !self.body.scanner.rest().is_empty(),
        };
        if more {
            self.quirks.note("data after the last element", self.body.scanner.line());
        }
        let quirks = self.quirks.into_fragments();
        Ok(DecodedMesh { mesh: self.mesh, appearance: Appearance::default(), quirks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XYZ: &str = "property float x\nproperty float y\nproperty float z\n";
    const CORNERS: &str = "property list uchar int vertex_indices\n";

    /// `expected` is `vertices triangles | quirks`, or `code: message`.
    fn check(bytes: &[u8], expected: &str) {
        let found = match decode(bytes) {
            Ok(DecodedMesh { mesh, quirks, .. }) => {
                format!("{} {:?} | {}", mesh.vertices.len(), mesh.triangles, quirks.join("; "))
            }
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    fn check_ascii(elements: &str, body: &str, expected: &str) {
        let text = format!("ply\nformat ascii 1.0\n{elements}end_header\n{body}");
        check(text.as_bytes(), expected);
        check(text.replace('\n', "\r\n").as_bytes(), expected);
    }

    #[test]
    fn ascii() {
        let square = format!("element vertex 4\n{XYZ}element face 1\n{CORNERS}");
        let vertices = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n";
        let fan = "4 [[0, 1, 2], [0, 2, 3]] |";
        check_ascii(&square, &format!("{vertices}4 0 1 2 3\n"), &format!("{fan} "));
        check_ascii(&square, &format!("{vertices}4 0 1\n2 3"), &format!("{fan} "));
        check_ascii(
            &square,
            &format!("{vertices}4 0 1 2 3 255 0 0\n1\n"),
            &format!(
                "{fan} row with more numbers than properties (line 14); data after the last \
                 element (line 15)"
            ),
        );
        check_ascii(
            &square,
            &format!("{vertices}2 0 1\n"),
            "4 [] | face of fewer than three corners skipped (line 14)",
        );
        let reversed = format!("element face 1\n{CORNERS}element vertex 4\n{XYZ}");
        check_ascii(&reversed, &format!("3 0 1 2\n{vertices}"), "4 [[0, 1, 2]] | ");
        check_ascii(
            "comment x # y\nelement edge 1\nproperty list uchar int a\nproperty float b\n\
             element vertex 1\nproperty list uchar float t\nproperty double z\n\
             property uchar red\nproperty double y\nproperty double x\nelement odd 99\n",
            "2 8 9 1.5\n2 7 7 3 255 2 1\n",
            "1 [] | ",
        );
    }

    #[test]
    fn binary_of_both_byte_orders() {
        let head = |order| {
            format!(
                "ply\nformat binary_{order}_endian 1.0\nelement vertex 3\nproperty short x\n\
                 property double y\nproperty float z\nelement face 1\n\
                 property list ushort uint vertex_index\nproperty char k\nend_header\n"
            )
            .into_bytes()
        };
        let (mut little, mut big) = (head("little"), head("big"));
        for x in [-1_i16, 0, 1] {
            little.extend(x.to_le_bytes());
            little.extend(2.5_f64.to_le_bytes());
            little.extend(0.5_f32.to_le_bytes());
            big.extend(x.to_be_bytes());
            big.extend(2.5_f64.to_be_bytes());
            big.extend(0.5_f32.to_be_bytes());
        }
        little.extend([3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 255]);
        big.extend([0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 255]);
        let expected = [[-1.0, 2.5, 0.5], [0.0, 2.5, 0.5], [1.0, 2.5, 0.5]];
        for bytes in [little, big] {
            check(&bytes, "3 [[0, 1, 2]] | ");
            assert_eq!(decode(&bytes).map(|d| d.mesh.vertices), Ok(expected.to_vec()));
            let end = bytes.len() - 1;
            check(
                &bytes[..end],
                &format!("truncated: byte {end}, element `face`: the file ends inside a row"),
            );
        }
    }

    #[test]
    fn refusals() {
        check(b"", "empty: the file holds no bytes");
        check(b"plx", "bad_header: line 1: expected the keyword ply, found `plx`");
        check(b"ply\n", "truncated: line 2: the file ends before end_header");
        check(b"ply\nend_header\n", "bad_header: line 2: the header has no format line");
        check_ascii("", "", "empty: line 4: the header says that there are no vertices");
        let one = format!("element vertex 1\n{XYZ}");
        check_ascii(
            "element vertex 1\nproperty float x\n",
            "1\n",
            "bad_header: line 6: element `vertex`: the vertices have no properties x, y and z",
        );
        check_ascii(
            "element vertex 1\n",
            "1\n",
            "bad_header: line 5: element `vertex`: the vertices have no properties x, y and z",
        );
        check_ascii(
            "property float x\n",
            "",
            "bad_header: line 3: a property comes before the first element",
        );
        check_ascii(
            "element vertex 1\nproperty half x\n",
            "",
            "bad_header: line 4: expected the type of a property (float, int, ..), found `half`",
        );
        check_ascii(
            &one,
            "1 nan 0\n",
            "not_finite: line 8: element `vertex`: vertex 0 (1 NaN 0) is not finite",
        );
        check_ascii(&one, "1 x 0\n", "bad_number: line 8: expected a number, found `x`");
        let face = format!("{one}element face 1\n{CORNERS}");
        for wrong in ["1", "-1", "0.5", "nan"] {
            let shown = wrong.replace("nan", "NaN");
            check_ascii(
                &face,
                &format!("0 0 0\n3 0 0 {wrong}\n"),
                &format!(
                    "index_out_of_range: line 11: element `face`: a face names vertex {shown}, \
                     there are 0 to 0"
                ),
            );
        }
        check_ascii(&face, "0 0 0\n-1\n", "bad_count: line 11: element `face`: a list is -1 long");
        check_ascii(
            &format!("{one}element tristrips 1\n{CORNERS}"),
            "",
            "unsupported: line 10: triangle strips are not supported; convert the file to faces",
        );
        check_ascii(
            &format!("{one}element face 1\nproperty int a\n"),
            "0 0 0\n1\n",
            "bad_header: line 11: element `face`: the faces have no list vertex_indices",
        );
    }

    #[test]
    fn a_header_alone_allocates_nothing() {
        for encoding in ["ascii", "binary_little_endian"] {
            let text = format!(
                "ply\nformat {encoding} 1.0\nelement vertex 9000000000000000000\n{XYZ}end_header\n"
            );
            let error = decode(text.as_bytes()).expect_err("there are no vertices");
            assert_eq!(error.code, "truncated");
        }
    }
}
