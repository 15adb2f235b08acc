//! Tables: a top of several outlines on legs, a foot, panels, trestles or drawers.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, bevelled, cuboid};
use super::lathe::{cylinder, lathe};
use super::legs::{CORNERS, Footprint, add_four_legs};
use super::tube::rod;

struct Top {
    half_width: f64,
    half_depth: f64,
    height: f64,
    thickness: f64,
    is_round: bool,
}

impl Top {
    /// Height to which supports reach into the top.
    fn support(&self) -> f64 {
        self.height - 0.5 * self.thickness
    }

    /// Half width and depth of the rectangle that supports stand in.
    fn inner(&self, share: f64) -> (f64, f64) {
        let share = if self.is_round { 0.66 * share } else { share };
        (share * self.half_width, share * self.half_depth)
    }
}

/// A coffee table, dining table, desk, console or bar table.
pub(crate) fn table(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    let top = draw_top(random);
    add_top(&mut out, &top, random);
    match random.below(8) {
        0..=2 => add_legs(&mut out, &top, random),
        3 => add_foot(&mut out, &top, random),
        4 => add_panels(&mut out, &top, random),
        5 => add_trestles(&mut out, &top, random),
        6 => add_tripod(&mut out, &top, random),
        _ => add_drawers(&mut out, &top, random),
    }
    out
}

fn draw_top(random: &mut Random) -> Top {
    let half_width = random.range(0.22, 1.2);
    let height = random.range(0.25, 1.15);
    Top {
        half_width,
        half_depth: half_width * random.range(0.35, 1.0),
        height,
        thickness: (half_width * random.range(0.05, 0.22)).min(0.3 * height),
        is_round: random.chance(0.35),
    }
}

fn add_top(out: &mut Assembly, top: &Top, random: &mut Random) {
    let Top { half_width: x, half_depth: z, height, thickness, is_round } = *top;
    let segments = if random.chance(0.2) { 8 } else { 28 };
    let bevel = random.range(0.005, 0.03);
    out.add(if is_round {
        cylinder(1.0, [height - thickness, height], segments).stretched([x, 1.0, z])
    } else {
        bevelled([-x, height - thickness, -z], [x, height, z], bevel)
    });
}

fn add_legs(out: &mut Assembly, top: &Top, random: &mut Random) {
    let (x, z) = top.inner(random.range(0.7, 0.92));
    let thickness = random.range(0.03, 0.14);
    let feet = Footprint { half_width: x, half_depth: z, top: top.support(), thickness };
    add_four_legs(out, &feet, random);
    if random.chance(0.5) {
        let apron = random.range(0.05, 0.15).min(0.4 * top.height);
        add_apron(out, &feet, top.height - top.thickness - apron);
    }
    if random.chance(0.3) {
        let shelf = random.range(0.15, 0.5) * top.height;
        out.add(cuboid([-x, shelf, -z], [x, shelf + 0.03, z]));
    }
}

fn add_apron(out: &mut Assembly, feet: &Footprint, low: f64) {
    let (x, z, high) = (feet.half_width, feet.half_depth, feet.top);
    for (end, half) in [(z, 0.012), (-z, 0.012)] {
        out.add(cuboid([-x, low, end - half], [x, high, end + half]));
    }
    out.add_pair(cuboid([x - 0.011, low, -z], [x + 0.011, 0.999 * high, z]));
}

fn add_foot(out: &mut Assembly, top: &Top, random: &mut Random) {
    let narrow = top.half_width.min(top.half_depth);
    let (disc, stem) = (random.range(0.4, 0.8) * narrow, random.range(0.08, 0.3) * narrow);
    let (high, bulge) = (top.support(), random.range(0.8, 1.8) * stem);
    let profile = [
        (disc, 0.0),
        (disc, 0.03 * high),
        (stem, 0.12 * high),
        (bulge, 0.4 * high),
        (stem, 0.75 * high),
        (1.3 * stem, high),
    ];
    out.add(lathe(&profile, 16));
}

fn add_panels(out: &mut Assembly, top: &Top, random: &mut Random) {
    let (x, z) = top.inner(random.range(0.7, 1.0));
    let thickness = random.range(0.02, 0.12).min(0.4 * x);
    out.add_pair(cuboid([x - thickness, 0.0, -z], [x, top.support(), z]));
    if random.chance(0.6) {
        let low = random.range(0.1, 0.7) * top.height;
        out.add(cuboid([-x + 0.01, low, -0.8 * z], [x - 0.01, 0.99 * top.support(), -0.7 * z]));
    }
}

/// Crossed or A-shaped trestles at both ends and a stretcher between them.
fn add_trestles(out: &mut Assembly, top: &Top, random: &mut Random) {
    let (x, z) = top.inner(random.range(0.65, 0.9));
    let thickness = random.range(0.035, 0.1);
    let crossing = if random.chance(0.5) { -1.0 } else { random.range(0.1, 0.6) };
    let high = top.support();
    for end in [-1.0, 1.0] {
        let (foot, head) = ([x, 0.0, end * z], [x, high, end * z * crossing]);
        out.add_pair(beam(foot, head, thickness, thickness));
    }
    let bar = if crossing < 0.0 { 0.5 } else { random.range(0.2, 0.6) } * high;
    out.add_pair(cuboid(
        [x - 0.4 * thickness, bar, -0.7 * z],
        [x + 0.4 * thickness, bar + 0.05, 0.7 * z],
    ));
    out.add(rod([-x, bar, 0.0], [x, bar, 0.0], [0.5 * thickness; 2], 8));
}

/// Three legs that splay from under the middle.
fn add_tripod(out: &mut Assembly, top: &Top, random: &mut Random) {
    let (x, z) = top.inner(random.range(0.7, 1.1));
    let (gather, radius) = (random.range(0.05, 0.7), random.range(0.015, 0.05));
    for leg in 0..3 {
        let (sin, cos) = (f64::from(leg) * std::f64::consts::TAU / 3.0).sin_cos();
        let foot = [x * sin, 0.0, z * cos];
        let head = [gather * x * sin, top.support(), gather * z * cos];
        out.add(rod(foot, head, [radius, 1.5 * radius], 10));
    }
    let hub = (gather * x.min(z)).max(2.0 * radius);
    out.add(cylinder(hub, [top.height - top.thickness - 0.03, top.support()], 14));
}

/// A desk: drawers under one or both sides, a leg or panel under the other.
fn add_drawers(out: &mut Assembly, top: &Top, random: &mut Random) {
    let (x, z) = top.inner(0.95);
    let (width, high) = (random.range(0.4, 0.9) * x, top.support());
    let low = if random.chance(0.5) { 0.0 } else { random.range(0.3, 0.6) * high };
    let is_double = random.chance(0.4) && width < 0.9 * x;
    let body = bevelled([x - width, low, -z], [x, high, z], 0.01);
    let count = 1 + random.below(3);
    for drawer in 0..count {
        let middle = low + (high - low) * (drawer as f64 + 0.5) / count as f64;
        let handle = cuboid(
            [x - 0.65 * width, middle - 0.015, z - 0.01],
            [x - 0.35 * width, middle + 0.015, z + 0.03],
        );
        if is_double { out.add_pair(handle) } else { out.add(handle) }
    }
    if is_double {
        out.add_pair(body);
    } else {
        out.add(body);
    }
    for (side, end) in
        CORNERS.into_iter().filter(|(side, _)| low > 0.0 || (!is_double && *side < 0.0))
    {
        let at = [side * (x - 0.03), 0.0, end * (z - 0.03)];
        out.add(beam(at, [at[0], 0.99 * high, at[2]], 0.05, 0.05));
    }
}
