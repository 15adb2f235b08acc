//! Block: some triangles of a mesh, projected side by side.

use bytemuck::{cast, cast_slice, cast_slice_mut};
use voxflow_contract::TriMesh;
use wide::{f32x4, i32x4};

use crate::kernels::lens::{GUARD, LANES, Landed, Lens};
use crate::kernels::raster::{Area, HALF, SHIFT, Target};

/// Triangles in a block.
pub(crate) const BLOCK: usize = 64;
const REGISTERS: usize = BLOCK / LANES;

/// A number of each triangle, or three.
type Floats = [f32x4; REGISTERS];
type Integers = [i32x4; REGISTERS];

/// Up to [`BLOCK`] triangles. Their corners lie far apart in memory: fetched one after the other, the
/// waits for them overlap.
pub(crate) struct Block {
    /// x, y and z of each corner, in the mesh.
    corners: [[Floats; 3]; 3],
    x: [Integers; 3],
    y: [Integers; 3],
    near: [Floats; 3],
    low: Floats,
    high: Floats,
    /// All ones where the lens can project every corner.
    is_whole: Integers,
    /// First and end of the columns and rows of samples whose centres can be inside.
    box_of: [Integers; 4],
}

impl Default for Block {
    fn default() -> Self {
        let (floats, integers) = ([f32x4::ZERO; REGISTERS], [i32x4::ZERO; REGISTERS]);
        Self {
            corners: [[floats; 3]; 3],
            x: [integers; 3],
            y: [integers; 3],
            near: [floats; 3],
            low: floats,
            high: floats,
            is_whole: integers,
            box_of: [integers; 4],
        }
    }
}

impl Block {
    /// Makes it the triangles `numbers`, in this order, as `lens` sees them.
    pub(crate) fn fill(&mut self, mesh: &TriMesh, numbers: &[u32], lens: &Lens) {
        let [a, b, c] = &mut self.corners;
        for (i, number) in numbers.iter().enumerate() {
            let triangle = mesh.triangles[*number as usize];
            for (corner, vertex) in [&mut *a, &mut *b, &mut *c].into_iter().zip(triangle) {
                let position = mesh.vertices[vertex as usize];
                for axis in 0..3 {
                    cast_slice_mut::<f32x4, f32>(&mut corner[axis])[i] = position[axis];
                }
            }
        }
        // The lanes past the last triangle repeat it.
        for i in numbers.len()..numbers.len().next_multiple_of(LANES) {
            for axis in self.corners.as_flattened_mut() {
                let axis = cast_slice_mut::<f32x4, f32>(axis);
                axis[i] = axis[numbers.len() - 1];
            }
        }
        for register in 0..numbers.len().div_ceil(LANES) {
            self.project(register, lens);
        }
    }

    #[inline(always)]
    fn project(&mut self, register: usize, lens: &Lens) {
        let corner = |i: usize| {
            let [x, y, z] = &self.corners[i];
            lens.land_lanes(&[x[register], y[register], z[register]])
        };
        let (a, b, c) = (corner(0), corner(1), corner(2));
        for (i, landed) in [&a, &b, &c].into_iter().enumerate() {
            (self.x[i][register], self.y[i][register]) = (landed.x, landed.y);
            self.near[i][register] = landed.nearness;
        }
        let (left, right) = ends([a.x, b.x, c.x]);
        let (top, bottom) = ends([a.y, b.y, c.y]);
        let guard = i32x4::splat(GUARD);
        let is_near = left.simd_gt(-guard) & right.simd_lt(guard);
        let is_near = is_near & top.simd_gt(-guard) & bottom.simd_lt(guard);
        let nearest = a.z.fast_min(b.z).fast_min(c.z);
        let is_beyond: i32x4 = cast(nearest.simd_ge(f32x4::splat(lens.near)));
        self.is_whole[register] = is_near & is_beyond;
        self.low[register] = a.nearness.fast_min(b.nearness).fast_min(c.nearness);
        self.high[register] = a.nearness.fast_max(b.nearness).fast_max(c.nearness);
        let [width, height] = lens.size.map(|size| i32x4::splat(size as i32));
        let cell = |value: i32x4, end: i32x4| {
            let cell: i32x4 = (value + i32x4::splat(HALF - 1)) >> SHIFT;
            cell.max(i32x4::ZERO).min(end)
        };
        let box_of =
            [cell(left, width), cell(right, width), cell(top, height), cell(bottom, height)];
        for (all, one) in self.box_of.iter_mut().zip(box_of) {
            all[register] = one;
        }
    }

    /// Triangle `i` on the grid, or nothing if it must be clipped.
    #[inline(always)]
    pub(crate) fn target(&self, i: usize) -> Option<Target> {
        let integer = |all: &Integers| cast_slice::<i32x4, i32>(all)[i];
        let float = |all: &Floats| cast_slice::<f32x4, f32>(all)[i];
        if integer(&self.is_whole) == 0 {
            return None;
        }
        let [left, right, top, bottom] = &self.box_of;
        Some(Target {
            x: [integer(&self.x[0]), integer(&self.x[1]), integer(&self.x[2])],
            y: [integer(&self.y[0]), integer(&self.y[1]), integer(&self.y[2])],
            near: [float(&self.near[0]), float(&self.near[1]), float(&self.near[2])],
            low: float(&self.low),
            high: float(&self.high),
            area: Area {
                left: integer(left) as usize,
                right: integer(right) as usize,
                top: integer(top) as usize,
                bottom: integer(bottom) as usize,
            },
        })
    }

    /// A box around those of the first `count` triangles that need no clipping.
    pub(crate) fn area(&self, count: usize) -> Area {
        let mut ends = [i32x4::splat(i32::MAX), i32x4::ZERO, i32x4::splat(i32::MAX), i32x4::ZERO];
        for register in 0..count.div_ceil(LANES) {
            let is_whole = self.is_whole[register];
            let outside = !is_whole & i32x4::splat(i32::MAX);
            for side in 0..4 {
                let value = self.box_of[side][register];
                ends[side] = match side % 2 {
                    0 => ends[side].min(value | outside),
                    _ => ends[side].max(value & is_whole),
                };
            }
        }
        Area {
            left: ends[0].reduce_min() as usize,
            right: ends[1].reduce_max() as usize,
            top: ends[2].reduce_min() as usize,
            bottom: ends[3].reduce_max() as usize,
        }
    }

    /// The corners of triangle `i` in the mesh.
    #[inline(always)]
    pub(crate) fn corners(&self, i: usize) -> [[f32; 3]; 3] {
        let float = |all: &Floats| cast_slice::<f32x4, f32>(all)[i];
        let corner = |[x, y, z]: &[Floats; 3]| [float(x), float(y), float(z)];
        [corner(&self.corners[0]), corner(&self.corners[1]), corner(&self.corners[2])]
    }

    /// Where the corners of triangle `i` landed.
    pub(crate) fn landed(&self, i: usize, lens: &Lens) -> [Landed; 3] {
        self.corners(i).map(|corner| lens.land(corner))
    }
}

#[inline(always)]
fn ends([a, b, c]: [i32x4; 3]) -> (i32x4, i32x4) {
    (a.min(b).min(c), a.max(b).max(c))
}
