//! `Pack`: the triangles of a mesh in blocks that lie close together, to look at from many sides.

use voxflow_contract::TriMesh;

/// Triangles in a block.
pub(crate) const BLOCK: usize = 64;

/// For each corner and axis the coordinates of the triangles of a block.
pub(crate) type Corners = [[[f32; BLOCK]; 3]; 3];

/// Meshes of fewer triangles are sorted into few cells.
const FEW: usize = 4096;

/// Copies of the triangles of a mesh, block by block. Neighbours in space share a block, so a block
/// that is hidden, or out of view, can be left out as a whole.
#[derive(Default)]
pub(crate) struct Pack {
    corners: Vec<Corners>,
    /// The number of each triangle in the mesh, block after block.
    numbers: Vec<u32>,
    bounds: Vec<Option<Bounds>>,
    keys: Vec<u16>,
    starts: Vec<u32>,
}

/// A box around the triangles of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: [f32; 3],
    pub(crate) high: [f32; 3],
}

impl Pack {
    /// Makes it the triangles of `mesh`.
    ///
    /// # Panics
    /// When a triangle names a vertex that does not exist, as indexing would.
    pub(crate) fn fill(&mut self, mesh: &TriMesh) {
        self.sort(mesh);
        self.corners.clear();
        self.corners.resize(self.numbers.len().div_ceil(BLOCK), [[[0.0; BLOCK]; 3]; 3]);
        for (numbers, block) in self.numbers.chunks(BLOCK).zip(&mut self.corners) {
            gather(mesh, numbers, block);
        }
        self.bounds.clear();
        self.bounds.extend(self.corners.iter().map(bounds_of));
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.corners.len()
    }

    /// Box around a block; nothing if not all of its coordinates are numbers.
    pub(crate) fn bounds(&self, block: usize) -> Option<&Bounds> {
        self.bounds[block].as_ref()
    }

    /// The corners of a block, whose lanes past the last triangle repeat it, and the numbers of its
    /// triangles in the mesh.
    #[inline(always)]
    pub(crate) fn block(&self, block: usize) -> (&Corners, &[u32]) {
        let end = self.numbers.len().min((block + 1) * BLOCK);
        (&self.corners[block], &self.numbers[block * BLOCK..end])
    }

    /// Lists the triangles along a Z-shaped curve through coarse cells; those of a cell in order.
    fn sort(&mut self, mesh: &TriMesh) {
        let bits = if mesh.triangles.len() < FEW { 3 } else { 5 };
        let curve = Curve::around(mesh, bits);
        self.keys.clear();
        // One corner is as good as the middle, and less to fetch.
        let vertex = |triangle: &[u32; 3]| mesh.vertices[triangle[0] as usize];
        self.keys.extend(mesh.triangles.iter().map(|triangle| curve.key(vertex(triangle))));
        self.starts.clear();
        self.starts.resize((1 << (3 * bits)) + 1, 0);
        for key in &self.keys {
            self.starts[usize::from(*key) + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
        self.numbers.clear();
        self.numbers.resize(self.keys.len(), 0);
        for (number, key) in self.keys.iter().enumerate() {
            let start = &mut self.starts[usize::from(*key)];
            self.numbers[*start as usize] = number as u32;
            *start += 1;
        }
    }
}

/// Fills a block with the corners of up to 64 triangles; the lanes past the last repeat it.
///
/// The corners lie far apart in memory: fetched one after the other, the waits for them overlap.
#[inline(always)]
pub(crate) fn gather(mesh: &TriMesh, numbers: &[u32], block: &mut Corners) {
    let mut triangles = [[0; 3]; BLOCK];
    for (triangle, number) in triangles.iter_mut().zip(numbers) {
        *triangle = mesh.triangles[*number as usize];
    }
    let [a, b, c] = block;
    for (lane, triangle) in triangles.iter().enumerate().take(numbers.len()) {
        for (corner, vertex) in [&mut *a, &mut *b, &mut *c].into_iter().zip(*triangle) {
            let position = mesh.vertices[vertex as usize];
            for axis in 0..3 {
                corner[axis][lane] = position[axis];
            }
        }
    }
    for lane in numbers.len()..BLOCK {
        for axis in block.as_flattened_mut() {
            axis[lane] = axis[numbers.len() - 1];
        }
    }
}

fn bounds_of(corners: &Corners) -> Option<Bounds> {
    let mut bounds = Bounds { low: [f32::INFINITY; 3], high: [f32::NEG_INFINITY; 3] };
    let mut all_finite = true;
    for corner in corners {
        for (axis, values) in corner.iter().enumerate() {
            for value in values {
                all_finite &= value.is_finite();
                bounds.low[axis] = least(bounds.low[axis], *value);
                bounds.high[axis] = most(bounds.high[axis], *value);
            }
        }
    }
    all_finite.then_some(bounds)
}

/// The smaller of two; of a NaN, the other.
#[inline(always)]
fn least(known: f32, value: f32) -> f32 {
    if value < known { value } else { known }
}

#[inline(always)]
fn most(known: f32, value: f32) -> f32 {
    if value > known { value } else { known }
}

/// A curve through the cells of the box around a mesh, along which neighbours stay neighbours
/// (Morton 1966).
struct Curve {
    low: [f32; 3],
    cells_per_unit: f32,
    last: u32,
}

impl Curve {
    /// Through `2^bits` cells along each axis, no more than 2^5.
    fn around(mesh: &TriMesh, bits: u32) -> Self {
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for vertex in &mesh.vertices {
            for axis in 0..3 {
                low[axis] = least(low[axis], vertex[axis]);
                high[axis] = most(high[axis], vertex[axis]);
            }
        }
        let cells = (1 << bits) as f32;
        let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(0.0, most);
        Self { low, cells_per_unit: cells / longest, last: (1 << bits) - 1 }
    }

    /// The cell of a point. What is no number is in the first.
    #[inline(always)]
    fn key(&self, point: [f32; 3]) -> u16 {
        // Every third bit.
        const SPREAD: [u16; 32] = spread();
        let cell = |axis: usize| {
            let cell = (point[axis] - self.low[axis]) * self.cells_per_unit;
            SPREAD[(cell as u32).min(self.last) as usize % 32]
        };
        cell(0) | cell(1) << 1 | cell(2) << 2
    }
}

const fn spread() -> [u16; 32] {
    let mut all = [0; 32];
    let mut i = 0;
    while i < 32 {
        let mut bit = 0;
        while bit < 5 {
            all[i] |= ((i >> bit & 1) << (3 * bit)) as u16;
            bit += 1;
        }
        i += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn every_triangle_is_in_one_block_as_it_is_in_the_mesh() {
        for ball in [testing::ball(0.5, 1), testing::ball(0.5, 5)] {
            let mut pack = Pack::default();
            pack.fill(&testing::ball(2.0, 2));
            pack.fill(&ball);
            let mut seen = vec![0; ball.triangles.len()];
            for number in 0..pack.blocks() {
                let (packed, numbers) = pack.block(number);
                let bounds = pack.bounds(number).expect("finite coordinates");
                for (lane, triangle) in numbers.iter().enumerate() {
                    seen[*triangle as usize] += 1;
                    let corners = ball.corners(*triangle as usize);
                    for (corner, axis) in (0..9).map(|i| (i / 3, i % 3)) {
                        assert_eq!(packed[corner][axis][lane], corners[corner][axis]);
                        let range = bounds.low[axis]..=bounds.high[axis];
                        assert!(range.contains(&corners[corner][axis]));
                    }
                }
            }
            assert_eq!(seen, vec![1; ball.triangles.len()]);
        }
    }

    #[test]
    fn blocks_are_small_and_odd_numbers_have_no_box() {
        let ball = testing::ball(0.5, 5);
        let mut pack = Pack::default();
        pack.fill(&ball);
        let side = |block| {
            let bounds = pack.bounds(block).expect("finite coordinates");
            (0..3).map(|axis| bounds.high[axis] - bounds.low[axis]).fold(0.0, f32::max)
        };
        let sides: Vec<f32> = (0..pack.blocks()).map(side).collect();
        let mean = sides.iter().sum::<f32>() / sides.len() as f32;
        assert!(mean < 0.35, "{mean} of 1");
        for odd in [f32::NAN, f32::INFINITY] {
            let mut mesh = testing::ball(0.5, 1);
            mesh.vertices[3][1] = odd;
            pack.fill(&mesh);
            assert!((0..pack.blocks()).any(|block| pack.bounds(block).is_none()));
        }
        pack.fill(&TriMesh::default());
        assert_eq!(pack.blocks(), 0);
    }
}
