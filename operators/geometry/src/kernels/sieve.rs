//! `Sieve`: the triangles of a large mesh that may cover a sample, for four views at once.

use bytemuck::cast;
use voxflow_contract::TriMesh;
use wide::{f32x4, i16x8, i32x4, i32x8};

use crate::kernels::lens::{GUARD, Lens, Projection};
use crate::kernels::pack::Bounds;
use crate::kernels::raster::{HALF, SHIFT};
use crate::kernels::simd::{Kernel, run_widest};

/// Views whose points are projected together, one in each lane of a SIMD register.
pub(crate) const VIEWS: usize = 4;

/// Cells of one point in all views: the columns in the first four lanes, the rows in the others.
type Cells = i16x8;

/// Triangles of a run.
const RUN: usize = 256;

/// Stands for a vertex that no triangle has named yet.
const UNNAMED: u32 = u32::MAX;

/// Lists for each of up to four views the triangles whose corners do not all lie in one column or in one
/// row of samples, so that their boxes hold the centre of one. They are listed in runs of triangles that
/// follow each other in the mesh, most of which are neighbours in space, too.
#[derive(Default)]
pub(crate) struct Sieve {
    /// The mesh, its vertices in the order in which triangles name them: in files they are often in an
    /// order of their own, and every look at one would wait for memory.
    mesh: TriMesh,
    /// Where each vertex of the mesh as it was given has come to.
    places: Vec<u32>,
    /// The vertices of the mesh as it was given, in the order in which triangles name them.
    order: Vec<u32>,
    /// Around each run.
    bounds: Vec<Option<Bounds>>,
    cells: Vec<Cells>,
    kept: [Kept; VIEWS],
}

/// The triangles that a view keeps, in order.
#[derive(Default)]
struct Kept {
    numbers: Vec<u32>,
    /// Where each run ends in `numbers`.
    ends: Vec<u32>,
}

impl Sieve {
    /// Gets ready for views of `mesh`.
    ///
    /// # Panics
    /// When a triangle names a vertex that does not exist, as indexing would.
    pub(crate) fn take(&mut self, mesh: &TriMesh) {
        let TriMesh { vertices, triangles } = &mut self.mesh;
        self.places.clear();
        self.places.resize(mesh.vertices.len(), UNNAMED);
        self.order.clear();
        self.order.resize(mesh.vertices.len() + 1, 0);
        triangles.clear();
        triangles.resize(mesh.triangles.len(), [0; 3]);
        let (places, order) = (self.places.as_mut_slice(), self.order.as_mut_slice());
        let mut count = 0;
        // Without a branch, so that the waits for memory overlap.
        for (to, from) in triangles.as_flattened_mut().iter_mut().zip(mesh.triangles.as_flattened())
        {
            let place = &mut places[*from as usize];
            let is_new = *place == UNNAMED;
            *place = if is_new { count as u32 } else { *place };
            *to = *place;
            order[count] = *from;
            count += usize::from(is_new);
        }
        vertices.clear();
        vertices.extend(order[..count].iter().map(|vertex| mesh.vertices[*vertex as usize]));
        self.bounds.clear();
        self.bounds.extend(triangles.chunks(RUN).map(|run| bounds_of(vertices, run)));
    }

    /// The mesh: its triangles as they were given, its vertices in another order.
    pub(crate) fn mesh(&self) -> &TriMesh {
        &self.mesh
    }

    /// Looks at the mesh through up to four lenses.
    ///
    /// # Panics
    /// When there are no lenses.
    pub(crate) fn look(&mut self, lenses: &[Lens]) {
        LensLanes::new(lenses).cells(&self.mesh.vertices, &mut self.cells);
        let Self { mesh, cells, kept, .. } = self;
        for kept in kept.iter_mut() {
            kept.numbers.clear();
            kept.ends.clear();
        }
        run_widest(Sifting { triangles: &mesh.triangles, cells, kept });
    }

    /// Number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.bounds.len()
    }

    /// Box around a run; nothing if not all of its coordinates are numbers.
    pub(crate) fn bounds(&self, run: usize) -> Option<&Bounds> {
        self.bounds[run].as_ref()
    }

    /// The triangles of a run that a view keeps, in order.
    #[inline(always)]
    pub(crate) fn kept(&self, view: usize, run: usize) -> &[u32] {
        let Kept { numbers, ends } = &self.kept[view];
        let start = if run == 0 { 0 } else { ends[run - 1] };
        &numbers[start as usize..ends[run] as usize]
    }
}

/// Lists the triangles that views keep.
struct Sifting<'a> {
    triangles: &'a [[u32; 3]],
    cells: &'a [Cells],
    kept: &'a mut [Kept; VIEWS],
}

impl Kernel for Sifting<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { triangles, cells, kept } = self;
        let mut lists = [[0; RUN]; VIEWS];
        for (run, triangles) in triangles.chunks(RUN).enumerate() {
            let mut counts = [0; VIEWS];
            for (i, triangle) in triangles.iter().enumerate() {
                let [a, b, c] = triangle.map(|vertex| cells[vertex as usize]);
                let keeps = may_cover(a, b, c);
                // No processor foresees what is kept, so all are written, and the others written over.
                for view in 0..VIEWS {
                    lists[view][counts[view] % RUN] = (run * RUN + i) as u32;
                    counts[view] += (keeps >> view & 1) as usize;
                }
            }
            for (view, kept) in kept.iter_mut().enumerate() {
                kept.numbers.extend_from_slice(&lists[view][..counts[view]]);
                kept.ends.push(kept.numbers.len() as u32);
            }
        }
    }
}

/// Box around triangles; nothing if not all of their coordinates are numbers.
fn bounds_of(vertices: &[[f32; 3]], triangles: &[[u32; 3]]) -> Option<Bounds> {
    let (mut low, mut high) = (f32x4::splat(f32::INFINITY), f32x4::splat(f32::NEG_INFINITY));
    // What has all bits of the exponent set is no number.
    let exponents = i32x4::splat(f32::INFINITY.to_bits() as i32);
    let mut largest = i32x4::ZERO;
    for vertex in triangles.as_flattened() {
        let [x, y, z] = vertices[*vertex as usize];
        let point = f32x4::new([x, y, z, z]);
        low = low.fast_min(point);
        high = high.fast_max(point);
        largest = largest.max(cast::<f32x4, i32x4>(point) & exponents);
    }
    let of = |lanes: f32x4| {
        let [x, y, z, _] = lanes.to_array();
        [x, y, z]
    };
    let all_finite = largest.simd_eq(exponents).to_bitmask() == 0;
    all_finite.then(|| Bounds { low: of(low), high: of(high) })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn triangles_stay_and_their_vertices_follow_their_order() {
        let mut given = testing::ball(0.5, 4);
        given.vertices.reverse();
        let last = given.vertices.len() as u32 - 1;
        given.triangles.iter_mut().flatten().for_each(|vertex| *vertex = last - *vertex);
        given.vertices.push([7.0; 3]);
        let mut sieve = Sieve::default();
        sieve.take(&testing::ball(2.0, 5));
        sieve.take(&given);
        let mesh = sieve.mesh();
        assert_eq!(mesh.vertices.len(), given.vertices.len() - 1, "one is named by no triangle");
        assert_eq!(mesh.triangles.len(), given.triangles.len());
        let mut next = 0;
        for (number, triangle) in mesh.triangles.iter().enumerate() {
            assert_eq!(mesh.corners(number), given.corners(number));
            for vertex in triangle {
                assert!(*vertex <= next);
                next = next.max(vertex + 1);
            }
        }
        assert_eq!(sieve.runs(), given.triangles.len().div_ceil(RUN));
        for number in 0..given.triangles.len() {
            let bounds = sieve.bounds(number / RUN).expect("finite coordinates");
            for (corner, axis) in (0..9).map(|i| (i / 3, i % 3)) {
                let range = bounds.low[axis]..=bounds.high[axis];
                assert!(range.contains(&mesh.corners(number)[corner][axis]));
            }
        }
    }

    #[test]
    fn what_is_no_number_has_no_box() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for axis in 0..3 {
                let mut mesh = testing::ball(0.5, 2);
                mesh.vertices[3][axis] = odd;
                let mut sieve = Sieve::default();
                sieve.take(&mesh);
                assert_eq!(sieve.bounds(0), None);
            }
        }
        let mut sieve = Sieve::default();
        sieve.take(&TriMesh::default());
        assert_eq!(sieve.runs(), 0);
    }
}
