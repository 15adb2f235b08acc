//! binvox: run-length encoded cubic voxel grids of Patrick Min's program.

use voxflow_contract::{Fill, VoxelGrid};

use crate::error::FormatError;
use crate::scan::{Scanner, error};

/// Reads a binvox file.
///
/// Header lines may come in any order, between comments and blank lines. Without `translate` the
/// grid lies at the origin, without `scale` its edge has length 1. The fill is
/// [`Fill::Unknown`]: the file does not say.
///
/// # Errors
/// `bad_header`, `unsupported` (not cubic, another version), `too_large` (more than
/// [`VoxelGrid::MAX_RESOLUTION`] cells a side), `not_finite`, `bad_number`, `bad_count`,
/// `bad_value` (a voxel that is neither 0 nor 1), `truncated`, `too_many_voxels`.
///
/// ```
/// let file = b"#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n\x00\x01\x01\x02\x00\x05";
/// let grid = voxflow_formats::binvox::decode(file)?;
/// assert_eq!(grid.occupied(), 2);
/// assert!(grid.get(0, 1, 0) && grid.get(0, 0, 1)); // y is fastest in the file, then z
/// assert_eq!(voxflow_formats::binvox::encode(&grid), file);
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<VoxelGrid, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let header = Header::read(&mut scanner)?;
    let (start, runs) = (scanner.offset(), scanner.rest());
    let cells = header.resolution * header.resolution * header.resolution;
    if (runs.len() / 2).saturating_mul(255) < cells {
        return Err(too_few(bytes.len(), cells, None));
    }
    let mut grid =
        VoxelGrid::empty(header.resolution, header.translation, [header.scale; 3], Fill::Unknown);
    fill(&mut grid, runs, start)?;
    Ok(grid)
}

/// Writes a binvox file: `dim`, `translate`, `scale` with the fewest digits that read back as the
/// same number, then runs of at most 255 voxels. The fill is lost.
pub fn encode(grid: &VoxelGrid) -> Vec<u8> {
    let (d, [x, y, z]) = (grid.resolution, grid.translation);
    let mut bytes = format!(
        "#binvox 1\ndim {d} {d} {d}\ntranslate {x} {y} {z}\nscale {}\ndata\n",
        grid.scale[0]
    )
    .into_bytes();
    let mut run = (false, 0_u8);
    let mut take = |occupied: bool| {
        if run.1 == u8::MAX || (run.1 > 0 && run.0 != occupied) {
            bytes.extend_from_slice(&[u8::from(run.0), run.1]);
            run.1 = 0;
        }
        run = (occupied, run.1 + 1);
    };
    for x in 0..d {
        for z in 0..d {
            (0..d).for_each(|y| take(grid.get(x, y, z)));
        }
    }
    if run.1 > 0 {
        bytes.extend_from_slice(&[u8::from(run.0), run.1]);
    }
    bytes
}

struct Header {
    resolution: usize,
    translation: [f64; 3],
    scale: f64,
}

impl Header {
    /// Reads to the first byte after the `data` line.
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, FormatError> {
        read_version(scanner)?;
        let mut header = Self { resolution: 0, translation: [0.0; 3], scale: 1.0 };
        while scanner.seek() {
            let start = scanner.offset();
            match scanner.word() {
                Some(b"dim") => header.resolution = read_dim(scanner)?,
                Some(b"translate") => {
                    for axis in &mut header.translation {
                        *axis = read_finite(scanner, "a number after translate")?;
                    }
                }
                Some(b"scale") => header.scale = read_scale(scanner)?,
                Some(b"data") if header.resolution == 0 => {
                    let message = "the header has no line `dim` before `data`";
                    return Err(scanner.error("bad_header", start, message));
                }
                Some(b"data") => {
                    scanner.skip_line();
                    return Ok(header);
                }
                // The reference reader passes over lines it does not know.
                _ => {}
            }
            scanner.skip_line();
        }
        Err(scanner.error("truncated", scanner.offset(), "the file ends before the line `data`"))
    }
}

/// The first line, `#binvox 1`, which only looks like a comment.
fn read_version(scanner: &mut Scanner<'_>) -> Result<(), FormatError> {
    scanner.word();
    while scanner.rest().first().is_some_and(u8::is_ascii_whitespace) {
        scanner.skip_line();
        scanner.word();
    }
    let start = scanner.offset();
    if scanner.rest().is_empty() && start == 0 {
        return Err(error("empty", 0, "the file holds no bytes"));
    }
    if scanner.take(7) != Some(b"#binvox") {
        return Err(scanner.error("bad_header", start, "the file does not begin with `#binvox`"));
    }
    let version = scanner.integer("the version after #binvox")?;
    if version != 1 {
        let message = format_args!("binvox version {version} is not supported, 1 is");
        return Err(scanner.error("unsupported", start, message));
    }
    scanner.skip_line();
    Ok(())
}

fn read_dim(scanner: &mut Scanner<'_>) -> Result<usize, FormatError> {
    let start = scanner.offset();
    let mut dim = [0; 3];
    for side in &mut dim {
        *side = scanner.count("a number after dim")?;
    }
    let [a, b, c] = dim;
    if a != b || b != c {
        let message = format_args!("the grid is {a} x {b} x {c}; only cubic grids are supported");
        return Err(scanner.error("unsupported", start, message));
    }
    let most = VoxelGrid::MAX_RESOLUTION;
    match usize::try_from(a) {
        Ok(0) => Err(scanner.error("bad_header", start, "the grid has no cells (dim 0)")),
        Ok(side) if side <= most => Ok(side),
        _ => {
            let message = format_args!("the grid has {a} cells a side, the most is {most}");
            Err(scanner.error("too_large", start, message))
        }
    }
}

fn read_finite(scanner: &mut Scanner<'_>, what: &str) -> Result<f64, FormatError> {
    let start = scanner.offset();
    let number: f64 = scanner.number(what)?;
    if number.is_finite() {
        return Ok(number);
    }
    Err(scanner.error("not_finite", start, format_args!("{what} is {number}")))
}

fn read_scale(scanner: &mut Scanner<'_>) -> Result<f64, FormatError> {
    let start = scanner.offset();
    let scale = read_finite(scanner, "the number after scale")?;
    if scale > 0.0 {
        return Ok(scale);
    }
    Err(scanner.error("bad_header", start, format_args!("scale is {scale}, it must be positive")))
}

/// Fills a grid from (value, count) pairs that begin at byte `start` of the file.
fn fill(grid: &mut VoxelGrid, runs: &[u8], start: usize) -> Result<(), FormatError> {
    let d = grid.resolution;
    let cells = d * d * d;
    let mut cell = 0;
    for (i, &[value, count]) in runs.as_chunks::<2>().0.iter().enumerate() {
        let (offset, end) = (start + 2 * i, cell + usize::from(count));
        if cell == cells && [value, count].iter().all(u8::is_ascii_whitespace) {
            break;
        }
        if value > 1 {
            let message = format_args!("byte {offset}: a voxel is {value}, neither 0 nor 1");
            return Err(error("bad_value", offset, message));
        }
        if end > cells {
            let message = format_args!(
                "byte {offset}: a run reaches voxel {end}, the grid has {cells} (dim {d})"
            );
            return Err(error("too_many_voxels", offset, message));
        }
        if value == 1 {
            (cell..end).for_each(|cell| grid.set(cell / (d * d), cell % d, cell / d % d));
        }
        cell = end;
    }
    if cell < cells { Err(too_few(start + runs.len(), cells, Some(cell))) } else { Ok(()) }
}

fn too_few(end: usize, cells: usize, found: Option<usize>) -> FormatError {
    let found = found.map_or("too few bytes for them".to_owned(), |found| found.to_string());
    let message = format_args!("the header promises {cells} voxels, the file holds {found}");
    error("truncated", end, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `resolution translation scale occupied`, or `code: message`.
    fn check(header: &str, runs: &[u8], expected: &str) {
        let found = match decode(&[header.as_bytes(), runs].concat()) {
            Ok(grid) => format!(
                "{} {:?} {} {}",
                grid.resolution,
                grid.translation,
                grid.scale[0],
                grid.occupied()
            ),
            Err(e) => format!("{}: {}", e.code, e.message),
        };
        assert_eq!(found, expected, "{header:?} {runs:?}");
    }

    const RUNS: &[u8] = &[0, 3, 1, 4, 0, 1];

    #[test]
    fn headers() {
        let whole = "2 [1.0, 2.0, 3.0] 0.5 4";
        for header in [
            "#binvox 1\ndim 2 2 2\ntranslate 1 2 3\nscale .5\ndata\n",
            "#binvox 1\r\ndim 2 2 2\r\ntranslate 1 2 3\r\nscale .5\r\ndata\r\n",
            "\n  \n\t#binvox 1 # x\n# y\n\n  scale 0.5 # z\ntranslate 1 2 3\nodd 1\ndim 2 2 2\t\t\n data \n",
        ] {
            check(header, RUNS, whole);
        }
        check("#binvox 1\ndim 2 2 2\ndata\n", RUNS, "2 [0.0, 0.0, 0.0] 1 4");
        check("#binvox 1\ndim 2 2 2\ndata\n", b"\x01\x00\x00\x08\r\n", "2 [0.0, 0.0, 0.0] 1 0");
    }

    #[test]
    fn refusals() {
        check("", b"", "empty: the file holds no bytes");
        check("# binvox\n", b"", "bad_header: line 1: the file does not begin with `#binvox`");
        check("#binvox 2\n", b"", "unsupported: line 1: binvox version 2 is not supported, 1 is");
        check("#binvox 1\n", b"", "truncated: line 2: the file ends before the line `data`");
        check(
            "#binvox 1\ndata\n",
            RUNS,
            "bad_header: line 2: the header has no line `dim` before `data`",
        );
        let dim = |dim: &str| format!("#binvox 1\ndim {dim}\ndata\n");
        check(
            &dim("2 2 4"),
            RUNS,
            "unsupported: line 2: the grid is 2 x 2 x 4; only cubic grids are supported",
        );
        check(&dim("0 0 0"), RUNS, "bad_header: line 2: the grid has no cells (dim 0)");
        check(
            &dim("1025 1025 1025"),
            RUNS,
            "too_large: line 2: the grid has 1025 cells a side, the most is 1024",
        );
        check(
            &dim("1024 1024 1024"),
            RUNS,
            "truncated: the header promises 1073741824 voxels, the file holds too few bytes for \
             them",
        );
        check(
            &dim("2 2"),
            RUNS,
            "bad_number: line 2: expected a number after dim, found the end of the line",
        );
        check(&dim("2 2 2"), &[0, 7], "truncated: the header promises 8 voxels, the file holds 7");
        check(
            &dim("2 2 2"),
            &[0, 7, 1],
            "truncated: the header promises 8 voxels, the file holds 7",
        );
        check(
            &dim("2 2 2"),
            &[0, 7, 1, 2],
            "too_many_voxels: byte 27: a run reaches voxel 9, the grid has 8 (dim 2)",
        );
        check(&dim("2 2 2"), &[2, 8], "bad_value: byte 25: a voxel is 2, neither 0 nor 1");
        check("#binvox 1\nscale inf\n", RUNS, "not_finite: line 2: the number after scale is inf");
        check(
            "#binvox 1\nscale -1\n",
            RUNS,
            "bad_header: line 2: scale is -1, it must be positive",
        );
    }

    #[test]
    fn y_is_fastest_then_z() {
        let mut grid = VoxelGrid::empty(3, [0.0; 3], [1.0; 3], Fill::Unknown);
        grid.set(1, 2, 0);
        let bytes = encode(&grid);
        assert!(bytes.ends_with(&[0, 9 + 2, 1, 1, 0, 27 - 12]), "{bytes:?}");
    }
}
