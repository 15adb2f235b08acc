//! PLY: the Stanford polygon format, as text and as binary of both byte orders.
//!
//! Elements may come in any order with any properties. Of `vertex` are read `x y z`, `nx ny nz`,
//! `red green blue alpha` (or `diffuse_red` ..., or `r` ...) and `s t` (or `u v`, `texture_u` ...);
//! of `face` the list `vertex_indices` (or `vertex_index`), the list `texcoord`, the number
//! `texnumber` and a colour, which becomes a material; of `tristrips` the list `vertex_indices`. The
//! rest is passed over. Coordinates of type `double` are rounded to `f32`. A comment `TextureFile`
//! names the picture that texture coordinates are of.

use voxflow_contract::{Appearance, Material, TriMesh};

use crate::colors::{ColorNumbers, FaceColors};
use crate::error::FormatError;
use crate::mesh_format::DecodedMesh;
use crate::normals::units;
use crate::ply_header::{Element, Encoding, Header, Property, Scalar};
use crate::ply_pictures::{paint, read_pictures};
use crate::ply_rows::{Body, FixedRows, Slots, quick_text_row};
use crate::quick_lines;
use crate::quirks::Quirks;
use crate::scan::{Scanner, bounded};
use crate::sidecars::Sidecar;

/// Reads a PLY file; `sidecars` are its pictures, where they were looked for.
///
/// # Errors
/// `empty` without vertices, `bad_header`, `bad_number`, `bad_count`, `truncated`, `not_finite`,
/// `index_out_of_range`.
pub(crate) fn decode(
    bytes: &[u8],
    sidecars: Option<&[Sidecar<'_>]>,
) -> Result<DecodedMesh, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let header = Header::read(&mut scanner)?;
    let vertex_count = header.vertex_count(&scanner)?;
    let body = Body { scanner, encoding: header.encoding, element: "" };
    let mut reader = Reader::new(body, vertex_count);
    for element in &header.elements {
        reader.element(element)?;
    }
    Ok(reader.finish(&header.textures, sidecars))
}

/// The pictures that the header of a PLY file names; none when it is no such header.
pub(crate) fn texture_files(bytes: &[u8]) -> Vec<String> {
    Header::read(&mut Scanner::new(bytes)).map_or_else(|_| Vec::new(), |header| header.textures)
}

/// Slots of a vertex: position, normal, colour, texture coordinates.
const VERTEX: [&[&str]; 12] = [
    &["x"],
    &["y"],
    &["z"],
    &["nx", "normal_x"],
    &["ny", "normal_y"],
    &["nz", "normal_z"],
    COLOR[0],
    COLOR[1],
    COLOR[2],
    COLOR[3],
    &["s", "u", "texture_u", "texture_s"],
    &["t", "v", "texture_v", "texture_t"],
];
const COLOR: [&[&str]; 4] = [
    &["red", "diffuse_red", "r"],
    &["green", "diffuse_green", "g"],
    &["blue", "diffuse_blue", "b"],
    &["alpha", "diffuse_alpha", "a"],
];
/// Slots of a face: colour and number of the picture.
const FACE: [&[&str]; 5] = [COLOR[0], COLOR[1], COLOR[2], COLOR[3], &["texnumber"]];
/// Names of the list of corners.
const CORNERS: &[&str] = &["vertex_indices", "vertex_index"];

struct Reader<'a> {
    body: Body<'a>,
    quirks: Quirks,
    mesh: TriMesh,
    vertex_count: u64,
    normals: Vec<[f32; 3]>,
    colors: ColorNumbers,
    vertex_uvs: Vec<[f32; 2]>,
    corner_uvs: Vec<[[f32; 2]; 3]>,
    face_colors: FaceColors,
    /// Number of the picture of each triangle; as long as the last that has one needs.
    face_textures: Vec<u32>,
    /// The face at hand: its corners and their texture coordinates.
    polygon: Vec<u32>,
    texcoords: Vec<f32>,
}

impl<'a> Reader<'a> {
    fn new(body: Body<'a>, vertex_count: u64) -> Self {
        Self {
            body,
            quirks: Quirks::default(),
            mesh: TriMesh::default(),
            vertex_count,
            normals: Vec::new(),
            colors: ColorNumbers::default(),
            vertex_uvs: Vec::new(),
            corner_uvs: Vec::new(),
            face_colors: FaceColors::default(),
            face_textures: Vec::new(),
            polygon: Vec::new(),
            texcoords: Vec::new(),
        }
    }

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
            "tristrips" if element.rows > 0 => self.strips(element),
            _ => (0..element.rows).try_for_each(|_| {
                self.row(element, &mut |reader, _, property| reader.body.pass_over(property))?;
                self.end_row();
                Ok(())
            }),
        }
    }

    /// Calls `read` for each property of a row, with the number of the property.
    fn row(
        &mut self,
        element: &Element,
        read: &mut dyn FnMut(&mut Self, usize, &Property) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        for (i, property) in element.properties.iter().enumerate() {
            read(self, i, property)?;
        }
        Ok(())
    }

    /// Goes to the next line of a text file.
    fn end_row(&mut self) {
        if self.body.encoding == Encoding::Ascii {
            let scanner = &mut self.body.scanner;
            if !scanner.at_line_end() {
                self.quirks.note("row with more numbers than properties", scanner.line());
            }
            scanner.skip_line();
        }
    }

    fn vertices(&mut self, element: &Element) -> Result<(), FormatError> {
        let slots = Slots::of(element, VERTEX);
        if !slots.has(0..3) {
            return self.no_position();
        }
        if is_integer(slots.scalars[6]) {
            self.colors = ColorNumbers::of_bytes();
        }
        let is_text = self.body.encoding == Encoding::Ascii;
        let mut row = [0.0; 12];
        let mut read = if is_text { 0 } else { self.binary_vertices(element, &slots) };
        while read < element.rows {
            read += 1;
            let quick = is_text.then(|| quick_text_row(&self.body.scanner, &slots, &mut row));
            if let Some(next) = quick.flatten() {
                self.body.scanner.jump(next, 1);
                self.vertex(&row, &slots)?;
            } else {
                self.row(element, &mut |reader, i, property| {
                    match slots.slot(i) {
                        Some(slot) => row[slot] = reader.body.scalar(property.scalar)? as f32,
                        None => reader.body.pass_over(property)?,
                    }
                    Ok(())
                })?;
                self.vertex(&row, &slots)?;
                self.end_row();
            }
        }
        Ok(())
    }

    /// Reads rows of a binary file while they are whole and finite, and says how many it read.
    fn binary_vertices(&mut self, element: &Element, slots: &Slots<12>) -> u64 {
        let Some(rows) = FixedRows::of(element, 0, slots, self.body.encoding) else { return 0 };
        let most = usize::try_from(element.rows).unwrap_or(usize::MAX);
        let bytes = self.body.scanner.rest();
        let mut read = 0;
        if rows.is_three_floats() {
            for record in bytes.as_chunks::<12>().0.iter().take(most) {
                let vertex = float_triple(record);
                if !vertex.iter().all(|coordinate| coordinate.is_finite()) {
                    break;
                }
                self.mesh.vertices.push(vertex);
            }
            read = self.mesh.vertices.len();
        } else {
            let mut row = [0.0; 12];
            for record in bytes.chunks_exact(rows.stride).take(most) {
                rows.read(record, &mut row);
                if !row[..3].iter().all(|coordinate| coordinate.is_finite()) {
                    break;
                }
                self.mesh.vertices.push([row[0], row[1], row[2]]);
                self.vertex_look(&row, slots);
                read += 1;
            }
        }
        let end = self.body.scanner.offset() + read * rows.stride;
        self.body.scanner.jump(end, 0);
        read as u64
    }

    fn vertex(&mut self, row: &[f32; 12], slots: &Slots<12>) -> Result<(), FormatError> {
        let [x, y, z, ..] = *row;
        if [x, y, z].iter().all(|coordinate| coordinate.is_finite()) {
            self.mesh.vertices.push([x, y, z]);
            self.vertex_look(row, slots);
            return Ok(());
        }
        let (offset, number) = (self.body.scanner.offset(), self.mesh.vertices.len());
        let message = format!("vertex {number} ({x} {y} {z}) is not finite");
        Err(self.body.error("not_finite", offset, &message))
    }

    #[inline]
    fn vertex_look(&mut self, row: &[f32; 12], slots: &Slots<12>) {
        let [_, _, _, nx, ny, nz, .., u, v] = *row;
        if slots.has(3..6) {
            self.normals.push([nx, ny, nz]);
        }
        if slots.has(6..9) {
            let color = color(&row[6..10], slots.scalars[6], slots.scalars[9]);
            if !self.colors.push(&color[..3 + usize::from(slots.has(9..10))]) {
                let line = self.body.scanner.line();
                self.quirks.note("vertex colour that is no number taken as white", line);
            }
        }
        if slots.has(10..12) {
            self.vertex_uvs.push([u, v].map(finite_or_0));
        }
    }

    fn faces(&mut self, element: &Element) -> Result<(), FormatError> {
        let Some(corners) = element.find(true, CORNERS) else {
            let message = "the faces have no list vertex_indices";
            return Err(self.body.error("bad_header", self.body.scanner.offset(), message));
        };
        let slots = Slots::of(element, FACE);
        if is_integer(slots.scalars[0]) {
            self.face_colors = FaceColors::of_bytes();
        }
        let texcoord = element.find(true, &["texcoord"]);
        let is_bare = element.properties.len() == 1;
        let triangles = TriangleRows::of(element, corners, &slots, self.body.encoding);
        let (mut read, mut row) = (0, [0.0; 5]);
        while read < element.rows {
            if let Some(rows) = &triangles {
                read += self.binary_triangles(rows, element.rows - read, &slots);
                if read == element.rows {
                    break;
                }
            }
            read += 1;
            if is_bare && self.quick_text_face() {
                continue;
            }
            self.texcoords.clear();
            self.row(element, &mut |reader, i, property| match property.length {
                Some(length) if i == corners => reader.corners(length, property.scalar),
                Some(length) if Some(i) == texcoord => reader.texcoords(length, property.scalar),
                _ => match slots.slot(i) {
                    Some(slot) => {
                        row[slot] = reader.body.scalar(property.scalar)? as f32;
                        Ok(())
                    }
                    None => reader.body.pass_over(property),
                },
            })?;
            self.face(&row, &slots);
            self.end_row();
        }
        Ok(())
    }

    /// Takes a line of a text file that is a count and as many vertices that there are.
    fn quick_text_face(&mut self) -> bool {
        if self.body.encoding != Encoding::Ascii {
            return false;
        }
        let scanner = &self.body.scanner;
        let next = quick_lines::counted(scanner.bytes(), scanner.offset(), &mut self.polygon);
        let exists = |vertex: &u32| u64::from(*vertex) < self.vertex_count;
        let next = next.filter(|_| self.polygon.len() > 2 && self.polygon.iter().all(exists));
        let Some(next) = next else { return false };
        self.body.scanner.jump(next, 1);
        fan(&self.polygon, &mut self.mesh.triangles);
        true
    }

    /// Reads rows of a binary file while they are triangles whose vertices exist, and says how many.
    fn binary_triangles(&mut self, rows: &TriangleRows, most: u64, slots: &Slots<5>) -> u64 {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let bytes = self.body.scanner.rest();
        let limit = u32::try_from(self.vertex_count).unwrap_or(u32::MAX);
        let before = self.mesh.triangles.len();
        if rows.stride == 13 {
            for record in bytes.as_chunks::<13>().0.iter().take(most) {
                let Some(triangle) = triangle_of(record, limit) else { break };
                self.mesh.triangles.push(triangle);
            }
        } else {
            let mut row = [0.0; 5];
            for record in bytes.chunks_exact(rows.stride).take(most) {
                let triangle = record.first_chunk::<13>();
                let Some(triangle) = triangle.and_then(|r| triangle_of(r, limit)) else { break };
                self.mesh.triangles.push(triangle);
                rows.behind.read(&record[13..], &mut row);
                self.face_look(self.mesh.triangles.len() - 1, &row, slots);
            }
        }
        let read = self.mesh.triangles.len() - before;
        let end = self.body.scanner.offset() + read * rows.stride;
        self.body.scanner.jump(end, 0);
        read as u64
    }

    fn corners(&mut self, length: Scalar, scalar: Scalar) -> Result<(), FormatError> {
        self.polygon.clear();
        for _ in 0..self.body.list_length(length)? {
            let offset = self.body.scanner.offset();
            let vertex = self.body.scalar(scalar)?;
            let vertex = self.existing(vertex, offset)?;
            self.polygon.push(vertex);
        }
        Ok(())
    }

    fn existing(&self, vertex: f64, offset: usize) -> Result<u32, FormatError> {
        let exists = vertex >= 0.0
            && vertex < self.vertex_count as f64
            && vertex <= f64::from(u32::MAX)
            && vertex.fract() == 0.0;
        if exists {
            return Ok(vertex as u32);
        }
        let last = self.vertex_count - 1;
        let message = format!("a face names vertex {vertex}, there are 0 to {last}");
        Err(self.body.error("index_out_of_range", offset, &message))
    }

    fn texcoords(&mut self, length: Scalar, scalar: Scalar) -> Result<(), FormatError> {
        self.texcoords.clear();
        for _ in 0..self.body.list_length(length)? {
            let number = self.body.scalar(scalar)? as f32;
            self.texcoords.push(finite_or_0(number));
        }
        Ok(())
    }

    /// Takes the polygon, its texture coordinates and the rest of its row.
    fn face(&mut self, row: &[f32; 5], slots: &Slots<5>) {
        let start = self.mesh.triangles.len();
        if self.polygon.len() < 3 {
            let line = self.body.scanner.line();
            self.quirks.note("face of fewer than three corners skipped", line);
        }
        fan(&self.polygon, &mut self.mesh.triangles);
        let uvs = self.texcoords.as_chunks::<2>().0;
        if uvs.len() == self.polygon.len() && uvs.len() > 2 {
            self.corner_uvs.resize(start, [[0.0; 2]; 3]);
            fan(uvs, &mut self.corner_uvs);
        }
        self.face_look(start, row, slots);
    }

    #[inline]
    fn face_look(&mut self, start: usize, row: &[f32; 5], slots: &Slots<5>) {
        let end = self.mesh.triangles.len();
        if slots.has(0..3) {
            let color = color(&row[..4], slots.scalars[0], slots.scalars[3]);
            let color = &color[..3 + usize::from(slots.has(3..4))];
            if !self.face_colors.paint(start, end, color) {
                let line = self.body.scanner.line();
                self.quirks.note("face colour that is no number taken as white", line);
            }
        }
        if slots.has(4..5) && row[4] >= 0.0 {
            self.face_textures.resize(start, Material::NONE);
            self.face_textures.resize(end, row[4] as u32);
        }
    }

    /// Strips of triangles that share an edge with the one before; -1 begins a new strip.
    fn strips(&mut self, element: &Element) -> Result<(), FormatError> {
        let Some(corners) = element.find(true, CORNERS) else {
            let message = "the strips have no list vertex_indices";
            return Err(self.body.error("bad_header", self.body.scanner.offset(), message));
        };
        for _ in 0..element.rows {
            self.row(element, &mut |reader, i, property| match property.length {
                Some(length) if i == corners => reader.strip(length, property.scalar),
                _ => reader.body.pass_over(property),
            })?;
            self.end_row();
        }
        Ok(())
    }

    fn strip(&mut self, length: Scalar, scalar: Scalar) -> Result<(), FormatError> {
        let (mut last, mut corners) = ([0; 2], 0_u64);
        for _ in 0..self.body.list_length(length)? {
            let (offset, number) = (self.body.scanner.offset(), self.body.scalar(scalar)?);
            if number == -1.0 {
                corners = 0;
                continue;
            }
            let vertex = self.existing(number, offset)?;
            let [a, b] = if corners.is_multiple_of(2) { last } else { [last[1], last[0]] };
            // A repeated corner turns a strip; the triangles that it makes have no area.
            if corners > 1 && a != b && vertex != a && vertex != b {
                self.mesh.triangles.push([a, b, vertex]);
            }
            (last, corners) = ([last[1], vertex], corners + 1);
        }
        Ok(())
    }

    fn no_position(&self) -> Result<(), FormatError> {
        let message = "the vertices have no properties x, y and z";
        Err(self.body.error("bad_header", self.body.scanner.offset(), message))
    }

    fn finish(mut self, textures: &[String], sidecars: Option<&[Sidecar<'_>]>) -> DecodedMesh {
        let more = match self.body.encoding {
            Encoding::Ascii => self.body.scanner.seek(),
            _ => !self.body.scanner.rest().is_empty(),
        };
        if more {
            self.quirks.note("data after the last element", self.body.scanner.line());
        }
        let (mesh, mut quirks) = (self.mesh, self.quirks.into_fragments());
        let mut look = Appearance {
            vertex_normals: units(self.normals, &mut quirks),
            vertex_colors: self.colors.into_bytes(),
            ..Appearance::default()
        };
        if !self.corner_uvs.is_empty() {
            look.corner_uvs = self.corner_uvs;
            look.corner_uvs.resize(mesh.triangles.len(), [[0.0; 2]; 3]);
        } else if !self.vertex_uvs.is_empty() {
            let uv = |vertex: u32| self.vertex_uvs[vertex as usize];
            let corners = mesh.triangles.iter().map(|triangle| triangle.map(uv));
            look.corner_uvs = corners.collect();
        }
        self.face_colors.into_materials(mesh.triangles.len(), &mut look);
        if let Some(sidecars) = sidecars.filter(|_| !look.corner_uvs.is_empty()) {
            let pictures = read_pictures(textures, sidecars, &mut look.textures, &mut quirks);
            self.face_textures.resize(mesh.triangles.len(), 0);
            paint(&mut look, &self.face_textures, &pictures);
        }
        DecodedMesh { mesh, appearance: look, quirks }
    }
}

/// Rows of a binary file that are a count of one byte, that many corners of four little-endian bytes,
/// and single numbers.
struct TriangleRows {
    /// Bytes of a row of three corners.
    stride: usize,
    behind: FixedRows,
}

impl TriangleRows {
    fn of(element: &Element, corners: usize, slots: &Slots<5>, encoding: Encoding) -> Option<Self> {
        let Property { length, scalar, .. } = &element.properties[corners];
        let is_ordinary = corners == 0
            && encoding == Encoding::LittleEndian
            && *length == Some(Scalar::U8)
            && matches!(scalar, Scalar::I32 | Scalar::U32);
        let behind = FixedRows::of(element, 1, slots, encoding).filter(|_| is_ordinary)?;
        Some(Self { stride: 13 + behind.stride, behind })
    }
}

/// The corners of a row, when there are three and all below `limit`.
#[inline(always)]
fn triangle_of(record: &[u8; 13], limit: u32) -> Option<[u32; 3]> {
    let [3, corners @ ..] = record else { return None };
    let (corners, _) = corners.as_chunks::<4>();
    let triangle = [corners[0], corners[1], corners[2]].map(u32::from_le_bytes);
    triangle.iter().all(|vertex| *vertex < limit).then_some(triangle)
}

#[inline(always)]
fn float_triple(record: &[u8; 12]) -> [f32; 3] {
    let (floats, _) = record.as_chunks::<4>();
    [floats[0], floats[1], floats[2]].map(f32::from_le_bytes)
}

/// Cuts a polygon into triangles around its first corner.
fn fan<T: Copy>(polygon: &[T], triangles: &mut Vec<[T; 3]>) {
    if let [first, rest @ ..] = polygon {
        triangles.extend(rest.windows(2).map(|edge| [*first, edge[0], edge[1]]));
    }
}

fn is_integer(scalar: Option<Scalar>) -> bool {
    scalar.is_some_and(|scalar| !matches!(scalar, Scalar::F32 | Scalar::F64))
}

/// A colour whose integers, of whatever size, count to 255.
fn color(row: &[f32], scalar: Option<Scalar>, alpha: Option<Scalar>) -> [f32; 4] {
    let full = |scalar| if scalar == Some(Scalar::U16) { 65535.0 / 255.0 } else { 1.0 };
    let (color, alpha) = (full(scalar), full(alpha));
    [row[0] / color, row[1] / color, row[2] / color, row[3] / alpha]
}

fn finite_or_0(number: f32) -> f32 {
    if number.is_finite() { number } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XYZ: &str = "property float x\nproperty float y\nproperty float z\n";
    const CORNERS: &str = "property list uchar int vertex_indices\n";

    /// `expected` is `vertices triangles | quirks`, or `code: message`.
    fn check(bytes: &[u8], expected: &str) {
        let found = match decode(bytes, None) {
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
    fn strips() {
        let header = format!(
            "element vertex 5\n{XYZ}element tristrips 1\nproperty list int int vertex_indices\n"
        );
        let vertices = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n2 2 2\n";
        check_ascii(
            &header,
            &format!("{vertices}10 0 1 2 3 -1 4 3 3 2 1\n"),
            "5 [[0, 1, 2], [2, 1, 3], [3, 2, 1]] | ",
        );
    }

    /// `expected` is the look, part by part.
    fn check_look(bytes: &[u8], sidecars: Option<&[Sidecar<'_>]>, expected: &str) {
        let DecodedMesh { mesh, appearance: look, quirks } =
            decode(bytes, sidecars).expect("a good file");
        assert!(look.fits(&mesh));
        let materials: Vec<_> = look.materials.iter().map(|m| (m.color, m.texture)).collect();
        let found = format!(
            "{:?} {:?} {:?} {:?} {materials:?} | {}",
            look.vertex_colors,
            look.vertex_normals,
            look.corner_uvs,
            look.triangle_materials,
            quirks.join("; ")
        );
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    const TRIANGLE: &str = "0 0 0\n1 0 0\n0 1 0\n";

    #[test]
    fn looks_of_vertices() {
        let colors = |kind: &str| {
            let color = |name: &str| format!("property {kind} {name}\n");
            let header = ["diffuse_red", "diffuse_green", "diffuse_blue"].map(color).concat();
            format!("ply\nformat ascii 1.0\nelement vertex 1\n{XYZ}{header}end_header\n0 0 0 ")
        };
        let expected = "[[1, 0, 1, 255]] [] [] [] [] | ";
        check_look(format!("{}1 0 1\n", colors("uchar")).as_bytes(), None, expected);
        check_look(format!("{}257 0 257\n", colors("ushort")).as_bytes(), None, expected);
        check_look(
            format!("{}1 0 0.5\n", colors("float")).as_bytes(),
            None,
            "[[255, 0, 128, 255]] [] [] [] [] | ",
        );
        let header = format!(
            "ply\nformat ascii 1.0\nelement vertex 3\n{XYZ}property float nx\n\
             property float ny\nproperty float nz\nproperty float s\nproperty float t\n\
             element face 1\n{CORNERS}end_header\n"
        );
        check_look(
            format!("{header}0 0 0 0 0 2 0 0.5\n1 0 0 0 0 1 1 0\n0 1 0 0 0 1 nan 1\n3 0 1 2\n")
                .as_bytes(),
            None,
            "[] [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]] [[[0.0, 0.5], [1.0, 0.0], [0.0, \
             1.0]]] [] [] | ",
        );
    }

    #[test]
    fn looks_of_faces() {
        let header = |more: &str| {
            format!(
                "ply\nformat ascii 1.0\ncomment TextureFile .\\a b.png\ncomment TextureFile c.png\n\
                 element vertex 3\n{XYZ}element face 2\n{CORNERS}{more}end_header\n{TRIANGLE}"
            )
        };
        let rgb = "property uchar red\nproperty uchar green\nproperty uchar blue\n";
        check_look(
            format!("{}3 0 1 2 9 8 7\n3 2 1 0 9 8 6\n", header(rgb)).as_bytes(),
            None,
            "[] [] [] [0, 1] [([9, 8, 7, 255], None), ([9, 8, 6, 255], None)] | ",
        );
        let uvs = "property list uchar float texcoord\nproperty int texnumber\n";
        let text = format!("{}3 0 1 2 6 0 0 1 0 0 1 0\n3 2 1 0 0 1\n", header(uvs));
        let corners =
            "[[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]]";
        check_look(text.as_bytes(), None, &format!("[] [] {corners} [] [] | "));
        let picture = b"\x89PNG\r\n\x1a\n";
        check_look(
            text.as_bytes(),
            Some(&[Sidecar { name: "a b.png", bytes: picture }]),
            &format!(
                "[] [] {corners} [0, 1] [([255, 255, 255, 255], Some(0)), ([255, 255, 255, 255], \
                 None)] | texture not found: c.png"
            ),
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
            assert_eq!(decode(&bytes, None).map(|d| d.mesh.vertices), Ok(expected.to_vec()));
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
            &format!("{one}element tristrips 1\nproperty int a\n"),
            "0 0 0\n1\n",
            "bad_header: line 11: element `tristrips`: the strips have no list vertex_indices",
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
            let error = decode(text.as_bytes(), None).expect_err("there are no vertices");
            assert_eq!(error.code, "truncated");
        }
    }
}
