//! Parity: the cells whose centre a line enters through an odd number of triangles.

use voxflow_contract::TriMesh;

use crate::kernels::columns::Columns;
use crate::kernels::crossing::{Lines, Take, find_crossings, first_centre};
use crate::kernels::fit::Frame;
use crate::kernels::simd::{Kernel, run_widest};

/// The cells before whose centre the line of cells through it crosses the mesh an odd number of times.
///
/// A centre on a triangle counts as past it: of two parallel sides the lower belongs to the inside,
/// and so cells are half-open, like the projected triangles of [`find_crossings`].
pub(crate) fn fill_by_parity(
    mesh: &TriMesh,
    resolution: usize,
    frame: &Frame,
    lines: Lines,
) -> Columns {
    let mut columns = run_widest(FlipAtCrossings { mesh, resolution, frame, lines });
    match lines.along {
        0 => sum_planes(&mut columns.bits, resolution),
        1 => {
            let plane = resolution * columns.words;
            columns.bits.chunks_exact_mut(plane).for_each(|plane| sum_planes(plane, resolution));
        }
        _ => run_widest(SumColumns(&mut columns)),
    }
    columns
}

struct FlipAtCrossings<'a> {
    mesh: &'a TriMesh,
    resolution: usize,
    frame: &'a Frame,
    lines: Lines,
}

impl Kernel for FlipAtCrossings<'_> {
    type Output = Columns;

    #[inline(always)]
    fn run(self) -> Columns {
        let columns = Columns::empty(self.resolution);
        let mut flip = Flip { columns, lines: self.lines, cells: self.resolution as f64 };
        find_crossings(self.mesh, self.frame, self.resolution, self.lines, &mut flip);
        flip.columns
    }
}

/// Turns over the first cell past each crossing.
struct Flip {
    columns: Columns,
    lines: Lines,
    cells: f64,
}

impl Take for Flip {
    #[inline(always)]
    fn take(&mut self, row: usize, place: usize, at: f64) {
        let first = first_centre(at);
        if first < self.cells {
            let first = if first > 0.0 { first as i32 as usize } else { 0 };
            let [x, y, z] = self.lines.cell(row, place, first);
            self.columns.flip(x, y, z);
        }
    }
}

/// Each of `count` equal parts becomes the parity of all parts up to it.
fn sum_planes(bits: &mut [u64], count: usize) {
    let plane = bits.len() / count;
    for n in 1..count {
        let (before, after) = bits.split_at_mut(n * plane);
        let before = &before[(n - 1) * plane..];
        after[..plane].iter_mut().zip(before).for_each(|(to, from)| *to ^= from);
    }
}

/// Each cell becomes the parity of all cells up to it in its column.
struct SumColumns<'a>(&'a mut Columns);

impl Kernel for SumColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let words = self.0.words;
        let valid = self.0.valid_bits(words - 1);
        for column in self.0.bits.chunks_exact_mut(words) {
            let mut carry = 0;
            for word in column.iter_mut() {
                let mut sum = *word;
                for shift in [1, 2, 4, 8, 16, 32] {
                    sum ^= sum << shift;
                }
                *word = sum ^ carry;
                carry = 0u64.wrapping_sub(*word >> 63);
            }
            column[words - 1] &= valid;
        }
    }
}
