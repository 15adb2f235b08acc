//! Binary OFF: big-endian numbers behind a line `OFF BINARY`.
//!
//! Counts of vertices, faces and edges; for each vertex the numbers that the keyword promises, its
//! colour always of four; for each face its corners and its colour, a count before each.

use crate::error::FormatError;
use crate::fan::Fan;
use crate::off::{Body, NO_VERTICES, check_dimension};
use crate::scan::{Scanner, bounded, error};

/// Reads what stands behind the keyword's line.
pub(crate) fn read(scanner: &mut Scanner<'_>, body: &mut Body) -> Result<(), FormatError> {
    if body.keyword.dimension {
        let (offset, dimension) = (scanner.offset(), integer(scanner)?);
        let checked = check_dimension(u64::from(dimension));
        checked.map_err(|message| at_byte("unsupported", offset, &message))?;
    }
    let offset = scanner.offset();
    let (vertices, faces, _edges) = (integer(scanner)?, integer(scanner)?, integer(scanner)?);
    for (count, what) in [(vertices, "vertices"), (faces, "faces")] {
        if i32::try_from(count).is_err() {
            let message = format!("the number of {what} is {}", count as i32);
            return Err(at_byte("bad_count", offset, &message));
        }
    }
    if vertices == 0 {
        return Err(at_byte("empty", offset, NO_VERTICES));
    }
    read_vertices(scanner, body, vertices)?;
    read_faces(scanner, body, faces)?;
    if !scanner.rest().is_empty() {
        body.quirks.note("data after the last face", scanner.line());
    }
    Ok(())
}

fn read_vertices(
    scanner: &mut Scanner<'_>,
    body: &mut Body,
    count: u32,
) -> Result<(), FormatError> {
    let keyword = body.keyword;
    let more_len = [(keyword.normals, 3), (keyword.colors, 4), (keyword.uvs, 2)];
    let more_len = more_len.into_iter().filter(|(has, _)| *has).map(|(_, len)| len).sum::<usize>();
    let room = bounded(u64::from(count), scanner.rest().len(), 12 + 4 * more_len);
    body.mesh.vertices.reserve(room);
    for _ in 0..count {
        let offset = scanner.offset();
        let mut row = [0.0; 12];
        for number in &mut row[..3 + more_len] {
            *number = f32::from_bits(integer(scanner)?);
        }
        let [x, y, z, ..] = row;
        if ![x, y, z].iter().all(|coordinate| coordinate.is_finite()) {
            let message = format!("vertex {x} {y} {z} is not finite");
            return Err(at_byte("not_finite", offset, &message));
        }
        body.mesh.vertices.push([x, y, z]);
        if more_len > 0 {
            body.vertex_look(&row[3..3 + more_len], scanner.line());
        }
    }
    Ok(())
}

fn read_faces(scanner: &mut Scanner<'_>, body: &mut Body, count: u32) -> Result<(), FormatError> {
    let vertices = body.mesh.vertices.len();
    body.mesh.triangles.reserve(bounded(u64::from(count), scanner.rest().len(), 20));
    for _ in 0..count {
        let (mut fan, start) = (Fan::default(), body.mesh.triangles.len());
        for _ in 0..integer(scanner)? {
            let (offset, vertex) = (scanner.offset(), integer(scanner)?);
            if vertex as usize >= vertices {
                let last = vertices - 1;
                let message =
                    format!("a face names vertex {}, there are 0 to {last}", vertex as i32);
                return Err(at_byte("index_out_of_range", offset, &message));
            }
            fan.corner(vertex, &mut body.mesh.triangles);
        }
        if fan.corners() < 3 {
            body.quirks.note("face of fewer than three corners skipped", scanner.line());
        }
        let (offset, len) = (scanner.offset(), integer(scanner)? as usize);
        let mut color = [0.0; 4];
        let Some(numbers) = color.get_mut(..len) else {
            let message = format!("a colour of {len} numbers, there may be four");
            return Err(at_byte("bad_count", offset, &message));
        };
        for number in numbers.iter_mut() {
            *number = f32::from_bits(integer(scanner)?);
        }
        body.face_color(start, numbers, scanner.line());
    }
    Ok(())
}

fn integer(scanner: &mut Scanner<'_>) -> Result<u32, FormatError> {
    let offset = scanner.offset();
    let bytes = scanner.take(4).and_then(<[u8]>::first_chunk::<4>);
    let Some(bytes) = bytes else {
        return Err(at_byte("truncated", offset, "the file ends inside its numbers"));
    };
    Ok(u32::from_be_bytes(*bytes))
}

fn at_byte(code: &'static str, offset: usize, message: &str) -> FormatError {
    error(code, offset, format_args!("byte {offset}: {message}"))
}

#[cfg(test)]
mod tests {
    use crate::mesh_format::DecodedMesh;
    use crate::off::decode;

    /// A file of numbers, some of them floats.
    fn file(keyword: &str, numbers: &[f64], is_float: &[bool]) -> Vec<u8> {
        let mut bytes = format!("{keyword} BINARY\n").into_bytes();
        for (number, is_float) in numbers.iter().zip(is_float) {
            let bits = if *is_float { (*number as f32).to_bits() } else { *number as i32 as u32 };
            bytes.extend(bits.to_be_bytes());
        }
        bytes
    }

    /// `counts | vertices | faces`, the second floats; faces end in colours of floats.
    fn check(keyword: &str, counts: &[f64], vertices: &[f64], faces: &[&[f64]], expected: &str) {
        let mut numbers = [counts, vertices].concat();
        let mut is_float = [vec![false; counts.len()], vec![true; vertices.len()]].concat();
        for face in faces {
            let color = face[0] as usize + 2;
            numbers.extend(*face);
            is_float.extend((0..face.len()).map(|i| i >= color));
        }
        let bytes = file(keyword, &numbers, &is_float);
        let found = match decode(&bytes) {
            Ok(DecodedMesh { mesh, appearance, quirks }) => {
                assert!(appearance.fits(&mesh));
                let colors: Vec<_> = appearance.materials.iter().map(|m| m.color).collect();
                let vertices = mesh.vertices.len();
                format!("{vertices} {:?} {colors:?} | {}", mesh.triangles, quirks.join("; "))
            }
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected);
    }

    const SQUARE: &[f64] = &[0., 0., 0., 1., 0., 0., 1., 1., 0., 0., 1., 0.];

    #[test]
    fn faces_and_colors() {
        let quad: &[f64] = &[4., 0., 1., 2., 3., 4., 1.0, 0.5, 0.0, 1.0];
        let bare: &[f64] = &[3., 0., 1., 2., 0.];
        let expected = "4 [[0, 1, 2], [0, 2, 3], [0, 1, 2]] [[255, 128, 0, 255]] | ";
        check("OFF", &[4., 2., 0.], SQUARE, &[quad, bare], expected);
        let line: &[f64] = &[2., 0., 1., 0.];
        let expected = "4 [] [] | face of fewer than three corners skipped (line 2)";
        check("nOFF", &[3., 4., 1., 0.], SQUARE, &[line], expected);
    }

    #[test]
    fn looks_of_vertices() {
        let vertex = [1., 2., 3., 0., 0., 2., 1., 0., 0., 1., 0.25, 0.75];
        let numbers = [&[1., 0., 0.][..], &vertex].concat();
        let is_float: Vec<bool> = (0..numbers.len()).map(|i| i >= 3).collect();
        let decoded = decode(&file("STCNOFF", &numbers, &is_float)).expect("a file");
        assert_eq!(decoded.appearance.vertex_normals, [[0.0, 0.0, 1.0]]);
        assert_eq!(decoded.appearance.vertex_colors, [[255, 0, 0, 255]]);
    }

    #[test]
    fn refusals() {
        check(
            "OFF",
            &[0., 0., 0.],
            &[],
            &[],
            "empty: byte 11: the header says that there are no \
               vertices",
        );
        check("OFF", &[-1., 0., 0.], &[], &[], "bad_count: byte 11: the number of vertices is -1");
        check(
            "OFF",
            &[2e9, 2e9, 0.],
            &[0., 0., 0.],
            &[],
            "truncated: byte 35: the file ends inside its numbers",
        );
        check(
            "OFF",
            &[1., 0., 0.],
            &[0., f64::NAN, 0.],
            &[],
            "not_finite: byte 23: vertex 0 NaN 0 is not finite",
        );
        check(
            "OFF",
            &[4., 1., 0.],
            SQUARE,
            &[&[3., 0., 1., 4., 0.]],
            "index_out_of_range: byte 83: a face names vertex 4, there are 0 to 3",
        );
        check(
            "nOFF",
            &[2., 1., 0., 0.],
            &[],
            &[],
            "unsupported: byte 12: vertices of 2 dimensions (nOFF) are not supported",
        );
    }
}
