//! OBJ: the polygons of a Wavefront file; materials, normals and texture coordinates are passed
//! over.
//!
//! Vertices are the `v` lines in their order: texture seams do not split them. Indices may be
//! negative (relative to the vertices so far) and may name vertices that come later in the file.

use std::fmt::Write as _;

use voxflow_contract::{Appearance, TriMesh};

use crate::error::FormatError;
use crate::fan::Fan;
use crate::mesh_format::DecodedMesh;
use crate::quirks::Quirks;
use crate::scan::{Scanner, error, integer_prefix};

/// Reads an OBJ file.
///
/// # Errors
/// `empty` without vertices, `bad_number`, `truncated`, `not_finite`, `index_out_of_range`.
pub(crate) fn decode(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    let mut reader = Reader::new(bytes);
    while reader.scanner.seek() {
        reader.statement()?;
    }
    reader.finish()
}

/// Writes an OBJ file. Coordinates have the fewest digits that read back as the same number.
pub(crate) fn encode(mesh: &TriMesh) -> Vec<u8> {
    let mut text = String::with_capacity(32 * (mesh.vertices.len() + mesh.triangles.len()));
    for [x, y, z] in &mesh.vertices {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "v {x} {y} {z}");
    }
    for triangle in &mesh.triangles {
        let [a, b, c] = triangle.map(|vertex| u64::from(vertex) + 1);
        let _ = writeln!(text, "f {a} {b} {c}");
    }
    text.into_bytes()
}

/// Statements that say nothing about vertices or faces.
const PASSED_OVER: &[&[u8]] = &[
    b"vt",
    b"vn",
    b"vp",
    b"g",
    b"o",
    b"s",
    b"l",
    b"p",
    b"usemap",
    b"maplib",
    b"mg",
    b"lod",
    b"bevel",
    b"c_interp",
    b"d_interp",
    b"shadow_obj",
    b"trace_obj",
];

struct Reader<'a> {
    scanner: Scanner<'a>,
    quirks: Quirks,
    mesh: TriMesh,
    has_library: bool,
    /// Line of the first `usemtl`.
    first_material: Option<u64>,
    /// The highest vertex that was named before it came: number, line, byte offset.
    ahead: Option<(u32, u64, usize)>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(bytes),
            quirks: Quirks::default(),
            mesh: TriMesh::default(),
            has_library: false,
            first_material: None,
            ahead: None,
        }
    }

    fn statement(&mut self) -> Result<(), FormatError> {
        let line = self.scanner.line();
        match self.scanner.word().unwrap_or_default() {
            b"v" => self.mesh.vertices.push(self.scanner.vertex()?),
            b"f" | b"fo" => self.face()?,
            b"mtllib" => self.has_library = true,
            b"usemtl" => {
                self.first_material.get_or_insert(line);
            }
            word if PASSED_OVER.contains(&word) => {}
            _ => self.quirks.note("unknown statement skipped", line),
        }
        self.scanner.skip_statement();
        Ok(())
    }

    fn face(&mut self) -> Result<(), FormatError> {
        let (line, mut fan) = (self.scanner.line(), Fan::default());
        while !self.scanner.at_line_end() {
            let vertex = self.corner()?;
            fan.corner(vertex, &mut self.mesh.triangles);
        }
        if fan.corners() < 3 {
            self.quirks.note("face of fewer than three corners skipped", line);
        }
        Ok(())
    }

    /// One corner: `v`, `v/vt`, `v//vn` or `v/vt/vn`, of which `v` is read.
    fn corner(&mut self) -> Result<u32, FormatError> {
        let before = self.scanner.clone();
        let word = self.scanner.word().unwrap_or_default();
        let number = match integer_prefix(word) {
            Some((number, len)) if matches!(word.get(len), None | Some(b'/')) => number,
            _ => return Err(before.unexpected("bad_number", "a corner of a face")),
        };
        self.vertex_of(number).ok_or_else(|| {
            let count = self.mesh.vertices.len();
            let message = format_args!("a face names vertex {number}, there are {count} so far");
            before.error("index_out_of_range", before.offset(), message)
        })
    }

    /// The vertex of an index that counts from 1, or from -1 backwards.
    fn vertex_of(&mut self, number: i64) -> Option<u32> {
        let count = self.mesh.vertices.len() as i64;
        let vertex = if number < 0 { count.checked_add(number)? } else { number.checked_sub(1)? };
        let vertex = u32::try_from(vertex).ok()?;
        let highest = self.ahead.is_none_or(|(highest, ..)| vertex > highest);
        if i64::from(vertex) >= count && highest {
            self.ahead = Some((vertex, self.scanner.line(), self.scanner.offset()));
        }
        Some(vertex)
    }

    fn finish(mut self) -> Result<DecodedMesh, FormatError> {
        let count = self.mesh.vertices.len();
        if count == 0 {
            let message = "the file holds no vertices (no `v` lines)";
            return Err(error("empty", self.scanner.offset(), message));
        }
        if let Some((vertex, line, offset)) = self.ahead.filter(|(v, ..)| *v as usize >= count) {
            let number = u64::from(vertex) + 1;
            let message = format_args!(
                "line {line}: a face names vertex {number}, the file has {count} vertices"
            );
            return Err(error("index_out_of_range", offset, message));
        }
        if let Some(line) = self.first_material.filter(|_| !self.has_library) {
            self.quirks.note("material used without a material library (mtllib)", line);
        }
        let quirks = self.quirks.into_fragments();
        Ok(DecodedMesh { mesh: self.mesh, appearance: Appearance::default(), quirks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `vertices triangles | quirks`, or `code: message`.
    fn check(text: &str, expected: &str) {
        let found = match decode(text.as_bytes()) {
            Ok(DecodedMesh { mesh, quirks, .. }) => {
                format!("{} {:?} | {}", mesh.vertices.len(), mesh.triangles, quirks.join("; "))
            }
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{text:?}");
    }

    const SQUARE: &str = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n";

    #[test]
    fn faces() {
        for face in [
            "f 1 2 3 4",
            "f 1/1 2/2 3/3 4/4",
            "f 1// 2// 3// 4//",
            "f 1//1 2//1 3//1 4//1 # square",
            "f 1/1/1 2/2/2 3/3/3 4/4/4",
            "f -4 -3 -2 -1",
            "f 1 2 \\\n 3 4",
            "f 1 2\\\r\n3 4\r",
            "\tf\t1\t2\t3\t4",
        ] {
            check(&format!("{SQUARE}{face}"), "4 [[0, 1, 2], [0, 2, 3]] | ");
        }
        check(&format!("f 1 2 3\n{SQUARE}"), "4 [[0, 1, 2]] | ");
    }

    #[test]
    fn vertices() {
        check("v 1 2 3 0.5 nan nan\nv 1 2 3 1.0\r\nv 1 2 \\\n3", "3 [] | ");
        check("v 1 2 3\nvt 0 0\nvn 0 0 1\ng a b\no c\ns off\np 1\nl 1 1\n", "1 [] | ");
    }

    #[test]
    fn quirks() {
        check(
            &format!("{SQUARE}f 1// 2//\nf\nf 1 2 3"),
            "4 [[0, 1, 2]] | face of fewer than three corners skipped (line 5, 2 in all)",
        );
        check(
            "v 0 0 0\nusemtl a\nusemtl b",
            "1 [] | material used without a material library (mtllib) (line 2)",
        );
        check("mtllib a b.mtl\nv 0 0 0\nusemtl a", "1 [] | ");
        check("v 0 0 0\nsurf 0 1", "1 [] | unknown statement skipped (line 2)");
    }

    #[test]
    fn refusals() {
        check("", "empty: the file holds no vertices (no `v` lines)");
        check("# nothing\n", "empty: the file holds no vertices (no `v` lines)");
        check("v 1 2\n", "bad_number: line 1: expected a coordinate, found the end of the line");
        check("v 1 2", "truncated: line 1: expected a coordinate, found the end of the file");
        check("\nv 1 2 nan\n", "not_finite: line 2: vertex 1 2 NaN is not finite");
        check("v 1 2 1e39\n", "not_finite: line 1: vertex 1 2 inf is not finite");
        check(
            &format!("{SQUARE}f 0 1 2"),
            "index_out_of_range: line 5: a face names vertex 0, there are 4 so far",
        );
        check(
            &format!("{SQUARE}f -5 1 2"),
            "index_out_of_range: line 5: a face names vertex -5, there are 4 so far",
        );
        check(
            &format!("{SQUARE}f 1 2 5\nf 1 2 3"),
            "index_out_of_range: line 5: a face names vertex 5, the file has 4 vertices",
        );
        check(
            &format!("{SQUARE}f 1 2x 3"),
            "bad_number: line 5: expected a corner of a face, found `2x`",
        );
        check(
            &format!("{SQUARE}f -9223372036854775807 1 2"),
            "index_out_of_range: line 5: a face names vertex -9223372036854775807, there are 4 so \
             far",
        );
    }

    #[test]
    fn written_text() {
        let mesh = TriMesh { vertices: vec![[0.1, -2.0, 1e-7]; 3], triangles: vec![[0, 1, 2]] };
        let text = String::from_utf8(encode(&mesh)).expect("text");
        let vertex = "v 0.1 -2 0.0000001\n";
        assert_eq!(text, format!("{vertex}{vertex}{vertex}f 1 2 3\n"));
    }
}
