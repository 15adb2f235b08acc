//! OFF: the Object File Format of Geomview, with the liberties that ModelNet takes.
//!
//! Header keywords are `OFF` with any of `ST`, `C`, `N` in front, and `nOFF` of three dimensions; the
//! numbers of a vertex are then, in this order, position, normal, colour and texture coordinates.
//! Text and binary (`OFF BINARY`, big-endian) are read. `OFF490 518 0` (counts glued to the keyword)
//! is a quirk, counts on the keyword's line are not. The edge count is never believed. Colours of
//! faces become materials; entries of a colour map, which the file does not hold, do not.

use voxflow_contract::{Appearance, TriMesh};

use crate::colors::{ColorNumbers, FaceColors};
use crate::error::FormatError;
use crate::fan::Fan;
use crate::mesh_format::DecodedMesh;
use crate::normals::units;
use crate::quick_lines;
use crate::quirks::Quirks;
use crate::scan::{Scanner, bounded, integer_prefix};

/// Reads an OFF file.
///
/// # Errors
/// `empty` without vertices, `bad_header`, `unsupported` (not three-dimensional), `bad_number`,
/// `bad_count`, `truncated`, `not_finite`, `index_out_of_range`.
pub(crate) fn decode(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let mut quirks = Quirks::default();
    let keyword = Keyword::read(&mut scanner, &mut quirks)?;
    let mut body = Body::new(keyword, quirks);
    if keyword.is_binary {
        crate::off_binary::read(&mut scanner, &mut body)?;
    } else {
        body.read_text(&mut scanner)?;
    }
    Ok(body.finish())
}

/// What the keyword promises of each vertex, and of the file.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Keyword {
    /// `N`: three numbers behind the position.
    pub(crate) normals: bool,
    /// `C`: three or four behind the normal.
    pub(crate) colors: bool,
    /// `ST`: two behind the colour.
    pub(crate) uvs: bool,
    /// `nOFF`: a number of dimensions before the counts.
    pub(crate) dimension: bool,
    /// `OFF BINARY`.
    pub(crate) is_binary: bool,
}

impl Keyword {
    /// Reads `[ST][C][N][4][n]OFF` and leaves the scanner before the counts.
    fn read(scanner: &mut Scanner<'_>, quirks: &mut Quirks) -> Result<Self, FormatError> {
        if !scanner.seek() {
            return Err(scanner.error("empty", scanner.offset(), "the file holds no text"));
        }
        let before = scanner.clone();
        let word = scanner.word().unwrap_or_default();
        if integer_prefix(word).is_some_and(|(_, len)| len == word.len()) {
            quirks.note("no OFF keyword", scanner.line());
            scanner.unread(word.len());
            return Ok(Self::default());
        }
        let Some((mut keyword, glued)) = split_keyword(word) else {
            let is_four = word.windows(4).any(|four| four.eq_ignore_ascii_case(b"4off"));
            let is_four =
                is_four || word.windows(5).any(|five| five.eq_ignore_ascii_case(b"4noff"));
            if is_four {
                let message = "vertices of four dimensions (4OFF) are not supported";
                return Err(scanner.error("unsupported", before.offset(), message));
            }
            return Err(before.unexpected("bad_header", "the keyword OFF"));
        };
        if !glued.is_empty() {
            quirks.note("counts glued to the OFF keyword", scanner.line());
            scanner.unread(glued.len());
        } else if scanner.clone().word() == Some(b"BINARY") {
            scanner.skip_line();
            keyword.is_binary = true;
        }
        Ok(keyword)
    }
}

/// What a word that ends in `OFF` promises, and what stands behind; `None` when it is no keyword.
fn split_keyword(word: &[u8]) -> Option<(Keyword, &[u8])> {
    let at = word.windows(3).position(|three| three.eq_ignore_ascii_case(b"off"))?;
    let (mut left, glued) = (&word[..at], &word[at + 3..]);
    let mut has = |part: &[u8]| {
        let rest = left.strip_prefix(part);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let (uvs, colors, normals, dimension) = (has(b"ST"), has(b"C"), has(b"N"), has(b"n"));
    let number = glued.is_empty() || integer_prefix(glued).is_some_and(|(_, n)| n == glued.len());
    let keyword = Keyword { normals, colors, uvs, dimension, is_binary: false };
    (left.is_empty() && number).then_some((keyword, glued))
}

/// The mesh and its look while they are read.
pub(crate) struct Body {
    /// What each vertex has.
    pub(crate) keyword: Keyword,
    /// Oddities so far.
    pub(crate) quirks: Quirks,
    /// The mesh so far.
    pub(crate) mesh: TriMesh,
    normals: Vec<[f32; 3]>,
    colors: ColorNumbers,
    uvs: Vec<[f32; 2]>,
    faces: FaceColors,
}

impl Body {
    fn new(keyword: Keyword, quirks: Quirks) -> Self {
        Self {
            keyword,
            quirks,
            mesh: TriMesh::default(),
            normals: Vec::new(),
            colors: ColorNumbers::default(),
            uvs: Vec::new(),
            faces: FaceColors::default(),
        }
    }

    fn read_text(&mut self, scanner: &mut Scanner<'_>) -> Result<(), FormatError> {
        let (vertex_count, face_count) = self.counts(scanner)?;
        self.vertices(scanner, vertex_count)?;
        self.triangles(scanner, face_count)?;
        if scanner.seek() {
            self.quirks.note("text after the last face", scanner.line());
        }
        Ok(())
    }

    fn counts(&mut self, scanner: &mut Scanner<'_>) -> Result<(u64, u64), FormatError> {
        scanner.seek();
        let start = scanner.offset();
        if self.keyword.dimension {
            let dimension = scanner.count("the number of dimensions")?;
            check_dimension(dimension).map_err(|m| scanner.error("unsupported", start, m))?;
            scanner.seek();
        }
        let start = scanner.offset();
        let vertices = scanner.count("the number of vertices")?;
        scanner.seek();
        let faces = scanner.count("the number of faces")?;
        if vertices == 0 {
            return Err(scanner.error("empty", start, NO_VERTICES));
        }
        if scanner.at_line_end() {
            self.quirks.note("no edge count", scanner.line());
        }
        scanner.skip_line();
        Ok((vertices, faces))
    }

    fn vertices(&mut self, scanner: &mut Scanner<'_>, count: u64) -> Result<(), FormatError> {
        self.mesh.vertices.reserve(bounded(count, scanner.rest().len(), 6));
        let is_plain = !(self.keyword.normals || self.keyword.colors || self.keyword.uvs);
        for read in 0..count {
            if is_plain
                && let Some((vertex, next)) =
                    quick_lines::numbers(scanner.bytes(), scanner.offset())
            {
                self.mesh.vertices.push(vertex);
                scanner.jump(next, 1);
                continue;
            }
            if !scanner.seek() {
                return Err(short(scanner, "vertices", count, read));
            }
            let line = scanner.line();
            self.mesh.vertices.push(scanner.vertex()?);
            if !is_plain {
                let mut more = [0.0; 9];
                let found = scanner.more_numbers(&mut more);
                self.vertex_look(&more[..found], line);
            }
            scanner.skip_line();
        }
        Ok(())
    }

    /// Takes what stands behind the position of a vertex.
    pub(crate) fn vertex_look(&mut self, numbers: &[f32], line: u64) {
        let Keyword { normals, colors, uvs, .. } = self.keyword;
        let (before, behind) = (3 * usize::from(normals), 2 * usize::from(uvs));
        let color_len = numbers.len().checked_sub(before + behind);
        let is_whole = matches!((colors, color_len), (true, Some(3 | 4)) | (false, Some(_)));
        if !is_whole {
            self.quirks.note("vertex without all numbers that the keyword promises", line);
            return;
        }
        let (normal, rest) = numbers.split_at(before);
        self.normals.extend(normal.first_chunk::<3>().copied());
        let (color, uv) = rest.split_at(if colors { rest.len() - behind } else { 0 });
        if colors && !self.colors.push(color) {
            self.quirks.note("vertex colour that is no number taken as white", line);
        }
        let uv = uv.first_chunk::<2>().filter(|uv| uvs && uv.iter().all(|x| x.is_finite()));
        self.uvs.extend(uv.copied());
    }

    fn triangles(&mut self, scanner: &mut Scanner<'_>, count: u64) -> Result<(), FormatError> {
        self.mesh.triangles.reserve(bounded(count, scanner.rest().len(), 8));
        let mut polygon = Vec::new();
        for read in 0..count {
            if let Some(next) = self.quick_face(scanner, &mut polygon) {
                scanner.jump(next, 1);
                continue;
            }
            if !scanner.seek() {
                return Err(short(scanner, "faces", count, read));
            }
            self.face(scanner)?;
            scanner.skip_line();
        }
        Ok(())
    }

    /// The start of the line behind an ordinary face without a colour, which is taken.
    #[inline]
    fn quick_face(&mut self, scanner: &Scanner<'_>, polygon: &mut Vec<u32>) -> Option<usize> {
        let next = quick_lines::counted(scanner.bytes(), scanner.offset(), polygon)?;
        let count = self.mesh.vertices.len();
        let [first, rest @ ..] = &polygon[..] else { return None };
        if rest.len() < 2 || !polygon.iter().all(|vertex| (*vertex as usize) < count) {
            return None;
        }
        let triangles = rest.windows(2).map(|edge| [*first, edge[0], edge[1]]);
        self.mesh.triangles.extend(triangles);
        Some(next)
    }

    fn face(&mut self, scanner: &mut Scanner<'_>) -> Result<(), FormatError> {
        let (line, mut fan) = (scanner.line(), Fan::default());
        let start = self.mesh.triangles.len();
        for _ in 0..scanner.count("the number of corners of a face")? {
            let vertex = corner(scanner, self.mesh.vertices.len())?;
            fan.corner(vertex, &mut self.mesh.triangles);
        }
        if fan.corners() < 3 {
            self.quirks.note("face of fewer than three corners skipped", line);
        }
        let mut color = [0.0; 4];
        let found = scanner.more_numbers(&mut color);
        self.face_color(start, &color[..found], line);
        Ok(())
    }

    /// Takes the colour of the triangles from `start` on.
    pub(crate) fn face_color(&mut self, start: usize, numbers: &[f32], line: u64) {
        match numbers.len() {
            3 | 4 => {
                let is_color = self.faces.paint(start, self.mesh.triangles.len(), numbers);
                if !is_color {
                    self.quirks.note("face colour that is no number taken as white", line);
                }
            }
            1 => self.quirks.note("face colour of a colour map passed over", line),
            _ => {}
        }
    }

    fn finish(self) -> DecodedMesh {
        let Self { mesh, quirks, normals, colors, uvs, faces, .. } = self;
        let (vertices, mut quirks) = (mesh.vertices.len(), quirks.into_fragments());
        let mut appearance = Appearance::default();
        if normals.len() == vertices {
            appearance.vertex_normals = units(normals, &mut quirks);
        }
        if colors.len() == vertices {
            appearance.vertex_colors = colors.into_bytes();
        }
        if uvs.len() == vertices {
            let uv = |vertex: u32| uvs[vertex as usize];
            let corners = mesh.triangles.iter().map(|triangle| triangle.map(uv));
            appearance.corner_uvs = corners.collect();
        }
        faces.into_materials(mesh.triangles.len(), &mut appearance);
        DecodedMesh { mesh, appearance, quirks }
    }
}

/// What to say of a header without vertices.
pub(crate) const NO_VERTICES: &str = "the header says that there are no vertices";

/// Refuses dimensions other than three, with what to say.
pub(crate) fn check_dimension(dimension: u64) -> Result<(), String> {
    match dimension {
        3 => Ok(()),
        _ => Err(format!("vertices of {dimension} dimensions (nOFF) are not supported")),
    }
}

/// One corner of a face, on this line or a later one.
fn corner(scanner: &mut Scanner<'_>, vertex_count: usize) -> Result<u32, FormatError> {
    scanner.seek();
    let start = scanner.offset();
    let vertex = scanner.integer("a corner of a face")?;
    match u32::try_from(vertex) {
        Ok(vertex) if (vertex as usize) < vertex_count => Ok(vertex),
        _ => {
            let message =
                format_args!("a face names vertex {vertex}, there are 0 to {}", vertex_count - 1);
            Err(scanner.error("index_out_of_range", start, message))
        }
    }
}

fn short(scanner: &Scanner<'_>, what: &str, promised: u64, read: u64) -> FormatError {
    let message = format_args!("the header promises {promised} {what}, the file ends after {read}");
    scanner.error("truncated", scanner.offset(), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Material;

    /// `expected` is `vertices triangles | quirks`, or `code: message`.
    fn check(text: &str, expected: &str) {
        let found = match decode(text.as_bytes()) {
            Ok(DecodedMesh { mesh, quirks, .. }) => {
                format!("{} {} | {}", mesh.vertices.len(), mesh.triangles.len(), quirks.join("; "))
            }
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    const BODY: &str = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n";

    #[test]
    fn headers() {
        for header in [
            "OFF\n4 1 0\n",
            "OFF 4 1 0\n",
            " \t OFF\r\n# c\r\n\r\n4 1 77 # wrong\r\n",
            "off\n4 1 0\n",
            "nOFF\n3\n4 1 0\n",
            "\u{feff}OFF\r4 1 0\r",
        ] {
            check(&format!("{header}{BODY}4 0 1 3 2\n"), "4 2 | ");
        }
        let glued = "counts glued to the OFF keyword (line 1)";
        check(&format!("OFF4 1 0\n{BODY}3 0 1 2"), &format!("4 1 | {glued}"));
        let missing = "vertex without all numbers that the keyword promises (line 2, 4 in all)";
        check(&format!("COFF4 1 0\n{BODY}3 0 1 2"), &format!("4 1 | {glued}; {missing}"));
        check(&format!("OFF\n4 1\n{BODY}3 0 1 2"), "4 1 | no edge count (line 2)");
        check(&format!("4 1 0\n{BODY}3 0 1 2"), "4 1 | no OFF keyword (line 1)");
    }

    #[test]
    fn bodies() {
        check("OFF 1 0 0\n1 2 3 255 0 0 255", "1 0 | ");
        check(&format!("OFF 4 1 0\n{BODY}4 0 1 3 2 .5 .5 .7 # blue\n"), "4 2 | ");
        check(&format!("OFF 4 1 0\n{BODY}4 0 1\n3 2\n"), "4 2 | ");
        check(
            &format!("OFF 4 3 0\n{BODY}2 0 1\n3 0 1 2\n1 0\n"),
            "4 1 | face of fewer than three corners skipped (line 6, 2 in all)",
        );
        check(
            &format!("OFF 4 1 0\n{BODY}3 0 1 2\n3 0 1 2\n"),
            "4 1 | text after the last face (line 7)",
        );
    }

    /// `expected` is the look, part by part.
    fn check_look(text: &str, expected: &str) {
        let DecodedMesh { mesh, appearance: look, quirks } =
            decode(text.as_bytes()).expect("a good file");
        assert!(look.fits(&mesh));
        let materials: Vec<_> = look.materials.iter().map(|material| material.color).collect();
        let found = format!(
            "{:?} {:?} {:?} {:?} {materials:?} | {}",
            look.vertex_colors,
            look.vertex_normals,
            look.corner_uvs,
            look.triangle_materials,
            quirks.join("; ")
        );
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn looks_of_vertices() {
        let bytes = "[[255, 0, 7, 255]] [] [] [] [] | ";
        check_look("COFF 1 0 0\n0 0 0 255 0 7\n", bytes);
        check_look("COFF 1 0 0\n0 0 0 255 0 7 255 # c\n", bytes);
        check_look("COFF 1 0 0\n0 0 0 1.0 0.0 0.5 0.5\n", "[[255, 0, 128, 128]] [] [] [] [] | ");
        check_look("NOFF 1 0 0\n0 0 0 0 2 0\n", "[] [[0.0, 1.0, 0.0]] [] [] [] | ");
        check_look(
            "NOFF 1 0 0\n0 0 0 0 0 0\n",
            "[] [] [] [] [] | normals passed over, some have no length",
        );
        check_look(
            "STCNOFF 3 1 0\n0 0 0 0 0 1 1 1 1 0 0.5\n0 0 0 0 0 1 1 1 1 1 1 0.5\n\
             0 0 0 0 0 1 1 1 1 0 1\n3 0 1 2\n",
            "[[255, 255, 255, 255], [255, 255, 255, 255], [255, 255, 255, 255]] [[0.0, 0.0, 1.0], \
             [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]] [[[0.0, 0.5], [1.0, 0.5], [0.0, 1.0]]] [] [] | ",
        );
    }

    #[test]
    fn looks_of_faces() {
        let none = Material::NONE;
        check_look(
            &format!("OFF 4 3 0\n{BODY}4 0 1 3 2 255 0 0\n3 0 1 2\n3 0 1 2 255 0 0 255\n"),
            &format!("[] [] [] [0, 0, {none}, 0] [[255, 0, 0, 255]] | "),
        );
        check_look(
            &format!("OFF 4 1 0\n{BODY}3 0 1 2 0.1 0.2 0.3 0.75\n"),
            "[] [] [] [0] [[26, 51, 77, 191]] | ",
        );
        check_look(
            &format!("OFF 4 1 0\n{BODY}3 0 1 2 7\n"),
            "[] [] [] [] [] | face colour of a colour map passed over (line 6)",
        );
    }

    #[test]
    fn refusals() {
        check("", "empty: line 1: the file holds no text");
        check("# x\n", "empty: line 2: the file holds no text");
        check("OFF\n0 0 0\n", "empty: line 2: the header says that there are no vertices");
        check("OFG\n", "bad_header: line 1: expected the keyword OFF, found `OFG`");
        check("OFFx\n", "bad_header: line 1: expected the keyword OFF, found `OFFx`");
        for keyword in ["4OFF", "STCN4OFF", "C4nOFF"] {
            check(
                &format!("{keyword}\n"),
                "unsupported: line 1: vertices of four dimensions (4OFF) are not supported",
            );
        }
        check(
            "nOFF 2 1 0 0\n0 0\n",
            "unsupported: line 1: vertices of 2 dimensions (nOFF) are not supported",
        );
        check(
            "OFF\n",
            "truncated: line 2: expected the number of vertices, found the end of the file",
        );
        check("OFF -1 0 0\n", "bad_count: line 1: the number of vertices is -1");
        check(
            "OFF 2 0 0\n0 0 0\n",
            "truncated: line 3: the header promises 2 vertices, the file ends after 1",
        );
        check(
            "OFF 1 9 0\n0 0 0\n",
            "truncated: line 3: the header promises 9 faces, the file ends after 0",
        );
        check(
            "OFF 1 0 0\n0 0\n",
            "bad_number: line 2: expected a coordinate, found the end of the line",
        );
        check("OFF 1 0 0\n0 inf 0\n", "not_finite: line 2: vertex 0 inf 0 is not finite");
        for wrong in ["4", "-1", "4294967296"] {
            check(
                &format!("OFF 4 1 0\n{BODY}3 0 1 {wrong}\n"),
                &format!(
                    "index_out_of_range: line 6: a face names vertex {wrong}, there are 0 to 3"
                ),
            );
        }
        check(
            "OFF 18446744073709551615 1 0\n",
            "bad_number: line 1: expected the number of vertices, found `18446744073709551615`",
        );
        check(
            "OFF 9000000000000000000 9000000000000000000 0\n",
            "truncated: line 2: the header promises 9000000000000000000 vertices, the file ends \
             after 0",
        );
    }
}
