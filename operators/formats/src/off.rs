//! OFF: the Object File Format of Geomview, with the liberties that ModelNet takes.
//!
//! Header keywords `OFF`, `COFF`, `NOFF`, `STOFF` and their combinations are read; colours, normals
//! and texture coordinates are passed over. `OFF490 518 0` (counts glued to the keyword) is a
//! quirk, counts on the keyword's line are not. The edge count is never believed.

use std::fmt::Write as _;

use voxflow_contract::{Appearance, TriMesh};

use crate::error::FormatError;
use crate::fan::Fan;
use crate::mesh_format::DecodedMesh;
use crate::quirks::Quirks;
use crate::scan::{Scanner, bounded, integer_prefix};

/// Reads an OFF file.
///
/// # Errors
/// `empty` without vertices, `bad_header`, `unsupported` (binary or not three-dimensional),
/// `bad_number`, `bad_count`, `truncated`, `not_finite`, `index_out_of_range`.
pub(crate) fn decode(bytes: &[u8]) -> Result<DecodedMesh, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let mut quirks = Quirks::default();
    keyword(&mut scanner, &mut quirks)?;
    let (vertex_count, face_count) = counts(&mut scanner, &mut quirks)?;
    let vertices = vertices(&mut scanner, vertex_count)?;
    let triangles = triangles(&mut scanner, &mut quirks, face_count, vertices.len())?;
    if scanner.seek() {
        quirks.note("text after the last face", scanner.line());
    }
    let mesh = TriMesh { vertices, triangles };
    let quirks = quirks.into_fragments();
    Ok(DecodedMesh { mesh, appearance: Appearance::default(), quirks })
}

/// Writes an OFF file. Coordinates have the fewest digits that read back as the same number.
pub(crate) fn encode(mesh: &TriMesh) -> Vec<u8> {
    let mut text = format!("OFF\n{} {} 0\n", mesh.vertices.len(), mesh.triangles.len());
    for [x, y, z] in &mesh.vertices {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{x} {y} {z}");
    }
    for [a, b, c] in &mesh.triangles {
        let _ = writeln!(text, "3 {a} {b} {c}");
    }
    text.into_bytes()
}

/// Reads `[ST][C][N][4][n]OFF` and leaves the scanner before the counts.
fn keyword(scanner: &mut Scanner<'_>, quirks: &mut Quirks) -> Result<(), FormatError> {
    if !scanner.seek() {
        return Err(scanner.error("empty", scanner.offset(), "the file holds no text"));
    }
    let before = scanner.clone();
    let word = scanner.word().unwrap_or_default();
    if integer_prefix(word).is_some_and(|(_, len)| len == word.len()) {
        quirks.note("no OFF keyword", scanner.line());
        scanner.unread(word.len());
        return Ok(());
    }
    let Some((prefix, glued)) = split_keyword(word) else {
        return Err(before.unexpected("bad_header", "the keyword OFF"));
    };
    if prefix.iter().any(|byte| matches!(byte, b'4' | b'n')) {
        let message = "vertices of other than three dimensions (4OFF, nOFF) are not supported";
        return Err(scanner.error("unsupported", before.offset(), message));
    }
    if !glued.is_empty() {
        quirks.note("counts glued to the OFF keyword", scanner.line());
        scanner.unread(glued.len());
    } else if scanner.clone().word() == Some(b"BINARY") {
        let message = "binary OFF is not supported; convert it to text OFF or PLY";
        return Err(scanner.error("unsupported", before.offset(), message));
    }
    Ok(())
}

/// What stands before and after `OFF` in a word; `None` when that is no OFF keyword.
fn split_keyword(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.windows(3).position(|three| three.eq_ignore_ascii_case(b"off"))?;
    let (prefix, glued) = (&word[..at], &word[at + 3..]);
    let mut left = prefix;
    for part in [&b"ST"[..], b"C", b"N", b"4", b"n"] {
        left = left.strip_prefix(part).unwrap_or(left);
    }
    let number = glued.is_empty() || integer_prefix(glued).is_some_and(|(_, n)| n == glued.len());
    (left.is_empty() && number).then_some((prefix, glued))
}

fn counts(scanner: &mut Scanner<'_>, quirks: &mut Quirks) -> Result<(u64, u64), FormatError> {
    scanner.seek();
    let start = scanner.offset();
    let vertices = scanner.count("the number of vertices")?;
    scanner.seek();
    let faces = scanner.count("the number of faces")?;
    if vertices == 0 {
        return Err(scanner.error("empty", start, "the header says that there are no vertices"));
    }
    if scanner.at_line_end() {
        quirks.note("no edge count", scanner.line());
    }
    scanner.skip_line();
    Ok((vertices, faces))
}

fn vertices(scanner: &mut Scanner<'_>, count: u64) -> Result<Vec<[f32; 3]>, FormatError> {
    let mut vertices = Vec::with_capacity(bounded(count, scanner.rest().len(), 6));
    for read in 0..count {
        if !scanner.seek() {
            return Err(short(scanner, "vertices", count, read));
        }
        vertices.push(scanner.vertex()?);
        scanner.skip_line();
    }
    Ok(vertices)
}

fn triangles(
    scanner: &mut Scanner<'_>,
    quirks: &mut Quirks,
    count: u64,
    vertex_count: usize,
) -> Result<Vec<[u32; 3]>, FormatError> {
    let mut triangles = Vec::with_capacity(bounded(count, scanner.rest().len(), 8));
    for read in 0..count {
        if !scanner.seek() {
            return Err(short(scanner, "faces", count, read));
        }
        let (line, mut fan) = (scanner.line(), Fan::default());
        for _ in 0..scanner.count("the number of corners of a face")? {
            fan.corner(corner(scanner, vertex_count)?, &mut triangles);
        }
        if fan.corners() < 3 {
            quirks.note("face of fewer than three corners skipped", line);
        }
        scanner.skip_line();
    }
    Ok(triangles)
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
            "COFF\n4 1 0\n",
            "NOFF 4 1 0\n",
            "STCNOFF\n4 1 0\n",
            "\u{feff}OFF\r4 1 0\r",
        ] {
            check(&format!("{header}{BODY}4 0 1 3 2\n"), "4 2 | ");
        }
        let glued = "counts glued to the OFF keyword (line 1)";
        check(&format!("OFF4 1 0\n{BODY}3 0 1 2"), &format!("4 1 | {glued}"));
        check(&format!("COFF4 1 0\n{BODY}3 0 1 2"), &format!("4 1 | {glued}"));
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

    #[test]
    fn refusals() {
        check("", "empty: line 1: the file holds no text");
        check("# x\n", "empty: line 2: the file holds no text");
        check("OFF\n0 0 0\n", "empty: line 2: the header says that there are no vertices");
        check("OFG\n", "bad_header: line 1: expected the keyword OFF, found `OFG`");
        check("OFFx\n", "bad_header: line 1: expected the keyword OFF, found `OFFx`");
        check(
            "4OFF\n",
            "unsupported: line 1: vertices of other than three dimensions (4OFF, nOFF) are not \
             supported",
        );
        check(
            "OFF BINARY\n",
            "unsupported: line 1: binary OFF is not supported; convert it to text OFF or PLY",
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

    #[test]
    fn written_text() {
        let mesh = TriMesh { vertices: vec![[0.1, -2.0, 1e-7]; 3], triangles: vec![[0, 1, 2]] };
        let text = String::from_utf8(encode(&mesh)).expect("text");
        let vertex = "0.1 -2 0.0000001\n";
        assert_eq!(text, format!("OFF\n3 1 0\n{vertex}{vertex}{vertex}3 0 1 2\n"));
    }
}
