//! STL: binary and text.
//!
//! STL repeats each corner in each triangle, and so does what is read: three vertices a triangle.
//! [`crate::merge_corners`] makes one vertex of those that are equal. Normals are passed over, all solids of a text file become one mesh. Colours in the attribute bytes
//! of a binary file become materials.

use voxflow_contract::{Appearance, TriMesh};

use crate::colors::FaceColors;
use crate::error::FormatError;
use crate::fan::Fan;
use crate::mesh_format::DecodedMesh;
use crate::quirks::Quirks;
use crate::scan::{Scanner, error};

/// Reads an STL file. One whose length is what a binary header says is binary, whatever it begins
/// with; else one that begins with `solid` and has no zero byte near its start is text.
///
/// # Errors
/// `empty` without triangles, `bad_number`, `bad_header`, `truncated`, `not_finite`, `too_large`.
pub(crate) fn decode(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    if bytes.is_empty() {
        return Err(error("empty", 0, "the file holds no bytes"));
    }
    if is_text(bytes) { decode_text(bytes) } else { decode_binary(bytes) }
}

/// Writes a binary STL file with normals. Vertices that no triangle uses are not in it: a point
/// cloud becomes a file without triangles.
///
/// # Panics
/// When a triangle names a vertex that does not exist, as indexing would.
pub(crate) fn encode(mesh: &TriMesh) -> Vec<u8> {
    // More triangles than the format can count would take 215 GB.
    let count = u32::try_from(mesh.triangles.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + 4 + RECORD * count as usize);
    bytes.extend_from_slice(b"binary STL by voxflow");
    bytes.resize(HEADER, b' ');
    bytes.extend_from_slice(&count.to_le_bytes());
    for triangle in 0..count as usize {
        let corners = mesh.corners(triangle);
        for number in normal(corners).iter().chain(corners.iter().flatten()) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&[0, 0]);
    }
    bytes
}

/// Bytes before the triangle count of a binary file.
const HEADER: usize = 80;
/// Bytes of a triangle of a binary file: normal, three corners, two attribute bytes.
const RECORD: usize = 50;
/// How far a zero byte is looked for in a file that begins with `solid`.
const PROBE: usize = 1024;

fn is_text(bytes: &[u8]) -> bool {
    let right_length = binary_count(bytes)
        .is_some_and(|count| bytes.len() as u64 == (HEADER + 4) as u64 + RECORD as u64 * count);
    let solid = Scanner::new(bytes).word().is_some_and(|word| word.eq_ignore_ascii_case(b"solid"));
    !right_length && solid && !bytes[..bytes.len().min(PROBE)].contains(&0)
}

/// Triangles the header of a binary file promises.
fn binary_count(bytes: &[u8]) -> Option<u64> {
    let count = bytes.get(HEADER..)?.first_chunk::<4>()?;
    Some(u64::from(u32::from_le_bytes(*count)))
}

fn decode_binary(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    let Some(count) = binary_count(bytes) else {
        let message = format_args!(
            "the file has {} bytes: too few for binary STL (84), and text would begin with `solid`",
            bytes.len()
        );
        return Err(error("truncated", bytes.len(), message));
    };
    let body = &bytes[HEADER + 4..];
    let whole = (body.len() / RECORD) as u64;
    if whole < count {
        let message =
            format_args!("the header promises {count} triangles, the file ends after {whole}");
        return Err(error("truncated", bytes.len(), message));
    }
    let records = &body.as_chunks::<RECORD>().0[..count as usize];
    if u32::try_from(3 * records.len()).is_err() {
        return Err(too_many(HEADER));
    }
    let mut vertices = Vec::with_capacity(3 * records.len());
    let mut corners = [[0.0; 3]; 3 * BATCH];
    for (batch, records) in records.chunks(BATCH).enumerate() {
        let offset = HEADER + 4 + RECORD * BATCH * batch;
        let corners = &mut corners[..3 * records.len()];
        read_corners(records, corners);
        if !corners.as_flattened().iter().all(|number| number.is_finite()) {
            return Err(not_finite(offset, corners));
        }
        vertices.extend_from_slice(corners);
    }
    let triangles: Vec<_> = (0..count as u32).map(|i| [3 * i, 3 * i + 1, 3 * i + 2]).collect();
    let mut quirks = Vec::new();
    if body.len() as u64 > count * RECORD as u64 {
        let extra = body.len() as u64 - count * RECORD as u64;
        quirks.push(format!("{extra} bytes after the last triangle"));
    }
    let mut appearance = Appearance::default();
    face_colors(&bytes[..HEADER], records).into_materials(triangles.len(), &mut appearance);
    finish(TriMesh { vertices, triangles }, appearance, bytes.len(), quirks)
}

/// Triangles that are read and checked at once.
const BATCH: usize = 16;

#[inline]
fn read_corners(records: &[[u8; RECORD]], corners: &mut [[f32; 3]]) {
    for (record, corners) in records.iter().zip(corners.as_chunks_mut::<3>().0) {
        // The normal is the first twelve bytes.
        let (floats, _) = record[12..].as_chunks::<4>();
        for (number, bytes) in corners.as_flattened_mut().iter_mut().zip(floats) {
            *number = f32::from_le_bytes(*bytes);
        }
    }
}

/// The error of the first corner that is not finite, in the record it stands in; the first of
/// `corners` stands in the record at byte `offset`.
fn not_finite(offset: usize, corners: &[[f32; 3]]) -> FormatError {
    let is_bad = |corner: &[f32; 3]| !corner.iter().all(|number| number.is_finite());
    let place = corners.iter().position(is_bad).unwrap_or_default();
    let (offset, [x, y, z]) = (offset + RECORD * (place / 3), corners[place]);
    let message = format_args!("byte {offset}: corner {x} {y} {z} is not finite");
    error("not_finite", offset, message)
}

/// Colours in the attribute bytes: five bits each, the sixteenth saying whether they count.
///
/// VisCAM and SolidView put red highest and set the sixteenth bit; Magics, whose header holds
/// `COLOR=` and the colour of all other triangles, puts red lowest and clears it.
fn face_colors(header: &[u8], records: &[[u8; RECORD]]) -> FaceColors {
    let attribute = |record: &[u8; RECORD]| u16::from_le_bytes([record[48], record[49]]);
    let mut colors = FaceColors::of_bytes();
    let magics = header.windows(6).position(|window| window == b"COLOR=");
    let all = magics.and_then(|at| header[at + 6..].first_chunk::<4>());
    if all.is_none() && records.iter().all(|record| attribute(record) & 0x8000 == 0) {
        return colors;
    }
    for (triangle, record) in records.iter().enumerate() {
        let bits = attribute(record);
        let fifths = [bits, bits >> 5, bits >> 10].map(|five| f32::from(five & 31) * 255.0 / 31.0);
        let [low, middle, high] = fifths;
        match (all, bits & 0x8000 != 0) {
            (None, true) => colors.paint(triangle, triangle + 1, &[high, middle, low]),
            (None, false) => continue,
            (Some(_), false) => colors.paint(triangle, triangle + 1, &[low, middle, high]),
            (Some(all), true) => colors.paint(triangle, triangle + 1, &all.map(f32::from)),
        };
    }
    colors
}

fn decode_text(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let mut quirks = Quirks::default();
    // A text triangle takes some 200 bytes.
    let (mut vertices, mut triangles) = (Vec::with_capacity(bytes.len() / 64), Vec::new());
    let (mut fan, mut open_line) = (Fan::default(), None);
    while scanner.seek() {
        let line = scanner.line();
        let word = scanner.word().unwrap_or_default();
        match Keyword::from_word(word) {
            Some(Keyword::Solid) => {
                scanner.skip_line();
            }
            Some(Keyword::Facet) => {
                // The word `normal` and its numbers, which say nothing new.
                (0..4).for_each(|_| {
                    scanner.word();
                });
                (fan, open_line) = (Fan::default(), Some(line));
            }
            Some(Keyword::Vertex) => {
                let vertex = u32::try_from(vertices.len());
                vertices.push(scanner.vertex()?);
                fan.corner(vertex.map_err(|_| too_many(scanner.offset()))?, &mut triangles);
            }
            Some(Keyword::EndFacet) => {
                note_corners(&mut quirks, fan.corners(), line);
                (fan, open_line) = (Fan::default(), None);
            }
            Some(Keyword::Loop) => {}
            None => {
                quirks.note("unknown line skipped", line);
                scanner.skip_line();
            }
        }
    }
    if let Some(line) = open_line {
        let message = format_args!("the facet that begins on line {line} does not end");
        return Err(scanner.error("truncated", scanner.offset(), message));
    }
    let mesh = TriMesh { vertices, triangles };
    finish(mesh, Appearance::default(), scanner.offset(), quirks.into_fragments())
}

fn note_corners(quirks: &mut Quirks, corners: u64, line: u64) {
    match corners {
        0..3 => quirks.note("facet of fewer than three corners skipped", line),
        3 => {}
        _ => quirks.note("facet of more than three corners cut into triangles", line),
    }
}

/// What a word of a text file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    /// Begin or end of a solid; its name follows.
    Solid,
    Facet,
    Vertex,
    EndFacet,
    /// `outer`, `loop`, `endloop`: say nothing that the facet does not.
    Loop,
}

impl Keyword {
    fn from_word(word: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Keyword); 8] = [
            (b"vertex", Keyword::Vertex),
            (b"facet", Keyword::Facet),
            (b"outer", Keyword::Loop),
            (b"loop", Keyword::Loop),
            (b"endloop", Keyword::Loop),
            (b"endfacet", Keyword::EndFacet),
            (b"solid", Keyword::Solid),
            (b"endsolid", Keyword::Solid),
        ];
        NAMES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, keyword)| *keyword)
    }
}

fn finish(
    mesh: TriMesh,
    appearance: Appearance,
    end: usize,
    quirks: Vec<String>,
) -> Result<DecodedMesh, FormatError> {
    if mesh.triangles.is_empty() {
        return Err(error("empty", end, "the file holds no triangles"));
    }
    Ok(DecodedMesh { mesh, appearance, quirks })
}

fn too_many(offset: usize) -> FormatError {
    error("too_large", offset, "the file holds more than 2^32 vertices")
}

/// The unit normal of a triangle; zero when it has no area.
fn normal([a, b, c]: [[f32; 3]; 3]) -> [f32; 3] {
    let edge = |to: [f32; 3]| [0, 1, 2].map(|i| f64::from(to[i]) - f64::from(a[i]));
    let (u, v) = (edge(b), edge(c));
    let cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    let length = cross.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() { cross.map(|x| (x / length) as f32) } else { [0.0; 3] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `vertices triangles | quirks`, or `code: message`.
    fn check(bytes: &[u8], expected: &str) {
        let found = match decode(bytes) {
            Ok(DecodedMesh { mesh, quirks, .. }) => {
                let mesh = crate::merge_corners(&mesh);
                format!("{} {:?} | {}", mesh.vertices.len(), mesh.triangles, quirks.join("; "))
            }
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    const FACET: &str = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n\
                         vertex -0 1 0\nendloop\nendfacet\n";

    fn binary(header: &[u8], triangles: u32) -> Vec<u8> {
        let mesh = TriMesh {
            vertices: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            triangles: vec![[0, 1, 2]; triangles as usize],
        };
        let mut bytes = encode(&mesh);
        bytes[..header.len()].copy_from_slice(header);
        bytes
    }

    #[test]
    fn text() {
        check(format!("solid a\n{FACET}endsolid a\n").as_bytes(), "3 [[0, 1, 2]] | ");
        check(
            format!("solid a\n{FACET}endsolid a\nsolid\n{FACET}endsolid").to_uppercase().as_bytes(),
            "3 [[0, 1, 2], [0, 1, 2]] | ",
        );
        check(format!("solid {}", FACET.replace('\n', " ")).as_bytes(), EMPTY);
        check(format!("solid\n{}", FACET.replace('\n', " ")).as_bytes(), "3 [[0, 1, 2]] | ");
        check(
            format!("solid\ncolor 1 2 3\n{FACET}").as_bytes(),
            "3 [[0, 1, 2]] | unknown line skipped (line 2)",
        );
        check(
            format!("solid\n{}", FACET.replace("endloop", "vertex 0 1 0\nendloop")).as_bytes(),
            "3 [[0, 1, 2], [0, 2, 2]] | facet of more than three corners cut into triangles (line \
             9)",
        );
    }

    const EMPTY: &str = "empty: the file holds no triangles";

    #[test]
    fn binary_files() {
        check(&binary(b"", 2), "3 [[0, 1, 2], [0, 1, 2]] | ");
        check(&binary(b"solid x", 1), "3 [[0, 1, 2]] | ");
        let mut longer = binary(b"solid x", 1);
        longer.extend([7; 60]);
        check(&longer, "3 [[0, 1, 2]] | 60 bytes after the last triangle");
    }

    /// Colours of the materials of three triangles with these attributes.
    fn check_colors(header: &[u8], attributes: [u16; 3], expected: &[[u8; 4]]) {
        let mut bytes = binary(header, 3);
        for (i, attribute) in attributes.into_iter().enumerate() {
            bytes[84 + 50 * i + 48..][..2].copy_from_slice(&attribute.to_le_bytes());
        }
        let DecodedMesh { mesh, appearance, .. } = decode(&bytes).expect("a file");
        assert!(appearance.fits(&mesh));
        let colors: Vec<_> = appearance.materials.iter().map(|material| material.color).collect();
        assert_eq!(colors, expected, "{attributes:x?}");
    }

    #[test]
    fn colors_in_attributes() {
        check_colors(b"", [0, 0x7fff, 1], &[]);
        check_colors(b"", [0xfc00, 0x7c00, 0x801f], &[[255, 0, 0, 255], [0, 0, 255, 255]]);
        let header = b"x COLOR=\x01\x02\x03\x04";
        check_colors(header, [0x8000, 0x001f, 0x8000], &[[1, 2, 3, 4], [255, 0, 0, 255]]);
    }

    #[test]
    fn refusals() {
        check(b"", "empty: the file holds no bytes");
        check(b"solid Empty\nendsolid Empty", EMPTY);
        check(&binary(b"", 0), EMPTY);
        check(
            b"nothing",
            "truncated: the file has 7 bytes: too few for binary STL (84), and text would begin \
             with `solid`",
        );
        let two = binary(b"", 2);
        check(
            &two[..two.len() - 1],
            "truncated: the header promises 2 triangles, the file ends after 1",
        );
        let mut infinite = binary(b"", 2);
        infinite[84 + 50 + 12..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
        check(&infinite, "not_finite: byte 134: corner inf 0 0 is not finite");
        check(
            format!("solid\n{}", &FACET[..FACET.len() - 12]).as_bytes(),
            "truncated: line 7: the facet that begins on line 2 does not end",
        );
        check(
            b"solid\nfacet normal 0 0 1\nvertex 0 nan 0\n",
            "not_finite: line 3: vertex 0 NaN 0 is not finite",
        );
        check(
            b"solid\nfacet normal 0 0 1\nvertex 0 0\n",
            "bad_number: line 3: expected a coordinate, found the end of the line",
        );
    }

    #[test]
    fn normals_have_unit_length() {
        let triangle = [[0.0; 3], [2.0, 0.0, 0.0], [0.0, 3.0, 0.0]];
        assert_eq!(normal(triangle), [0.0, 0.0, 1.0]);
        assert_eq!(normal([[1.0; 3]; 3]), [0.0; 3]);
    }
}
