//! Block: some triangles of a mesh as a view sees them, worked on side by side.

use crate::kernels::lens::{GUARD, Landed, Lens, steps};
use crate::kernels::pack::{BLOCK, Corners};
use crate::kernels::raster::{
    Area, Edges, GROUP, Narrow, Nearness, Raster, Target, cell, is_narrow, least, most, near_at,
};
use crate::kernels::rays::Rays;
use crate::kernels::shade::wider;

/// For triangles of which fewer are left it pays to set up one after the other.
const FEW: usize = 12;

/// A number of each triangle.
type Floats = [f32; BLOCK];
type Doubles = [f64; BLOCK];
type Integers = [i32; BLOCK];

/// Up to [`BLOCK`] triangles, in the order of their corners.
///
/// First all are projected; then whoever draws asks which are left and sets those up. Loops go over all
/// lanes without a branch, so that the compiler makes wide instructions of them.
pub(crate) struct Block {
    x: [Integers; 3],
    y: [Integers; 3],
    depth: [Floats; 3],
    nearness: [Floats; 3],
    low: Floats,
    high: Floats,
    /// First and end of the columns and rows of samples whose centres can be inside.
    left: Integers,
    right: Integers,
    top: Integers,
    bottom: Integers,
    is_seen: Integers,
    is_cut: Integers,
    is_narrow: Integers,
    value: [Integers; 3],
    step_x: [Integers; 3],
    step_y: [Integers; 3],
    near: [Doubles; 3],
    /// The triangles that are left, `count` of them.
    kept: [u8; BLOCK],
    count: usize,
}

impl Default for Block {
    fn default() -> Self {
        let (integers, floats, doubles) = ([0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        Self {
            x: [integers; 3],
            y: [integers; 3],
            depth: [floats; 3],
            nearness: [floats; 3],
            low: floats,
            high: floats,
            left: integers,
            right: integers,
            top: integers,
            bottom: integers,
            is_seen: integers,
            is_cut: integers,
            is_narrow: integers,
            value: [integers; 3],
            step_x: [integers; 3],
            step_y: [integers; 3],
            near: [doubles; 3],
            kept: [0; BLOCK],
            count: 0,
        }
    }
}

impl Block {
    /// Makes it the triangles with these corners, as `lens` sees them.
    #[inline(always)]
    pub(crate) fn project<const ORTHOGRAPHIC: bool>(&mut self, corners: &Corners, lens: &Lens) {
        let (mut x, mut y) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (corner, [xs, ys, zs]) in corners.iter().enumerate() {
            for i in 0..BLOCK {
                let landing = lens.approach::<ORTHOGRAPHIC>([xs[i], ys[i], zs[i]]);
                x[i] = landing.x;
                y[i] = landing.y;
                self.depth[corner][i] = landing.z;
                self.nearness[corner][i] = landing.nearness;
            }
            let whole = |to: &mut Integers, from: &Floats| {
                for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks().0) {
                    *to = steps(*from);
                }
            };
            whole(&mut self.x[corner], &x);
            whole(&mut self.y[corner], &y);
        }
        let [width, height] = lens.size.map(|size| size as i32);
        for i in 0..BLOCK {
            let [x, y] = [&self.x, &self.y].map(|of| [of[0][i], of[1][i], of[2][i]]);
            let ([left, right], [top, bottom]) = ([least(x), most(x)], [least(y), most(y)]);
            let is_near = (left > -GUARD) & (right < GUARD) & (top > -GUARD) & (bottom < GUARD);
            let [a, b, c] = [self.depth[0][i], self.depth[1][i], self.depth[2][i]];
            let is_beyond = (a >= lens.near) & (b >= lens.near) & (c >= lens.near);
            let sides = [right - left, bottom - top];
            let [left, right] = [cell(left, width), cell(right, width)];
            let [top, bottom] = [cell(top, height), cell(bottom, height)];
            self.is_cut[i] = i32::from(!(is_near & is_beyond));
            self.is_seen[i] = i32::from(is_near & is_beyond & (left < right) & (top < bottom));
            self.is_narrow[i] = i32::from(is_narrow(sides));
            (self.left[i], self.right[i]) = (left, right);
            (self.top[i], self.bottom[i]) = (top, bottom);
            let [a, b, c] = [self.nearness[0][i], self.nearness[1][i], self.nearness[2][i]];
            self.low[i] = lower(lower(a, b), c);
            self.high[i] = higher(higher(a, b), c);
        }
    }

    /// Keeps those of the first `count` triangles that need no clipping, may cover a sample and are not
    /// hidden; a box around theirs, and how many samples these have together.
    #[inline(always)]
    pub(crate) fn keep(&mut self, count: usize, raster: &Raster) -> (Area, usize) {
        let (mut all, mut samples) = (raster.nothing(), 0);
        self.count = 0;
        for i in 0..count.min(BLOCK) {
            if self.is_seen[i] == 0 {
                continue;
            }
            let area = self.area(i);
            if !raster.hides(&area, self.high[i]) {
                self.kept[self.count % BLOCK] = i as u8;
                self.count += 1;
                samples += area.samples();
                all.include(area);
            }
        }
        (all, samples)
    }

    /// The triangles that were kept.
    #[inline(always)]
    pub(crate) fn kept(&self) -> impl Iterator<Item = usize> + use<> {
        let (kept, count) = (self.kept, self.count);
        kept.into_iter().take(count).map(usize::from)
    }

    /// Those of the first `count` triangles that must be clipped.
    #[inline(always)]
    pub(crate) fn cut(&self, count: usize) -> impl Iterator<Item = usize> + '_ {
        self.is_cut
            .iter()
            .take(count)
            .enumerate()
            .filter(|(_, is_cut)| **is_cut > 0)
            .map(|(i, _)| i)
    }

    /// Whether any triangle must be clipped.
    #[inline(always)]
    pub(crate) fn has_cut(&self) -> bool {
        self.is_cut.iter().fold(0, |all, is_cut| all | is_cut) > 0
    }

    /// Gets those that were kept and are narrow ready to be drawn.
    #[inline(always)]
    pub(crate) fn set_up<const ORTHOGRAPHIC: bool>(&mut self, corners: &Corners, rays: &Rays) {
        if self.count < FEW {
            for i in self.kept() {
                self.set_up_one::<ORTHOGRAPHIC>(i, corners, rays);
            }
        } else {
            for i in 0..BLOCK {
                self.set_up_one::<ORTHOGRAPHIC>(i, corners, rays);
            }
        }
    }

    #[inline(always)]
    fn set_up_one<const ORTHOGRAPHIC: bool>(&mut self, i: usize, corners: &Corners, rays: &Rays) {
        let column = self.left[i] & -(GROUP as i32);
        let Target { x, y, .. } = self.target(i);
        let edges = Edges::new(x, y, column, self.top[i]);
        for e in 0..3 {
            self.value[e][i] = edges.value[e] as i32;
            self.step_x[e][i] = edges.step_x[e];
            self.step_y[e][i] = edges.step_y[e];
        }
        let [a, b, c] = corners.each_ref().map(|[x, y, z]| wider([x[i], y[i], z[i]]));
        let plane = rays.nearness_by::<ORTHOGRAPHIC>([a, b, c]);
        self.near[0][i] = near_at(plane, column, self.top[i]);
        self.near[1][i] = plane[0];
        self.near[2][i] = plane[1];
    }

    /// Triangle `i` ready to be drawn, if it is narrow and was set up.
    #[inline(always)]
    pub(crate) fn narrow(&self, i: usize) -> Option<Narrow> {
        if self.is_narrow[i] == 0 {
            return None;
        }
        let of = |all: &[Integers; 3]| [all[0][i], all[1][i], all[2][i]];
        Some(Narrow {
            groups: [self.left[i] as usize / GROUP, (self.right[i] as usize).div_ceil(GROUP)],
            rows: [self.top[i] as usize, self.bottom[i] as usize],
            value: of(&self.value),
            step_x: of(&self.step_x),
            step_y: of(&self.step_y),
            nearness: Nearness {
                start: self.near[0][i],
                step_x: self.near[1][i],
                step_y: self.near[2][i],
                low: self.low[i],
                high: self.high[i],
            },
        })
    }

    /// Triangle `i` on the grid.
    #[inline(always)]
    pub(crate) fn target(&self, i: usize) -> Target {
        let of = |all: &[Integers; 3]| [all[0][i], all[1][i], all[2][i]];
        let (low, high) = (self.low[i], self.high[i]);
        Target { x: of(&self.x), y: of(&self.y), low, high, area: self.area(i) }
    }

    #[inline(always)]
    fn area(&self, i: usize) -> Area {
        Area {
            left: self.left[i] as usize,
            right: self.right[i] as usize,
            top: self.top[i] as usize,
            bottom: self.bottom[i] as usize,
        }
    }

    /// Where the corners of triangle `i` landed.
    pub(crate) fn landed(&self, i: usize) -> [Landed; 3] {
        [0, 1, 2].map(|corner| Landed {
            x: self.x[corner][i],
            y: self.y[corner][i],
            z: self.depth[corner][i],
            nearness: self.nearness[corner][i],
        })
    }
}

/// The lower of two; of a NaN, the second.
#[inline(always)]
fn lower(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn higher(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}
