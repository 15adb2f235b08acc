//! Raster: triangles onto a grid of samples, nearest first, each sample in exactly one of the
//! triangles that share an edge.

use bytemuck::{cast, cast_slice, cast_slice_mut};
use wide::{f32x4, i32x4};

use crate::kernels::lens::Landed;
use crate::kernels::rays::Affine;
use crate::kernels::simd::{Kernel, PAIR, Pair, run_widest};

/// Bits of the fixed-point grid in a sample's width.
pub(crate) const SHIFT: i32 = 14;
/// Steps of the grid in a sample's width.
pub(crate) const STEPS: i32 = 1 << SHIFT;
/// From a sample's border to its centre.
pub(crate) const HALF: i32 = STEPS / 2;
/// Samples between two at which a triangle may begin; those of two groups are worked on together.
pub(crate) const GROUP: usize = PAIR / 2;
/// Samples along a side of a tile.
const TILE: usize = 8;
/// Longest side, in steps, of a triangle whose edge functions fit 32 bits.
const MAX_NARROW: i32 = 128 * STEPS;
/// Nearness where nothing is.
pub(crate) const NOTHING: f32 = f32::NEG_INFINITY;

/// The samples of a picture: how near the nearest triangle is in each, and which it is.
#[derive(Default)]
pub(crate) struct Raster {
    width: usize,
    height: usize,
    /// Samples from a row to the next: the groups of a row, the last of which may reach over the border,
    /// and one more, so that a pair may begin at each.
    stride: usize,
    nearness: Vec<f32>,
    triangle: Vec<i32>,
    touched: Area,
    /// Tiles in a row.
    tiles: usize,
    /// For each tile a nearness that all of its samples have reached.
    reached: Vec<f32>,
    /// What has been drawn in since `reached` was brought up to date, and how many samples that may be.
    stale: Area,
    stale_samples: usize,
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
    /// Nearness of the farthest corner: a sample at the rim of a steep triangle is not past it.
    pub(crate) low: f32,
    /// Nearness of the nearest corner.
    pub(crate) high: f32,
    /// Samples whose centres can be inside.
    pub(crate) area: Area,
}

/// A triangle in a box that is not wide, ready to be drawn: all that is left is to add.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Narrow {
    /// First and end of its groups of samples.
    pub(crate) groups: [usize; 2],
    /// First and end of its rows.
    pub(crate) rows: [usize; 2],
    /// Edge functions at the first sample of the first row.
    pub(crate) value: [i32; 3],
    pub(crate) step_x: [i32; 3],
    pub(crate) step_y: [i32; 3],
    pub(crate) nearness: Nearness,
}

/// How near the samples of a triangle are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Nearness {
    /// At the first sample of the first row.
    pub(crate) start: f64,
    /// From a sample to the next.
    pub(crate) step_x: f64,
    /// From a row to the next.
    pub(crate) step_y: f64,
    pub(crate) low: f32,
    pub(crate) high: f32,
}

/// Edge functions of a triangle at the sample in the first column of the first row: not negative
/// inside. Each is in units of the grid's step, rounded down, which changes no sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Edges {
    pub(crate) value: [i64; 3],
    pub(crate) step_x: [i32; 3],
    pub(crate) step_y: [i32; 3],
}

impl Raster {
    /// Makes it a picture with nothing in it.
    pub(crate) fn clear(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.stride = (width.div_ceil(GROUP) + 1) * GROUP;
        self.tiles = width.div_ceil(TILE);
        self.touched = Area::nothing(width, height);
        self.nearness.clear();
        // A row more, since two are drawn at once.
        self.nearness.resize(self.stride * (height + 1), NOTHING);
        // What it names is looked at only where something is near.
        self.triangle.resize(self.stride * (height + 1), 0);
        for row in self.nearness.chunks_mut(self.stride) {
            // Nothing is nearer than what stands past the width.
            row[width..].fill(f32::INFINITY);
        }
        self.reached.clear();
        self.reached.resize(self.tiles * height.div_ceil(TILE), NOTHING);
        (self.stale, self.stale_samples) = (Area::nothing(width, height), 0);
    }

    /// Says that something may be drawn in `area`, which must be before it is.
    pub(crate) fn touch(&mut self, area: Area) {
        if !area.is_empty() {
            self.touched.include(area);
        }
    }

    /// An area with nothing in it.
    pub(crate) fn nothing(&self) -> Area {
        Area::nothing(self.width, self.height)
    }

    /// A box outside of which nothing was drawn.
    pub(crate) fn touched(&self) -> Area {
        self.touched
    }

    /// Nearness and triangle of each sample of a row. What stands past the width means nothing.
    pub(crate) fn row(&self, y: usize) -> (&[f32], &[u32]) {
        let samples = y * self.stride..(y + 1) * self.stride;
        (&self.nearness[samples.clone()], cast_slice(&self.triangle[samples]))
    }

    /// Whether something nearer than `nearness` is known to stand before all samples of `area`, which
    /// is not empty.
    #[inline(always)]
    pub(crate) fn hides(&self, area: &Area, nearness: f32) -> bool {
        let (left, right) = (area.left / TILE, (area.right - 1) / TILE);
        let (top, bottom) = (area.top / TILE, (area.bottom - 1) / TILE);
        if (right - left).max(bottom - top) > 1 {
            return (top..=bottom).all(|row| {
                let tiles = &self.reached[row * self.tiles..][left..=right];
                tiles.iter().all(|reached| *reached > nearness)
            });
        }
        let at = |row: usize, column: usize| self.reached[row * self.tiles + column] > nearness;
        at(top, left) & at(top, right) & at(bottom, left) & at(bottom, right)
    }

    /// Brings what [`Self::hides`] knows up to date after up to `samples` were drawn in `area`, or puts
    /// it off until that is worth its cost.
    #[inline(always)]
    pub(crate) fn settle(&mut self, area: Area, samples: usize) {
        /// Samples that are looked at in the time in which one is drawn.
        const WORTH: usize = 4;
        if area.is_empty() || samples == 0 {
            return;
        }
        if samples * WORTH >= area.samples() {
            self.look_at(area);
            return;
        }
        self.stale.include(area);
        self.stale_samples += samples;
        if self.stale_samples * WORTH >= self.stale.samples() {
            self.look_at(self.stale);
            (self.stale, self.stale_samples) = (Area::nothing(self.width, self.height), 0);
        }
    }

    #[inline(always)]
    fn look_at(&mut self, area: Area) {
        for row in area.top / TILE..area.bottom.div_ceil(TILE) {
            let lines = row * TILE..self.height.min((row + 1) * TILE);
            for column in area.left / TILE..area.right.div_ceil(TILE) {
                let mut least = [f32::INFINITY; TILE];
                for line in lines.clone() {
                    let nears = &self.nearness[line * self.stride + column * TILE..][..TILE];
                    for (least, near) in least.iter_mut().zip(nears) {
                        *least = if *near < *least { *near } else { *least };
                    }
                }
                let least = least.into_iter().fold(f32::INFINITY, f32::min);
                self.reached[row * self.tiles + column] = least;
            }
        }
    }

    /// Draws triangle `number`, whichever way it is turned; `nearness` is asked for only if its box
    /// holds the centre of a sample in which it may be nearest. Where two are equally near, that with
    /// the smaller number stays, so the order in which they are drawn does not matter.
    ///
    /// A sample is in the triangle when its centre is; a centre on an edge belongs to the triangle on
    /// the edge's right or lower side (top-left rule), so triangles that share the edge neither leave
    /// it out nor draw it twice. This is exact.
    #[inline(always)]
    pub(crate) fn draw<P: Pair>(
        &mut self,
        number: u32,
        target: &Target,
        nearness: impl FnOnce() -> Affine,
    ) {
        if target.area.is_empty() || self.hides(&target.area, target.high) {
            return;
        }
        if target.is_narrow() {
            self.draw_narrow::<P>(number, &Narrow::new(target, nearness()));
        } else {
            let Area { left, top, .. } = target.area;
            let edges = Edges::new(target.x, target.y, left as i32, top as i32);
            let nearness = Nearness::new(target, nearness(), left);
            run_widest(Wide { raster: self, number, area: target.area, edges, nearness });
        }
    }

    /// Draws a triangle as [`Self::draw`] does, but does not ask first whether it is hidden.
    #[inline(always)]
    pub(crate) fn draw_narrow<P: Pair>(&mut self, number: u32, narrow: &Narrow) {
        let brush = Brush::<P>::new(number, narrow);
        let ([first, _], [top, bottom]) = (narrow.groups, narrow.rows);
        if narrow.groups[1] - narrow.groups[0] == 1 {
            self.draw_column(&brush, narrow);
            return;
        }
        if !narrow.is_sparse() {
            self.draw_box(&brush, narrow);
            return;
        }
        let mut spans = Spans::new(narrow);
        for chunk in (top..bottom).step_by(GROUP) {
            let Some((spans, mut rows)) = spans.next(bottom - chunk) else { continue };
            while rows != 0 {
                let down = rows.trailing_zeros() as usize;
                rows &= rows - 1;
                let row = chunk + down;
                let past = (row - top) as i32;
                let near = narrow.nearness.start + narrow.nearness.step_y * f64::from(past);
                let (begin, last) = (spans[0][down], spans[1][down]);
                let value = |e: usize| {
                    let across = narrow.step_x[e].wrapping_mul(begin * GROUP as i32);
                    let down = narrow.step_y[e].wrapping_mul(past);
                    let value = narrow.value[e].wrapping_add(down).wrapping_add(across);
                    P::add_wholes(P::wholes(value), brush.steps[e])
                };
                let near = near + narrow.nearness.step_x * f64::from(begin * GROUP as i32);
                let from = row * self.stride + (first + begin as usize) * GROUP;
                let count = (last - begin) as usize / 2 + 1;
                self.draw_pairs(&brush, (from, count), [value(0), value(1), value(2)], near as f32);
            }
        }
    }

    /// Draws all groups of the box of a triangle.
    #[inline(always)]
    fn draw_box<P: Pair>(&mut self, brush: &Brush<P>, narrow: &Narrow) {
        let Narrow { groups: [first, end], rows: [top, bottom], value, step_y, .. } = *narrow;
        let count = (end - first).div_ceil(2);
        let start = |e: usize| P::add_wholes(P::wholes(value[e]), brush.steps[e]);
        let mut values = [start(0), start(1), start(2)];
        let down = step_y.map(P::wholes);
        let mut near = narrow.nearness.start;
        for row in top..bottom {
            let from = row * self.stride + first * GROUP;
            self.draw_pairs(brush, (from, count), values, near as f32);
            (0..3).for_each(|e| values[e] = P::add_wholes(values[e], down[e]));
            near += narrow.nearness.step_y;
        }
    }

    /// Draws a triangle in one column of groups, two rows at once. The row after an odd last one holds nothing
    /// of it: no centre there is above the lowest corner.
    #[inline(always)]
    fn draw_column<P: Pair>(&mut self, brush: &Brush<P>, narrow: &Narrow) {
        let Narrow { groups: [first, _], rows: [top, bottom], value, step_y, .. } = *narrow;
        let start =
            |e: usize| P::stacked(P::add_wholes(P::wholes(value[e]), brush.steps[e]), step_y[e]);
        let mut values = [start(0), start(1), start(2)];
        let down = step_y.map(|step| P::wholes(2 * step));
        let mut near = narrow.nearness.start;
        for row in (top..bottom).step_by(2) {
            let below = near + narrow.nearness.step_y;
            let nears = P::add_reals(P::halves(near as f32, below as f32), brush.near_steps);
            self.draw_rows(row * self.stride + first * GROUP, brush, values, nears);
            (0..3).for_each(|e| values[e] = P::add_wholes(values[e], down[e]));
            near = below + narrow.nearness.step_y;
        }
    }

    /// Draws the samples of a group from sample `from` on and of the one below it.
    #[inline(always)]
    fn draw_rows<P: Pair>(
        &mut self,
        from: usize,
        brush: &Brush<P>,
        [a, b, c]: [P::Wholes; 3],
        near: P::Reals,
    ) {
        let stride = self.stride;
        let Some(nears) = two_groups(&mut self.nearness[from..], stride) else { return };
        let Some(triangles) = two_groups(&mut self.triangle[from..], stride) else { return };
        let here = P::lower(P::higher(near, brush.low), brush.high);
        P::put_nearest_apart(nears, triangles, P::or(P::or(a, b), c), here, brush.number);
    }

    /// Draws `count` pairs of groups in a row from sample `from` on, at which the edge functions have
    /// these values and the first sample is `near`. A group past the triangle's holds nothing of it.
    #[inline(always)]
    fn draw_pairs<P: Pair>(
        &mut self,
        brush: &Brush<P>,
        (from, count): (usize, usize),
        mut values: [P::Wholes; 3],
        near: f32,
    ) {
        // The sums of single precision are those of one group after the other.
        let mut near = P::add_reals(P::reals(near), brush.near_steps);
        near = P::add_reals(near, brush.near_shift);
        self.draw_pair(from, brush, values, near);
        for pair in 1..count {
            (0..3).for_each(|e| values[e] = P::add_wholes(values[e], brush.across[e]));
            near = P::add_reals(P::add_reals(near, brush.near_across), brush.near_across);
            self.draw_pair(from + pair * PAIR, brush, values, near);
        }
    }

    /// Draws the samples of a pair of groups, at which the edge functions have these values.
    #[inline(always)]
    fn draw_pair<P: Pair>(
        &mut self,
        from: usize,
        brush: &Brush<P>,
        [a, b, c]: [P::Wholes; 3],
        near: P::Reals,
    ) {
        let nears = self.nearness[from..].first_chunk_mut::<PAIR>();
        let triangles = self.triangle[from..].first_chunk_mut::<PAIR>();
        let (Some(nears), Some(triangles)) = (nears, triangles) else { return };
        // Of a NaN the corner is left, on both sides.
        let here = P::lower(P::higher(near, brush.low), brush.high);
        P::put_nearest(nears, triangles, P::or(P::or(a, b), c), here, brush.number);
    }
}

/// The first group of `samples` and that `stride` after it.
#[inline(always)]
fn two_groups<T>(samples: &mut [T], stride: usize) -> Option<[&mut [T; GROUP]; 2]> {
    let (row, below) = samples.split_at_mut_checked(stride)?;
    Some([row.first_chunk_mut()?, below.first_chunk_mut()?])
}

/// What all pairs of a triangle are drawn with.
struct Brush<P: Pair> {
    /// From the first sample of a pair to each: of the edge functions.
    steps: [P::Wholes; 3],
    /// From the first sample of a group to each: of nearness.
    near_steps: P::Reals,
    /// From the first group of a pair to that of each sample.
    near_shift: P::Reals,
    /// From a pair to the next: of the edge functions.
    across: [P::Wholes; 3],
    /// From a group to the next.
    near_across: P::Reals,
    low: P::Reals,
    high: P::Reals,
    number: P::Wholes,
}

impl<P: Pair> Brush<P> {
    #[inline(always)]
    fn new(number: u32, Narrow { step_x, nearness, .. }: &Narrow) -> Self {
        let near_step = nearness.step_x as f32;
        let near_across = near_step * GROUP as f32;
        Self {
            steps: step_x.map(P::steps),
            near_steps: P::times(P::all([0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0]), near_step),
            // Adding -0 changes no number, not even -0.
            near_shift: P::halves(-0.0, near_across),
            across: step_x.map(|step| P::wholes(step.wrapping_mul(PAIR as i32))),
            near_across: P::reals(near_across),
            low: P::reals(nearness.low),
            high: P::reals(nearness.high),
            number: P::wholes(number as i32),
        }
    }
}

/// Where a triangle begins and ends, four rows at a time.
struct Spans {
    /// Edge functions at the first sample of each row, and from four rows to the next four.
    values: [i32x4; 3],
    steps: [i32x4; 3],
    /// An edge function times the first number plus the second: where its edge is if it bounds the left
    /// of the triangle, and else something far left; and as much of the right.
    left: [[f32x4; 2]; 3],
    right: [[f32x4; 2]; 3],
    last: f32x4,
}

/// First and last group of each row.
type GroupSpans = [[i32; GROUP]; 2];

impl Spans {
    #[inline(always)]
    fn new(narrow: &Narrow) -> Self {
        const FAR: f32 = 1e6;
        let Narrow { groups, value, step_x, step_y, .. } = narrow;
        let values = |e: usize| {
            let step = step_y[e];
            i32x4::splat(value[e]) + i32x4::new([0, step, 2 * step, 3 * step])
        };
        let side = |e: usize, bounds: bool, far: f32| {
            let [factor, offset] = if bounds { [-1.0 / step_x[e] as f32, 0.0] } else { [0.0, far] };
            [f32x4::splat(factor), f32x4::splat(offset)]
        };
        let left = |e: usize| side(e, step_x[e] > 0, -FAR);
        let right = |e: usize| side(e, step_x[e] < 0, FAR);
        Self {
            values: [values(0), values(1), values(2)],
            steps: step_y.map(|step| i32x4::splat(GROUP as i32 * step)),
            left: [left(0), left(1), left(2)],
            right: [right(0), right(1), right(2)],
            last: f32x4::splat(((groups[1] - groups[0]) * GROUP - 1) as f32),
        }
    }

    /// The groups of the next four rows in which the triangle may cover a sample, and one bit for each of
    /// the first `rows` of them in which there are any. Nothing if there are none.
    #[inline(always)]
    fn next(&mut self, rows: usize) -> Option<(GroupSpans, u32)> {
        /// More than what rounding may take away from an end, in samples.
        const SLACK: f32 = 1.0 / 256.0;
        let values = self.values.map(f32x4::from_i32x4);
        let end = |e: usize, side: &[[f32x4; 2]; 3]| values[e] * side[e][0] + side[e][1];
        let left = end(0, &self.left).fast_max(end(1, &self.left)).fast_max(end(2, &self.left));
        let right = end(0, &self.right).fast_min(end(1, &self.right)).fast_min(end(2, &self.right));
        let left = (left - f32x4::splat(SLACK)).fast_max(f32x4::ZERO);
        let right = (right + f32x4::splat(SLACK)).fast_min(self.last).fast_max(-f32x4::ONE);
        (0..3).for_each(|e| self.values[e] += self.steps[e]);
        // The first sample at or past the left end, the last at or before the right.
        let first = left.fast_trunc_int();
        let past: i32x4 = cast(f32x4::from_i32x4(first).simd_lt(left));
        let first = first - past;
        let last = (right + f32x4::ONE).fast_trunc_int() - i32x4::ONE;
        let some = !first.simd_gt(last).to_bitmask() & ((1 << rows.min(GROUP)) - 1);
        let shift = GROUP.ilog2() as i32;
        (some != 0).then(|| ([(first >> shift).to_array(), (last >> shift).to_array()], some))
    }
}

/// Draws a triangle whose box is wide: of each row the ends are solved for, exactly.
struct Wide<'a> {
    raster: &'a mut Raster,
    number: u32,
    area: Area,
    /// At the first sample of the box.
    edges: Edges,
    nearness: Nearness,
}

impl Kernel for Wide<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { raster, number, area, mut edges, nearness } = self;
        let Area { left, right, top, bottom } = area;
        let mut near_row = nearness.start;
        for row in top..bottom {
            let (first, end) = edges.span(right - left);
            if first < end {
                let from = row * raster.stride + left;
                let range = from + first..from + end;
                let near = (near_row + nearness.step_x * first as f64) as f32;
                let nears = &mut raster.nearness[range.clone()];
                let triangles = cast_slice_mut(&mut raster.triangle[range]);
                fill(nears, triangles, number, near, &nearness);
            }
            (0..3).for_each(|e| edges.value[e] += i64::from(edges.step_y[e]));
            near_row += nearness.step_y;
        }
    }
}

/// One row of a triangle whose nearness begins with `near`.
#[inline(always)]
fn fill(nears: &mut [f32], triangles: &mut [u32], number: u32, near: f32, nearness: &Nearness) {
    let step = nearness.step_x as f32;
    for (i, (old, triangle)) in nears.iter_mut().zip(triangles).enumerate() {
        let here = nearness.bound(near + step * (i as i32 as f32));
        let wins = (here > *old) | ((here == *old) & (number < *triangle));
        *old = if wins { here } else { *old };
        *triangle = if wins { number } else { *triangle };
    }
}

impl Nearness {
    /// At the sample in `column` of the first row of a triangle.
    #[inline(always)]
    fn new(target: &Target, [x, y, start]: Affine, column: usize) -> Self {
        Self {
            start: near_at([x, y, start], column as i32, target.area.top as i32),
            step_x: x,
            step_y: y,
            low: target.low,
            high: target.high,
        }
    }

    /// `near`, not past the corners; a NaN too becomes one of them.
    #[inline(always)]
    fn bound(&self, near: f32) -> f32 {
        let near = if near > self.low { near } else { self.low };
        if near < self.high { near } else { self.high }
    }
}

/// A nearness at the centre of a sample.
#[inline(always)]
pub(crate) fn near_at([x, y, start]: Affine, column: i32, row: i32) -> f64 {
    x * (f64::from(column) + 0.5) + start + y * (f64::from(row) + 0.5)
}

impl Narrow {
    /// Whether it pays to ask of each row where the triangle is.
    #[inline(always)]
    fn is_sparse(&self) -> bool {
        /// Groups side by side of which some are outside.
        const WIDE: usize = 6;
        /// Groups of which many may be outside.
        const MANY: usize = 8;
        let samples = (self.groups[1] - self.groups[0]) * (self.rows[1] - self.rows[0]);
        let product = |x: i32, y: i32| i64::from(x) * i64::from(y);
        let doubled =
            product(self.step_x[0], self.step_y[1]) - product(self.step_x[1], self.step_y[0]);
        // A sixth of the box, which has GROUP samples a group.
        let is_wide = self.groups[1] - self.groups[0] > WIDE;
        is_wide
            || samples >= MANY
                && (doubled.unsigned_abs() >> (2 * SHIFT)) * 3 < (samples * GROUP) as u64
    }

    #[inline(always)]
    fn new(target: &Target, nearness: Affine) -> Self {
        let Area { left, right, top, bottom } = target.area;
        let column = left / GROUP * GROUP;
        let Edges { value, step_x, step_y } =
            Edges::new(target.x, target.y, column as i32, top as i32);
        Self {
            groups: [left / GROUP, right.div_ceil(GROUP)],
            rows: [top, bottom],
            value: [value[0] as i32, value[1] as i32, value[2] as i32],
            step_x,
            step_y,
            nearness: Nearness::new(target, nearness, column),
        }
    }
}

impl Area {
    /// What holds nothing, whatever it is given to hold then.
    fn nothing(width: usize, height: usize) -> Self {
        Self { left: width, right: 0, top: height, bottom: 0 }
    }

    /// Whether no sample is in it.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.left >= self.right || self.top >= self.bottom
    }

    /// Number of samples, of an area that is not empty.
    #[inline(always)]
    pub(crate) fn samples(&self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }

    #[inline(always)]
    pub(crate) fn include(&mut self, other: Self) {
        self.left = self.left.min(other.left);
        self.right = self.right.max(other.right);
        self.top = self.top.min(other.top);
        self.bottom = self.bottom.max(other.bottom);
    }
}

impl Edges {
    /// At the sample in `column` and `row`, of a triangle with these corners, whichever way it is
    /// turned.
    #[inline(always)]
    pub(crate) fn new(x: [i32; 3], y: [i32; 3], column: i32, row: i32) -> Self {
        let at = |index: i32| index * STEPS + HALF;
        let is_turned = doubled_area(x, y) < 0;
        let (column, row) = (at(column), at(row));
        let ([ax, bx, cx], [ay, by, cy]) = (x, y);
        let (bx, cx) = if is_turned { (cx, bx) } else { (bx, cx) };
        let (by, cy) = if is_turned { (cy, by) } else { (by, cy) };
        let edge = |ax: i32, ay: i32, bx: i32, by: i32| {
            let (dx, dy) = (bx - ax, by - ay);
            let owns_its_samples = (dy < 0) | ((dy == 0) & (dx > 0));
            let value =
                i64::from(dx) * i64::from(row - ay) - i64::from(dy) * i64::from(column - ax);
            ((value - i64::from(!owns_its_samples)) >> SHIFT, -dy, dx)
        };
        let (a, b, c) = (edge(bx, by, cx, cy), edge(cx, cy, ax, ay), edge(ax, ay, bx, by));
        Self { value: [a.0, b.0, c.0], step_x: [a.1, b.1, c.1], step_y: [a.2, b.2, c.2] }
    }

    /// First and end of the samples inside, of `count` beginning where the values are for.
    #[inline(always)]
    fn span(&self, count: usize) -> (usize, usize) {
        let (mut first, mut end) = (0, count as u64);
        for (value, step) in self.value.into_iter().zip(self.step_x.map(i64::from)) {
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
        let nears = corners.map(|p| p.nearness);
        let cell = |value: i32, axis: usize| cell(value, size[axis] as i32) as usize;
        let area = Area {
            left: cell(least(x), 0),
            right: cell(most(x), 0),
            top: cell(least(y), 1),
            bottom: cell(most(y), 1),
        };
        let low = nears[0].min(nears[1]).min(nears[2]);
        Self { x, y, low, high: nears[0].max(nears[1]).max(nears[2]), area }
    }

    /// Whether its corners run counter-clockwise as one sees them.
    #[inline(always)]
    pub(crate) fn faces(&self) -> bool {
        doubled_area(self.x, self.y) < 0
    }

    #[inline(always)]
    fn is_narrow(&self) -> bool {
        is_narrow([most(self.x) - least(self.x), most(self.y) - least(self.y)])
    }
}

/// The first of `count` samples in a line whose centre does not lie before `value`, or `count`.
#[inline(always)]
pub(crate) fn cell(value: i32, count: i32) -> i32 {
    ((value + HALF - 1) >> SHIFT).max(0).min(count)
}

/// Whether edge functions of a triangle of these sides fit 32 bits, everywhere in its box.
#[inline(always)]
pub(crate) fn is_narrow(sides: [i32; 2]) -> bool {
    (sides[0] <= MAX_NARROW) & (sides[1] <= MAX_NARROW)
}

/// Twice the area, in steps squared; below 0 when the corners run counter-clockwise as one sees them.
#[inline(always)]
fn doubled_area([ax, bx, cx]: [i32; 3], [ay, by, cy]: [i32; 3]) -> i64 {
    let product = |x: i32, y: i32| i64::from(x) * i64::from(y);
    product(bx - ax, cy - ay) - product(by - ay, cx - ax)
}

#[inline(always)]
pub(crate) fn least([a, b, c]: [i32; 3]) -> i32 {
    a.min(b).min(c)
}

#[inline(always)]
pub(crate) fn most([a, b, c]: [i32; 3]) -> i32 {
    a.max(b).max(c)
}
