//! `Sieve`: the triangles of a large mesh that may cover a sample, for four views at once.

use bytemuck::cast;
use voxflow_contract::TriMesh;
use wide::{f32x4, i16x8, i32x4, i32x8};

use crate::kernels::lens::{GUARD, Lens, Projection};
use crate::kernels::raster::{HALF, SHIFT};

/// Views whose points are projected together, one in each lane of a SIMD register.
pub(crate) const VIEWS: usize = 4;

/// Cells of one point in all views: the columns in the first four lanes, the rows in the others.
type Cells = i16x8;

/// Lists for each of up to four views the triangles whose corners do not all lie in one column or in one
/// row of samples, so that their boxes hold the centre of one.
#[derive(Default)]
pub(crate) struct Sieve {
    cells: Vec<Cells>,
    kept: [Vec<u32>; VIEWS],
}

impl Sieve {
    /// # Panics
    /// When there are no lenses, or a triangle names a vertex that does not exist, as indexing would.
    pub(crate) fn fill(&mut self, mesh: &TriMesh, lenses: &[Lens]) {
        LensLanes::new(lenses).cells(&mesh.vertices, &mut self.cells);
        self.kept.iter_mut().for_each(Vec::clear);
        let cells = self.cells.as_slice();
        for (number, triangle) in mesh.triangles.iter().enumerate() {
            let [a, b, c] = *triangle;
            let (a, b, c) = (cells[a as usize], cells[b as usize], cells[c as usize]);
            let mut keeps = may_cover(a, b, c);
            while keeps != 0 {
                self.kept[keeps.trailing_zeros() as usize].push(number as u32);
                keeps &= keeps - 1;
            }
        }
    }

    /// The triangles of a view, in order.
    pub(crate) fn kept(&self, view: usize) -> &[u32] {
        &self.kept[view]
    }
}

/// Lenses of up to [`VIEWS`] views.
struct LensLanes {
    /// Rows u, v and z of the matrices.
    rows: [[f32x4; 4]; 3],
    center: [f32x4; 2],
    near: f32x4,
    /// One past the last column and row.
    end: Cells,
    projection: Projection,
}

impl LensLanes {
    /// All of one projection; missing ones repeat the last.
    fn new(lenses: &[Lens]) -> Self {
        let lane = |i: usize| &lenses[i.min(lenses.len() - 1)];
        let lanes = |get: &dyn Fn(&Lens) -> f32| f32x4::new(std::array::from_fn(|i| get(lane(i))));
        let row = |i: usize| std::array::from_fn(|j| lanes(&|lens: &Lens| lens.rows[i][j]));
        let center = |i: usize| lanes(&|lens: &Lens| lens.center[i]);
        let end = std::array::from_fn(|i| lane(i % VIEWS).size[i / VIEWS] as i16);
        Self {
            rows: [row(0), row(1), row(2)],
            center: [center(0), center(1)],
            near: lanes(&|lens: &Lens| lens.near),
            end: i16x8::new(end),
            projection: lenses[0].projection,
        }
    }

    /// The cells of all points, replacing what `cells` holds.
    fn cells(&self, points: &[[f32; 3]], cells: &mut Vec<Cells>) {
        cells.clear();
        match self.projection {
            Projection::Perspective => {
                cells.extend(points.iter().map(|point| self.cell::<false>(*point)));
            }
            Projection::Orthographic => {
                cells.extend(points.iter().map(|point| self.cell::<true>(*point)));
            }
        }
    }

    /// For each view the column and row of the first sample whose centre does not lie before the
    /// point, clamped to the picture; -1 for a point before the near plane. Calculates in the steps of
    /// [`Lens::approach`], so a point is where that puts it.
    #[inline(always)]
    fn cell<const ORTHOGRAPHIC: bool>(&self, point: [f32; 3]) -> Cells {
        let [x, y, z] = point.map(f32x4::splat);
        let product = |row: &[f32x4; 4]| row[0] * x + row[1] * y + row[2] * z + row[3];
        let [u, v, z] = [product(&self.rows[0]), product(&self.rows[1]), product(&self.rows[2])];
        let inverse = if ORTHOGRAPHIC { f32x4::ONE } else { f32x4::ONE / z };
        let first = |value: f32x4, center: f32x4| -> i32x4 {
            let guard = f32x4::splat(GUARD as f32);
            let value = value * inverse + center + f32x4::HALF;
            let steps = value.fast_max(-guard).fast_min(guard).fast_trunc_int();
            (steps + i32x4::splat(HALF - 1)) >> SHIFT
        };
        let (column, row) = (first(u, self.center[0]), first(v, self.center[1]));
        let is_seen: i32x4 = cast(z.simd_ge(self.near));
        let cell = pack(column, row).max(i16x8::ZERO).min(self.end);
        cell | !pack(is_seen, is_seen)
    }
}

/// Lanes of which the numbers fit 16 bits.
#[inline(always)]
fn pack(low: i32x4, high: i32x4) -> i16x8 {
    i16x8::from_i32x8_saturate(cast::<[i32x4; 2], i32x8>([low, high]))
}

/// The views, one a bit, in which a triangle with these cells may cover the centre of a sample: not
/// where all corners are in one column or in one row of cells.
#[inline(always)]
fn may_cover(a: Cells, b: Cells, c: Cells) -> u32 {
    let differs = (a ^ b) | (a ^ c);
    let same = differs.simd_eq(i16x8::ZERO).to_bitmask();
    !(same | same >> VIEWS) & ((1 << VIEWS) - 1)
}
