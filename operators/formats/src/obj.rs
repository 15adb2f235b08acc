//! OBJ: the polygons of a Wavefront file, and how they look.
//!
//! Vertices are the `v` lines in their order: texture seams do not split them, and texture
//! coordinates belong to the corners of triangles. A vertex has a normal when all corners at it
//! name the same one (`vn`, or an equal one); unless every vertex has, the mesh has no normals, as
//! with a flat-shaded file. Indices may be negative (relative to the elements so far) and may name
//! elements that come later in the file. Materials are known when the libraries are given.

use std::collections::BTreeMap;

use voxflow_contract::TriMesh;

use crate::colors::ColorNumbers;
use crate::error::FormatError;
use crate::mesh_format::DecodedMesh;
use crate::obj_look::{Look, MaterialRun, paint};
use crate::quick_lines::{self, Corner, NONE};
use crate::quirks::Quirks;
use crate::scan::{Scanner, error, integer_prefix};
use crate::sidecars::{Sidecar, library_line};

/// Reads an OBJ file; `sidecars` are its libraries and their pictures, where they were looked for.
///
/// # Errors
/// `empty` without vertices, `bad_number`, `truncated`, `not_finite`, `index_out_of_range`.
pub(crate) fn decode(
    bytes: &[u8],
    sidecars: Option<&[Sidecar<'_>]>,
) -> Result<DecodedMesh, FormatError> {
    let mut reader = Reader::new(bytes);
    reader.quick_lines();
    while reader.scanner.seek() {
        reader.statement()?;
        reader.quick_lines();
    }
    reader.finish(sidecars)
}

/// Statements that say nothing about vertices, faces or their look.
const PASSED_OVER: &[&[u8]] = &[
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

/// The highest element that was named before it came.
#[derive(Debug, Default, Clone, Copy)]
struct Ahead {
    /// Elements that there must be in the end; 0 when none was named early.
    needed: usize,
    line: u64,
    offset: usize,
}

impl Ahead {
    #[inline]
    fn note(&mut self, element: u32, so_far: usize, line: u64, offset: usize) {
        let needed = element as usize + 1;
        if needed > so_far && needed > self.needed {
            *self = Self { needed, line, offset };
        }
    }
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    quirks: Quirks,
    mesh: TriMesh,
    look: Look,
    colors: ColorNumbers,
    /// The face at hand.
    polygon: Vec<Corner>,
    libraries: Vec<String>,
    materials: BTreeMap<&'a [u8], u32>,
    /// Line of the first `usemtl`.
    first_material: Option<u64>,
    ahead: Ahead,
    uv_ahead: Ahead,
    normal_ahead: Ahead,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(bytes),
            quirks: Quirks::default(),
            mesh: TriMesh::default(),
            look: Look::default(),
            colors: ColorNumbers::default(),
            polygon: Vec::new(),
            libraries: Vec::new(),
            materials: BTreeMap::new(),
            first_material: None,
            ahead: Ahead::default(),
            uv_ahead: Ahead::default(),
            normal_ahead: Ahead::default(),
        }
    }

    /// Reads ordinary lines, to the first that is not.
    fn quick_lines(&mut self) {
        let bytes = self.scanner.bytes();
        while let Some(next) = self.quick_line(bytes, self.scanner.offset()) {
            self.scanner.jump(next, 1);
        }
    }

    #[inline]
    fn quick_line(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let next = match *bytes.get(at..)?.first_chunk::<3>()? {
            [b'v', b' ', _] => {
                let (vertex, next) = quick_lines::numbers(bytes, at + 2)?;
                self.mesh.vertices.push(vertex);
                next
            }
            [b'f', b' ', _] => {
                let next = quick_lines::corners(bytes, at + 2, &mut self.polygon)?;
                self.end_face();
                next
            }
            [b'v', b't', b' '] => {
                let (uv, next) = quick_lines::numbers(bytes, at + 3)?;
                self.look.uvs.push(uv);
                next
            }
            [b'v', b'n', b' '] => {
                let (normal, next) = quick_lines::numbers(bytes, at + 3)?;
                self.look.normals.push(normal);
                next
            }
            _ => return None,
        };
        Some(next)
    }

    fn statement(&mut self) -> Result<(), FormatError> {
        let line = self.scanner.line();
        match self.scanner.word().unwrap_or_default() {
            b"v" => self.vertex()?,
            b"f" | b"fo" => self.face()?,
            b"vt" => {
                let [u, v, _] = self.look_numbers("a texture coordinate");
                self.look.uvs.push([u, v]);
            }
            b"vn" => {
                let normal = self.look_numbers("a normal");
                self.look.normals.push(normal);
            }
            b"mtllib" => {
                let library = library_line(self.scanner.rest_of_line());
                self.libraries.push(library);
            }
            b"usemtl" => {
                self.first_material.get_or_insert(line);
                self.use_material();
            }
            word if PASSED_OVER.contains(&word) => {}
            _ => self.quirks.note("unknown statement skipped", line),
        }
        self.scanner.skip_statement();
        Ok(())
    }

    /// `x y z`, then nothing, a weight, a colour, or a colour with alpha.
    fn vertex(&mut self) -> Result<(), FormatError> {
        let line = self.scanner.line();
        let vertex = self.scanner.vertex()?;
        let mut more = [0.0; 4];
        let count = self.scanner.more_numbers(&mut more);
        if count >= 3 {
            self.colors.fill(self.mesh.vertices.len());
            if !self.colors.push(&more[..count]) {
                self.quirks.note("vertex colour that is no number taken as white", line);
            }
        }
        self.mesh.vertices.push(vertex);
        Ok(())
    }

    /// Up to three numbers of a statement that cannot spoil the geometry; those missing are 0.
    fn look_numbers(&mut self, what: &str) -> [f32; 3] {
        let (line, mut numbers) = (self.scanner.line(), [0.0; 3]);
        let count = self.scanner.more_numbers(&mut numbers);
        if count == 0 || !numbers.iter().all(|number| number.is_finite()) {
            let is_normal = what == "a normal";
            let what = if is_normal { BAD_NORMAL } else { BAD_UV };
            self.quirks.note(what, line);
            return [0.0; 3];
        }
        numbers
    }

    fn use_material(&mut self) {
        let next = self.materials.len() as u32;
        let name = self.scanner.rest_of_line();
        let number = *self.materials.entry(name).or_insert(next);
        self.look.runs.push(MaterialRun { first: self.mesh.triangles.len(), material: number });
    }

    fn face(&mut self) -> Result<(), FormatError> {
        self.polygon.clear();
        while !self.scanner.at_line_end() {
            let corner = self.corner()?;
            self.polygon.push(corner);
        }
        self.end_face();
        Ok(())
    }

    /// One corner: `v`, `v/vt`, `v//vn` or `v/vt/vn`.
    fn corner(&mut self) -> Result<Corner, FormatError> {
        let before = self.scanner.clone();
        let word = self.scanner.word().unwrap_or_default();
        let (number, rest) = match integer_prefix(word) {
            Some((number, len)) if matches!(word.get(len), None | Some(b'/')) => {
                (number, &word[len..])
            }
            _ => return Err(before.unexpected("bad_number", "a corner of a face")),
        };
        let count = self.mesh.vertices.len();
        let vertex = number_from_0(number, count).ok_or_else(|| {
            let message = format_args!("a face names vertex {number}, there are {count} so far");
            before.error("index_out_of_range", before.offset(), message)
        })?;
        let mut parts = rest.split(|byte| *byte == b'/').skip(1);
        let (uv, normal) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Ok([
            vertex,
            self.look_number(uv, self.look.uvs.len()),
            self.look_number(normal, self.look.normals.len()),
        ])
    }

    /// The texture coordinate or normal that a corner names; one that cannot be is none.
    fn look_number(&mut self, word: &[u8], count: usize) -> u32 {
        if word.is_empty() {
            return NONE;
        }
        let number = integer_prefix(word).filter(|(_, len)| *len == word.len());
        number.and_then(|(number, _)| number_from_0(number, count)).unwrap_or_else(|| {
            self.quirks.note(NO_SUCH_LOOK, self.scanner.line());
            NONE
        })
    }

    /// Cuts the polygon into a fan.
    #[inline]
    fn end_face(&mut self) {
        let (line, offset) = (self.scanner.line(), self.scanner.offset());
        let [first, second, rest @ ..] = &self.polygon[..] else {
            self.quirks.note(TOO_FEW_CORNERS, line);
            return;
        };
        if rest.is_empty() {
            self.quirks.note(TOO_FEW_CORNERS, line);
        }
        for corner in &self.polygon {
            self.ahead.note(corner[0], self.mesh.vertices.len(), line, offset);
        }
        let mut previous = second;
        for corner in rest {
            let triangle = [first, previous, corner];
            self.look.corners(self.mesh.triangles.len(), triangle);
            self.mesh.triangles.push(triangle.map(|corner| corner[0]));
            previous = corner;
        }
        if self.look.has_corners() {
            for [_, uv, normal] in self.polygon.iter().copied() {
                if uv != NONE {
                    self.uv_ahead.note(uv, self.look.uvs.len(), line, offset);
                }
                if normal != NONE {
                    self.normal_ahead.note(normal, self.look.normals.len(), line, offset);
                }
            }
        }
    }

    fn finish(mut self, sidecars: Option<&[Sidecar<'_>]>) -> Result<DecodedMesh, FormatError> {
        let count = self.mesh.vertices.len();
        if count == 0 {
            let message = "the file holds no vertices (no `v` lines)";
            return Err(error("empty", self.scanner.offset(), message));
        }
        let Ahead { needed, line, offset } = self.ahead;
        if needed > count {
            let message = format_args!(
                "line {line}: a face names vertex {needed}, the file has {count} vertices"
            );
            return Err(error("index_out_of_range", offset, message));
        }
        for (ahead, count) in
            [(self.uv_ahead, self.look.uvs.len()), (self.normal_ahead, self.look.normals.len())]
        {
            if ahead.needed > count {
                self.quirks.note(NO_SUCH_LOOK, ahead.line);
            }
        }
        if let Some(line) = self.first_material.filter(|_| self.libraries.is_empty()) {
            self.quirks.note("material used without a material library (mtllib)", line);
        }
        if self.colors.len() > 0 {
            self.colors.fill(count);
        }
        let mut quirks = self.quirks.into_fragments();
        let mut appearance = self.look.into_appearance(&self.mesh, &mut quirks);
        appearance.vertex_colors = self.colors.into_bytes();
        if let Some(sidecars) = sidecars {
            let names = &self.materials;
            paint(&mut appearance, names, &self.libraries, sidecars, &mut quirks);
        } else {
            appearance.triangle_materials.clear();
        }
        Ok(DecodedMesh { mesh: self.mesh, appearance, quirks })
    }
}

const TOO_FEW_CORNERS: &str = "face of fewer than three corners skipped";
const NO_SUCH_LOOK: &str = "corner names a texture coordinate or normal that does not exist";
const BAD_UV: &str = "texture coordinate that is no number taken as 0";
const BAD_NORMAL: &str = "normal that is no number";

/// The number from 0 of an index that counts from 1, or from -1 backwards.
fn number_from_0(number: i64, count: usize) -> Option<u32> {
    let count = count as i64;
    let place = if number < 0 { count.checked_add(number)? } else { number.checked_sub(1)? };
    u32::try_from(place).ok().filter(|place| *place != NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `vertices triangles | quirks`, or `code: message`.
    fn check(text: &str, expected: &str) {
        let found = match decode(text.as_bytes(), None) {
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
            "f 1/ 2/ 3/ 4/",
            "f 1// 2// 3// 4//",
            "vt 0 0\nf 1/1 2/1 3/1 4/1",
            "f 1/1 2/1 3/1 4/1\nvt 0 0",
            "vn 0 0 1\nf 1//1 2//1 3//-1 4//1 # square",
            "vt 0 0\nvn 0 0 1\nf 1/1/1 2/1/1 3/1/1 4/1/1",
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
        check("v 1 2 3 0.5\nv 1 2 3 1.0\r\nv 1 2 \\\n3", "3 [] | ");
        check("v 1 2 3 0.5 nan", "1 [] | ");
        check("v 1 2 3\nvt 0 0\nvn 0 0 1\ng a b\no c\ns off\np 1\nl 1 1\n", "1 [] | ");
    }

    /// `expected` is the look, part by part.
    fn check_look(text: &str, sidecars: Option<&[Sidecar<'_>]>, expected: &str) {
        let DecodedMesh { mesh, appearance: look, quirks } =
            decode(text.as_bytes(), sidecars).expect("a good file");
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
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn colors_of_vertices() {
        check_look(
            "v 0 0 0\nv 0 0 0 1 0.5 0\nv 0 0 0 nan 0 0\nv 0 0 0 0 0 0 0.5\n",
            None,
            "[[255, 255, 255, 255], [255, 128, 0, 255], [255, 255, 255, 255], [0, 0, 0, 128]] [] [] \
             [] [] | vertex colour that is no number taken as white (line 3)",
        );
        check_look("v 0 0 0 255 7 0\n", None, "[[255, 7, 0, 255]] [] [] [] [] | ");
    }

    #[test]
    fn texture_coordinates_and_normals() {
        let normals = "[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]";
        let uvs = "[[[0.0, 0.5], [0.0, 0.0], [0.0, 0.5]]]";
        let lines = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0.5\nvn 0 0 2\nvn 3 0 0\nvn 0 0 2\n";
        for (face, expected) in [
            ("f 1//1 2//1 3//2", format!("[] {normals} [] [] [] | ")),
            ("f 1//1 2//3 3//-2", format!("[] {normals} [] [] [] | ")),
            ("f 1//1 2//1 3", "[] [] [] [] [] | ".to_owned()),
            ("f 1/1/1 2//1 3/1/2", format!("[] {normals} {uvs} [] [] | ")),
            ("f 1//1 2//1 3//2\nf 1//2 2//1 3//2", "[] [] [] [] [] | ".to_owned()),
            (
                "f 1/1 2/2 3/1",
                format!(
                    "[] [] {uvs} [] [] | corner names a texture coordinate or normal that does not \
                     exist (line 8)"
                ),
            ),
        ] {
            check_look(&format!("{lines}{face}\n"), None, &expected);
        }
        check_look("v 0 0 0\nvn 0 2 0\n", None, "[] [[0.0, 1.0, 0.0]] [] [] [] | ");
        check_look(
            "v 0 0 0\nvn 0 0 0\nvt x\n",
            None,
            "[] [] [] [] [] | texture coordinate that is no number taken as 0 (line 3); normals \
             passed over, some have no length",
        );
    }

    #[test]
    fn materials() {
        let text = format!(
            "mtllib m/a.mtl\nmtllib gone.mtl\n{SQUARE}f 1 2 3\nusemtl unused\nusemtl b c\n\
             f 1 2 3 4\nusemtl a # c\nf 1 2 3\nusemtl b c\nf 1 2 3\nusemtl x\nf 1 2 3\n"
        );
        let library = b"newmtl a\nKd 1 0 0\nmap_Kd t.png\nnewmtl b c\nTr 0.5\nmap_Kd no.png\n\
                        newmtl unused\n";
        let none = crate::quick_lines::NONE;
        let sidecars = [
            Sidecar { name: "m/a.mtl", bytes: library },
            Sidecar { name: "m/t.png", bytes: b"\xff\xd8\xff" },
        ];
        check_look(&text, None, "[] [] [] [] [] | ");
        check_look(
            &text,
            Some(&[]),
            "[] [] [] [] [] | material in no library: b c (3 in all); material library not found: \
             m/a.mtl (2 in all)",
        );
        check_look(
            &text,
            Some(&sidecars),
            &format!(
                "[] [] [] [{none}, 0, 0, 1, 0, {none}] [([255, 255, 255, 128], None), ([255, 0, 0, \
                 255], Some(0))] | material in no library: x; material library not found: gone.mtl; \
                 texture not found: no.png"
            ),
        );
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
}
