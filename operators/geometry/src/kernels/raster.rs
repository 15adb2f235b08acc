//! Raster: triangles onto a grid of samples, nearest first, each sample in exactly one of the
//! triangles that share an edge.

use bytemuck::{cast, cast_slice, cast_slice_mut};
use wide::{f32x4, i32x4};

use crate::kernels::lens::Landed;
use crate::kernels::rays::Affine;
use crate::kernels::simd::{Kernel, run_widest};

/// Bits of the fixed-point grid in a sample's width.
pub(crate) const SHIFT: i32 = 14;
/// Steps of the grid in a sample's width.
pub(crate) const STEPS: i32 = 1 << SHIFT;
/// From a sample's border to its centre.
pub(crate) const HALF: i32 = STEPS / 2;
/// Samples that are worked on together.
const GROUP: usize = 4;
/// Widest box, in groups, whose samples are all tested; in a wider one the ends of rows are solved for.
const MAX_GROUPS: usize = 6;
/// Most samples in a box for which one is tested after the other.
const MAX_TINY: usize = 9;
/// Longest side, in steps, of a triangle whose edge functions fit 32 bits.
const MAX_NARROW: i32 = 64 * STEPS;
/// Nearness where nothing is.
pub(crate) const NOTHING: f32 = f32::NEG_INFINITY;

/// The samples of a picture: how near the nearest triangle is in each, and which it is.
#[derive(Default)]
pub(crate) struct Raster {
    width: usize,
    height: usize,
    /// Groups in a row, the last of which may reach over the border.
    groups: usize,
    nearness: Vec<f32x4>,
    triangle: Vec<i32x4>,
    touched: Area,
}

/// Columns and rows of samples, the ends not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) left: usize,
    pub(crate) right: usize,
    pub(crate) top: usize,
    pub(crate) bottom: usize,
}

/// A triangle on the grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Of its corners, in steps from the left.
    pub(crate) x: [i32; 3],
    /// In steps from the top.
    pub(crate) y: [i32; 3],
    /// Nearness of its corners.
    pub(crate) near: [f32; 3],
    /// Nearness of the farthest corner: a sample at the rim of a steep triangle is not past it.
    pub(crate) low: f32,
    /// Nearness of the nearest corner.
    pub(crate) high: f32,
    /// Samples whose centres can be inside.
    pub(crate) area: Area,
}

/// How near the samples of a triangle are.
struct Nearness {
    affine: Affine,
    low: f32,
    high: f32,
}

/// Edge functions of a triangle at the sample in the first column of the first row: not negative
/// inside. Each is in units of the grid's step, rounded down, which changes no sign.
struct Edges {
    value: [i64; 3],
    step_x: [i64; 3],
    step_y: [i64; 3],
}

impl Raster {
    /// Makes it a picture with nothing in it.
    pub(crate) fn clear(&mut self, width: usize, height: usize) {
        (self.width, self.height, self.groups) = (width, height, width.div_ceil(GROUP));
        self.touched = Area { left: width, right: 0, top: height, bottom: 0 };
        self.nearness.clear();
        self.nearness.resize(self.groups * height, f32x4::splat(NOTHING));
        // What it names is looked at only where something is near.
        self.triangle.resize(self.groups * height, i32x4::ZERO);
    }

    /// Says that something may be drawn in `area`, which must be before it is.
    pub(crate) fn touch(&mut self, area: Area) {
        if area.left < area.right && area.top < area.bottom {
            self.touched.include(area);
        }
    }

    /// A box outside of which nothing was drawn.
    pub(crate) fn touched(&self) -> Area {
        self.touched
    }

    /// Nearness and triangle of each sample of a row. What stands past the width means nothing.
    pub(crate) fn row(&self, y: usize) -> (&[f32], &[u32]) {
        let groups = y * self.groups..(y + 1) * self.groups;
        (cast_slice(&self.nearness[groups.clone()]), cast_slice(&self.triangle[groups]))
    }

    /// Draws triangle `number`, whichever way it is turned; `nearness` is asked for only if its box
    /// holds the centre of a sample in which it may be nearest. Where two are equally near, the one
    /// that was drawn first stays.
    ///
    /// A sample is in the triangle when its centre is; a centre on an edge belongs to the triangle on
    /// the edge's right or lower side (top-left rule), so triangles that share the edge neither leave
    /// it out nor draw it twice. This is exact.
    #[inline(always)]
    pub(crate) fn draw(&mut self, number: u32, target: &Target, nearness: impl FnOnce() -> Affine) {
        let Area { left, right, top, bottom } = target.area;
        if left >= right || top >= bottom {
            return;
        }
        if (right - left) * (bottom - top) <= MAX_TINY {
            if !self.hides_samples(target) {
                self.draw_tiny(number, target);
            }
            return;
        }
        let (first, end) = (left / GROUP, right.div_ceil(GROUP));
        let doubled = target.doubled_area();
        if doubled == 0 || self.hides((first, end), (top, bottom), target.high) {
            return;
        }
        let is_narrow = end - first <= MAX_GROUPS
            && span(target.x) <= MAX_NARROW
            && span(target.y) <= MAX_NARROW;
        let column = if is_narrow { first * GROUP } else { left };
        let edges = Edges::new(target, doubled < 0, column, top);
        if is_narrow {
            let nearness = Nearness { affine: nearness(), low: target.low, high: target.high };
            self.draw_groups(number, (first, end), (top, bottom), &edges, &nearness);
        } else {
            let nearness = Nearness { affine: nearness(), low: target.low, high: target.high };
            run_widest(Spans { raster: self, number, area: target.area, edges, nearness });
        }
    }

    /// Whether every sample of the triangle's box is at least so near.
    #[inline(always)]
    fn hides_samples(&self, target: &Target) -> bool {
        let Area { left, right, top, bottom } = target.area;
        let nears: &[f32] = cast_slice(&self.nearness);
        let stride = self.groups * GROUP;
        (top..bottom).all(|row| {
            let row = &nears[row * stride + left..row * stride + right];
            row.iter().all(|near| *near >= target.high)
        })
    }

    /// Whether everything in these groups of these rows is at least so near.
    #[inline(always)]
    fn hides(
        &self,
        (first, end): (usize, usize),
        (top, bottom): (usize, usize),
        nearness: f32,
    ) -> bool {
        let nearness = f32x4::splat(nearness);
        for row in top..bottom {
            for group in &self.nearness[row * self.groups + first..row * self.groups + end] {
                if !group.simd_ge(nearness).all() {
                    return false;
                }
            }
        }
        true
    }

    /// Tests one sample after the other. Nearness is that of the corners, interpolated.
    #[inline(always)]
    fn draw_tiny(&mut self, number: u32, target: &Target) {
        let doubled = target.doubled_area();
        if doubled == 0 {
            return;
        }
        let Area { left, right, top, bottom } = target.area;
        let Target { x: [ax, bx, cx], y: [ay, by, cy], near: [near_a, near_b, near_c], .. } =
            *target;
        let (x, y) = (left as i32 * STEPS + HALF, top as i32 * STEPS + HALF);
        let is_turned = doubled < 0;
        let edge = |px: i32, py: i32, qx: i32, qy: i32| {
            let (px, py, qx, qy) = if is_turned { (qx, qy, px, py) } else { (px, py, qx, qy) };
            let (dx, dy) = (i64::from(qx - px), i64::from(qy - py));
            let owns_its_samples = (dy < 0) | ((dy == 0) & (dx > 0));
            let value = dx * i64::from(y - py) - dy * i64::from(x - px);
            (value, -dy << SHIFT, dx << SHIFT, i64::from(!owns_its_samples))
        };
        let (mut a, mut b) = (edge(bx, by, cx, cy), edge(cx, cy, ax, ay));
        let (_, _, _, bias_c) = edge(ax, ay, bx, by);
        let doubled = doubled.abs();
        let (nears, triangles): (&mut [f32], &mut [i32]) =
            (cast_slice_mut(&mut self.nearness), cast_slice_mut(&mut self.triangle));
        for row in top..bottom {
            let from = row * self.groups * GROUP;
            let (mut value_a, mut value_b) = (a.0, b.0);
            let samples = nears[from + left..from + right].iter_mut();
            for (near, triangle) in samples.zip(&mut triangles[from + left..from + right]) {
                let value_c = doubled - value_a - value_b;
                if (value_a - a.3) | (value_b - b.3) | (value_c - bias_c) >= 0 {
                    let sum = value_a as f64 * f64::from(near_a)
                        + value_b as f64 * f64::from(near_b)
                        + value_c as f64 * f64::from(near_c);
                    let here = (sum / doubled as f64) as f32;
                    if here > *near {
                        (*near, *triangle) = (here, number as i32);
                    }
                }
                (value_a, value_b) = (value_a + a.1, value_b + b.1);
            }
            (a.0, b.0) = (a.0 + a.2, b.0 + b.2);
        }
    }

    fn draw_groups(
        &mut self,
        number: u32,
        (first, end): (usize, usize),
        (top, bottom): (usize, usize),
        edges: &Edges,
        nearness: &Nearness,
    ) {
        let spread = |value: i64, step: i64| {
            let (value, step) = (value as i32, step as i32);
            i32x4::new([value, value + step, value + 2 * step, value + 3 * step])
        };
        let Edges { value, step_x, step_y } = edges;
        let mut rows =
            [spread(value[0], step_x[0]), spread(value[1], step_x[1]), spread(value[2], step_x[2])];
        let stride = |step: i64| i32x4::splat(step as i32 * GROUP as i32);
        let strides = [stride(step_x[0]), stride(step_x[1]), stride(step_x[2])];
        let step = |step: i64| i32x4::splat(step as i32);
        let steps = [step(step_y[0]), step(step_y[1]), step(step_y[2])];
        let (low, high) = (f32x4::splat(nearness.low), f32x4::splat(nearness.high));
        let [near_x, near_y, near_0] = nearness.affine;
        let start = near_x * ((first * GROUP) as f64 + 0.5) + near_0;
        let near_lanes = f32x4::new([0.0, 1.0, 2.0, 3.0]) * f32x4::splat(near_x as f32);
        let near_stride = f32x4::splat(near_x as f32 * GROUP as f32);
        let number = i32x4::splat(number as i32);
        for row in top..bottom {
            let range = row * self.groups + first..row * self.groups + end;
            let mut near = f32x4::splat((start + near_y * (row as f64 + 0.5)) as f32) + near_lanes;
            let [mut a, mut b, mut c] = rows;
            let groups = self.nearness[range.clone()].iter_mut().zip(&mut self.triangle[range]);
            for (nears, triangles) in groups {
                let outside: i32x4 = (a | b | c) >> 31;
                // Of a NaN the corner is left, on both sides.
                let here = near.fast_max(low).fast_min(high);
                let wins: i32x4 = !outside & cast::<f32x4, i32x4>(here.simd_gt(*nears));
                *nears = cast::<i32x4, f32x4>(wins).select(here, *nears);
                *triangles = wins.select(number, *triangles);
                (a, b, c) = (a + strides[0], b + strides[1], c + strides[2]);
                near += near_stride;
            }
            rows = [rows[0] + steps[0], rows[1] + steps[1], rows[2] + steps[2]];
        }
    }
}

/// Draws a triangle whose box is wide: of each row the ends are solved for.
struct Spans<'a> {
    raster: &'a mut Raster,
    number: u32,
    area: Area,
    /// At the first sample of the box.
    edges: Edges,
    nearness: Nearness,
}

impl Kernel for Spans<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { raster, number, area, mut edges, nearness } = self;
        let Area { left, right, top, bottom } = area;
        let [near_x, near_y, near_0] = nearness.affine;
        for row in top..bottom {
            let (first, end) = edges.span(right - left);
            if first < end {
                let from = row * raster.groups * GROUP + left;
                let range = from + first..from + end;
                let x = (left + first) as f64 + 0.5;
                let near = (near_x * x + near_y * (row as f64 + 0.5) + near_0) as f32;
                fill(
                    &mut cast_slice_mut(&mut raster.nearness)[range.clone()],
                    &mut cast_slice_mut(&mut raster.triangle)[range],
                    number,
                    near,
                    &nearness,
                );
            }
            (0..3).for_each(|e| edges.value[e] += edges.step_y[e]);
        }
    }
}

/// One row of a triangle whose nearness begins with `near`.
#[inline(always)]
fn fill(nears: &mut [f32], triangles: &mut [u32], number: u32, near: f32, nearness: &Nearness) {
    let step = nearness.affine[0] as f32;
    for (i, (old, triangle)) in nears.iter_mut().zip(triangles).enumerate() {
        let here = nearness.bound(near + step * (i as i32 as f32));
        let wins = here > *old;
        *old = if wins { here } else { *old };
        *triangle = if wins { number } else { *triangle };
    }
}

impl Nearness {
    /// `near`, not past the corners; a NaN too becomes one of them.
    #[inline(always)]
    fn bound(&self, near: f32) -> f32 {
        let near = if near > self.low { near } else { self.low };
        if near < self.high { near } else { self.high }
    }
}

impl Area {
    fn include(&mut self, other: Self) {
        self.left = self.left.min(other.left);
        self.right = self.right.max(other.right);
        self.top = self.top.min(other.top);
        self.bottom = self.bottom.max(other.bottom);
    }
}

impl Edges {
    /// At the sample in `column` and `row`, of a triangle whose corners run clockwise as one sees
    /// them, or after two of them are swapped if it `is_turned`.
    #[inline(always)]
    fn new(target: &Target, is_turned: bool, column: usize, row: usize) -> Self {
        let at = |index: usize| index as i32 * STEPS + HALF;
        let (x, y) = (at(column), at(row));
        let Target { x: [ax, bx, cx], y: [ay, by, cy], .. } = *target;
        let (bx, cx) = if is_turned { (cx, bx) } else { (bx, cx) };
        let (by, cy) = if is_turned { (cy, by) } else { (by, cy) };
        let edge = |ax: i32, ay: i32, bx: i32, by: i32| {
            let (dx, dy) = (i64::from(bx - ax), i64::from(by - ay));
            let owns_its_samples = (dy < 0) | ((dy == 0) & (dx > 0));
            let value = dx * i64::from(y - ay) - dy * i64::from(x - ax);
            ((value - i64::from(!owns_its_samples)) >> SHIFT, -dy, dx)
        };
        let (a, b, c) = (edge(bx, by, cx, cy), edge(cx, cy, ax, ay), edge(ax, ay, bx, by));
        Self { value: [a.0, b.0, c.0], step_x: [a.1, b.1, c.1], step_y: [a.2, b.2, c.2] }
    }

    /// First and end of the samples inside, of `count` beginning where the values are for.
    #[inline(always)]
    fn span(&self, count: usize) -> (usize, usize) {
        let (mut first, mut end) = (0, count as u64);
        for (value, step) in self.value.into_iter().zip(self.step_x) {
            if value < 0 {
                if step <= 0 {
                    return (0, 0);
                }
                first = first.max(value.unsigned_abs().div_ceil(step as u64));
            } else if step < 0 {
                end = end.min(value as u64 / step.unsigned_abs() + 1);
            }
        }
        (first as usize, end as usize)
    }
}

impl Target {
    /// The triangle with these corners, in a picture of `size` samples.
    pub(crate) fn new(corners: [Landed; 3], size: [u32; 2]) -> Self {
        let (x, y) = (corners.map(|p| p.x), corners.map(|p| p.y));
        let cell = |value: i32, axis: usize| {
            ((value + HALF - 1) >> SHIFT).clamp(0, size[axis] as i32) as usize
        };
        let nears = corners.map(|p| p.nearness);
        let low = |values: [i32; 3]| values[0].min(values[1]).min(values[2]);
        let high = |values: [i32; 3]| values[0].max(values[1]).max(values[2]);
        let area = Area {
            left: cell(low(x), 0),
            right: cell(high(x), 0),
            top: cell(low(y), 1),
            bottom: cell(high(y), 1),
        };
        let low = nears[0].min(nears[1]).min(nears[2]);
        Self { x, y, near: nears, low, high: nears[0].max(nears[1]).max(nears[2]), area }
    }

    /// Twice the area, in steps squared; below 0 when the corners run counter-clockwise as one sees
    /// them.
    #[inline(always)]
    pub(crate) fn doubled_area(&self) -> i64 {
        let Self { x: [ax, bx, cx], y: [ay, by, cy], .. } = *self;
        let product = |x: i32, y: i32| i64::from(x) * i64::from(y);
        product(bx - ax, cy - ay) - product(by - ay, cx - ax)
    }
}

#[inline(always)]
fn span(values: [i32; 3]) -> i32 {
    let low = values[0].min(values[1]).min(values[2]);
    values[0].max(values[1]).max(values[2]) - low
}
