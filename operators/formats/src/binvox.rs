//! binvox: run-length encoded voxel grids of Patrick Min's program.

use voxflow_contract::{Fill, VoxelGrid};

use crate::bit_slab::BitSlab;
use crate::error::FormatError;
use crate::scan::{Scanner, error};

/// A grid that was read, and what was odd about its file.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedGrid {
    /// The grid.
    pub grid: VoxelGrid,
    /// What the reader got over; one fragment each.
    pub quirks: Vec<String>,
}

/// Reads a binvox file; [`decode_with_quirks`] without what it noted.
///
/// # Errors
/// As [`decode_with_quirks`].
///
/// ```
/// let file = b"#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n\x00\x01\x01\x02\x00\x05";
/// let grid = voxflow_formats::binvox::decode(file)?;
/// assert_eq!(grid.occupied(), 2);
/// assert!(grid.get(0, 1, 0) && grid.get(0, 0, 1)); // y is fastest in the file, then z
/// assert_eq!(voxflow_formats::binvox::encode(&grid)?, file);
/// # Ok::<(), voxflow_formats::FormatError>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<VoxelGrid, FormatError> {
    decode_with_quirks(bytes).map(|decoded| decoded.grid)
}

/// Reads a binvox file.
///
/// Header lines may come in any order, between comments and blank lines. Without `translate` the
/// grid lies at the origin, without `scale` its edge has length 1. The fill is
/// [`Fill::Unknown`]: the file does not say.
///
/// `dim a b c` are the cells along x, z and y, the order in which they lie in the file, as the
/// readers of binvox's author and of others have it. A grid whose sides differ becomes a cube of its
/// longest side: it begins at the same corner, its cells keep their size, the cells added at the
/// far ends are empty, and a quirk says so. `scale` is then taken as the edge of the longest side.
///
/// # Errors
/// `empty`, `bad_header`, `unsupported` (another version; a grid so flat that its cube has more
/// than [`MOST_PADDING`] times its cells), `too_large` (more than
/// [`VoxelGrid::MAX_RESOLUTION`] cells a side), `not_finite`, `bad_number`, `bad_count`,
/// `bad_value` (a voxel that is neither 0 nor 1), `truncated`, `too_many_voxels`.
pub fn decode_with_quirks(bytes: &[u8]) -> Result<DecodedGrid, FormatError> {
    let mut scanner = Scanner::new(bytes);
    let header = Header::read(&mut scanner)?;
    let (start, runs) = (scanner.offset(), scanner.rest());
    let cells = header.dim.cells();
    if (runs.len() / 2).saturating_mul(255) < cells {
        return Err(too_few(bytes.len(), cells, None));
    }
    let side = header.dim.longest();
    let grid = VoxelGrid::empty(side, header.translation, [header.scale; 3], Fill::Unknown);
    Ok(DecodedGrid { grid: fill(grid, header.dim, runs, start)?, quirks: header.dim.quirks() })
}

/// Writes a binvox file: `dim`, `translate`, `scale` with the fewest digits that read back as the
/// same number, then runs of at most 255 voxels. The fill is lost.
///
/// # Errors
/// `unsupported` when the axes of the grid have different scales, which a binvox file cannot say;
/// `not_finite` when its place is no number; `bad_header` when it has no cells or no positive scale.
pub fn encode(grid: &VoxelGrid) -> Result<Vec<u8>, FormatError> {
    let (d, [x, y, z]) = (grid.resolution, grid.translation);
    let scale = writable_scale(grid)?;
    let header =
        format!("#binvox 1\ndim {d} {d} {d}\ntranslate {x} {y} {z}\nscale {scale}\ndata\n");
    let mut bytes = header.into_bytes();
    let (mut slab, mut run) = (BitSlab::empty(d, d), (false, 0));
    for x in 0..d {
        slab.load(grid, x);
        slab.spans(|occupied, length| {
            if occupied != run.0 {
                push_run(&mut bytes, run);
                run = (occupied, 0);
            }
            run.1 += length;
        });
    }
    push_run(&mut bytes, run);
    Ok(bytes)
}

/// Most cells of a cube for each cell of the file that is padded to it; cubes up to 64 cells a side
/// are always made.
pub const MOST_PADDING: usize = 16;

fn writable_scale(grid: &VoxelGrid) -> Result<f64, FormatError> {
    let refused =
        |code, message: &str| Err(FormatError { code, message: message.to_owned(), offset: None });
    if !grid.scale.iter().chain(&grid.translation).all(|number| number.is_finite()) {
        return refused("not_finite", "the place of the grid is not finite");
    }
    match grid.uniform_scale() {
        None => {
            let message = "the axes of the grid have different scales, a binvox file has one scale";
            refused("unsupported", message)
        }
        Some(scale) if scale > 0.0 && grid.resolution > 0 => Ok(scale),
        Some(_) => refused("bad_header", "the grid has no cells or no positive scale"),
    }
}

/// Writes a run of any length in pieces of 255 voxels and less.
fn push_run(bytes: &mut Vec<u8>, (occupied, mut length): (bool, usize)) {
    while length > 0 {
        let count = length.min(usize::from(u8::MAX));
        bytes.extend_from_slice(&[u8::from(occupied), count as u8]);
        length -= count;
    }
}

/// Cells along each axis of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Dim {
    x: usize,
    z: usize,
    y: usize,
}

impl Dim {
    fn cells(self) -> usize {
        self.x * self.y * self.z
    }

    fn longest(self) -> usize {
        self.x.max(self.y).max(self.z)
    }

    fn quirks(self) -> Vec<String> {
        let Self { x, y, z } = self;
        let side = self.longest();
        let is_cube = self.cells() == side * side * side;
        let note = || format!("grid of {x} x {y} x {z} cells padded to a cube of {side}");
        if is_cube { Vec::new() } else { vec![note()] }
    }
}

struct Header {
    dim: Dim,
    translation: [f64; 3],
    scale: f64,
}

impl Header {
    /// Reads to the first byte after the `data` line.
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, FormatError> {
        read_version(scanner)?;
        let (mut dim, mut translation, mut scale) = (None, [0.0; 3], 1.0);
        while scanner.seek() {
            let start = scanner.offset();
            match scanner.word() {
                Some(b"dim") => dim = Some(read_dim(scanner)?),
                Some(b"translate") => {
                    for axis in &mut translation {
                        *axis = read_finite(scanner, "a number after translate")?;
                    }
                }
                Some(b"scale") => scale = read_scale(scanner)?,
                Some(b"data") => {
                    let message = "the header has no line `dim` before `data`";
                    let dim = dim.ok_or_else(|| scanner.error("bad_header", start, message))?;
                    scanner.skip_line();
                    return Ok(Self { dim, translation, scale });
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

fn read_dim(scanner: &mut Scanner<'_>) -> Result<Dim, FormatError> {
    let start = scanner.offset();
    let mut sides = [0; 3];
    for side in &mut sides {
        *side = scanner.count("a number after dim")?;
    }
    let most = VoxelGrid::MAX_RESOLUTION;
    let longest = sides.into_iter().max().unwrap_or(0);
    if sides.contains(&0) {
        return Err(scanner.error("bad_header", start, "the grid has no cells (a dim is 0)"));
    }
    if longest > most as u64 {
        let message = format_args!("the grid has {longest} cells a side, the most is {most}");
        return Err(scanner.error("too_large", start, message));
    }
    let [x, z, y] = sides.map(|side| side as usize);
    let dim = Dim { x, z, y };
    // A header alone must not make the reader allocate.
    let cube = dim.longest().pow(3);
    if cube > 64 * 64 * 64 && cube / MOST_PADDING > dim.cells() {
        let message = format_args!(
            "the grid is {x} x {y} x {z}: its cube has more than {MOST_PADDING} times its cells"
        );
        return Err(scanner.error("unsupported", start, message));
    }
    Ok(dim)
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
fn fill(
    mut grid: VoxelGrid,
    dim: Dim,
    runs: &[u8],
    start: usize,
) -> Result<VoxelGrid, FormatError> {
    let cells = dim.cells();
    let mut cell = 0;
    let mut slabs = Slabs { slab: BitSlab::empty(dim.z, dim.y), x: 0, at: 0, is_empty: true };
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
            let message =
                format_args!("byte {offset}: a run reaches voxel {end}, the grid has {cells}");
            return Err(error("too_many_voxels", offset, message));
        }
        slabs.take(&mut grid, value == 1, usize::from(count));
        cell = end;
    }
    if cell < cells {
        return Err(too_few(start + runs.len(), cells, Some(cell)));
    }
    Ok(grid)
}

/// The slab that runs are filling, and where they are in it.
struct Slabs {
    slab: BitSlab,
    x: usize,
    at: usize,
    is_empty: bool,
}

impl Slabs {
    fn take(&mut self, grid: &mut VoxelGrid, occupied: bool, mut length: usize) {
        while length > 0 {
            let span = length.min(self.slab.cells() - self.at);
            if occupied {
                self.slab.fill(self.at, self.at + span);
                self.is_empty = false;
            }
            (self.at, length) = (self.at + span, length - span);
            if self.at == self.slab.cells() {
                self.finish(grid);
            }
        }
    }

    fn finish(&mut self, grid: &mut VoxelGrid) {
        if !self.is_empty {
            self.slab.store(grid, self.x);
            self.slab.clear();
        }
        (self.x, self.at, self.is_empty) = (self.x + 1, 0, true);
    }
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
            &dim("1024 1 1024"),
            RUNS,
            "unsupported: line 2: the grid is 1024 x 1024 x 1: its cube has more than 16 times its \
             cells",
        );
        check(&dim("4 0 4"), RUNS, "bad_header: line 2: the grid has no cells (a dim is 0)");
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
            "too_many_voxels: byte 27: a run reaches voxel 9, the grid has 8",
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
        let bytes = encode(&grid).expect("a grid of one scale");
        assert!(bytes.ends_with(&[0, 9 + 2, 1, 1, 0, 27 - 12]), "{bytes:?}");
    }

    #[test]
    fn sides_that_differ_are_padded_at_the_far_ends() {
        // 2 cells along x, 1 along z, 3 along y; the last of each is occupied.
        let file = b"#binvox 1\ndim 2 1 3\ntranslate 1 2 3\nscale 6\ndata\n\x00\x05\x01\x01";
        let DecodedGrid { grid, quirks } = decode_with_quirks(file).expect("a grid");
        assert_eq!(quirks, ["grid of 2 x 3 x 1 cells padded to a cube of 3"]);
        assert_eq!((grid.resolution, grid.translation, grid.scale), (3, [1., 2., 3.], [6.0; 3]));
        assert!(grid.get(1, 2, 0) && grid.occupied() == 1);
    }

    #[test]
    fn grids_of_several_scales_are_not_written() {
        let code = |resolution, translation, scale| {
            encode(&VoxelGrid::empty(resolution, translation, scale, Fill::Unknown))
                .expect_err("no binvox file")
                .code
        };
        assert_eq!(code(2, [0.0; 3], [1.0, 2.0, 1.0]), "unsupported");
        assert_eq!(code(2, [f64::NAN, 0.0, 0.0], [1.0; 3]), "not_finite");
        assert_eq!(code(2, [0.0; 3], [0.0; 3]), "bad_header");
        assert_eq!(code(0, [0.0; 3], [1.0; 3]), "bad_header");
    }

    /// Cell by cell, as the format's page has it.
    fn plain_runs(grid: &VoxelGrid) -> Vec<u8> {
        let d = grid.resolution;
        let mut runs: Vec<[u8; 2]> = Vec::new();
        for cell in 0..d * d * d {
            let value = u8::from(grid.get(cell / (d * d), cell % d, cell / d % d));
            match runs.last_mut() {
                Some(run) if run[0] == value && run[1] < u8::MAX => run[1] += 1,
                _ => runs.push([value, 1]),
            }
        }
        runs.concat()
    }

    #[test]
    fn runs_are_what_cell_by_cell_says() {
        for resolution in [1, 5, 8, 33, 64, 70] {
            let mut grid = VoxelGrid::empty(resolution, [0.0; 3], [1.0; 3], Fill::Unknown);
            let cells = resolution.pow(3);
            for cell in (0..cells).filter(|cell| cell / 7 % 3 == 1 || *cell > cells / 2) {
                grid.set_index(cell);
            }
            let bytes = encode(&grid).expect("a grid of one scale");
            let runs = plain_runs(&grid);
            assert!(bytes.ends_with(&runs), "{resolution}");
            assert_eq!(decode(&bytes), Ok(grid), "{resolution}");
        }
    }
}
