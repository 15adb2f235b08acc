//! Chairs: seat, base, back and arms, each in several makes.

use std::f64::consts::TAU;

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, bevelled, block, cuboid};
use super::lathe::{cylinder, ellipsoid, lathe};
use super::legs::{Footprint, add_four_legs};
use super::part::{Axis, Part};
use super::tube::{rod, tube, wheel};

struct Seat {
    half_width: f64,
    half_depth: f64,
    top: f64,
    thickness: f64,
    is_round: bool,
}

/// A stool, chair, armchair or office chair.
pub(crate) fn chair(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    let seat = draw_seat(random);
    add_seat(&mut out, &seat);
    add_base(&mut out, &seat, random);
    let back_height = random.range(0.2, 1.1);
    if random.chance(0.88) {
        add_back(&mut out, &seat, back_height, random);
    }
    match random.below(5) {
        0 => add_open_arms(&mut out, &seat, random),
        1 => add_panel_arms(&mut out, &seat, random),
        _ => {}
    }
    out
}

fn draw_seat(random: &mut Random) -> Seat {
    let half_width = random.range(0.16, 0.42);
    Seat {
        half_width,
        half_depth: half_width * random.range(0.6, 1.5),
        top: random.range(0.28, 0.85),
        thickness: random.range(0.03, 0.2),
        is_round: random.chance(0.2),
    }
}

fn add_seat(out: &mut Assembly, seat: &Seat) {
    let Seat { half_width: x, half_depth: z, top, thickness, is_round } = *seat;
    out.add(if is_round {
        cylinder(1.0, [top - thickness, top], 20).stretched([x, 1.0, z])
    } else {
        bevelled([-x, top - thickness, -z], [x, top, z], 0.03)
    });
}

fn add_base(out: &mut Assembly, seat: &Seat, random: &mut Random) {
    let inset = if seat.is_round { 0.6 } else { random.range(0.75, 0.95) };
    let (x, z) = (inset * seat.half_width, inset * seat.half_depth);
    let top = seat.top - 0.5 * seat.thickness;
    let thickness = random.range(0.025, 0.09);
    let feet = Footprint { half_width: x, half_depth: z, top, thickness };
    match random.below(8) {
        0..=2 => add_four_legs(out, &feet, random),
        3 => add_star_base(out, seat, random),
        4 => add_foot(out, seat, random),
        5 => add_sled(out, &feet),
        6 => add_side_panels(out, &feet, random),
        _ => add_cantilever(out, &feet),
    }
}

/// An office chair's column on three to six spokes with castors.
fn add_star_base(out: &mut Assembly, seat: &Seat, random: &mut Random) {
    let (spokes, reach) = (3 + random.below(4), random.range(0.7, 1.3) * seat.half_width);
    let column = random.range(0.025, 0.06);
    out.add(rod([0.0, 0.06, 0.0], [0.0, seat.top - 0.5 * seat.thickness, 0.0], [column; 2], 12));
    for spoke in 0..spokes {
        let (sin, cos) = (TAU * spoke as f64 / spokes as f64).sin_cos();
        let foot = [reach * sin, 0.07, reach * cos];
        out.add(beam([0.0, 0.1, 0.0], foot, 0.05, 0.04));
        out.add(ellipsoid([foot[0], 0.04, foot[2]], [0.04; 3], 8));
    }
}

fn add_foot(out: &mut Assembly, seat: &Seat, random: &mut Random) {
    let (disc, stem) = (random.range(0.55, 1.1) * seat.half_width, random.range(0.03, 0.09));
    let top = seat.top - 0.5 * seat.thickness;
    let profile = [(disc, 0.0), (disc, 0.02), (stem, 0.09), (stem, 0.6 * top), (2.0 * stem, top)];
    out.add(lathe(&profile, 16));
}

fn add_sled(out: &mut Assembly, feet: &Footprint) {
    let Footprint { half_width: x, half_depth: z, top, thickness } = *feet;
    let half = 0.5 * thickness;
    out.add_pair(beam([x, half, -z - half], [x, half, z + half], thickness, thickness));
    for end in [-z, z] {
        out.add_pair(beam([x, 0.2 * half, end], [x, top, end], 0.9 * thickness, 0.9 * thickness));
    }
}

fn add_side_panels(out: &mut Assembly, feet: &Footprint, random: &mut Random) {
    let Footprint { half_width: x, half_depth: z, top, thickness } = *feet;
    out.add_pair(cuboid([x - thickness, 0.0, -z], [x, top, z]));
    let rail = random.range(0.1, 0.6) * top;
    out.add(cuboid(
        [0.1 * thickness - x, rail, -0.5 * z],
        [x - 0.1 * thickness, rail + 0.06, -0.4 * z],
    ));
}

/// Two bent tubes that leave the back free.
fn add_cantilever(out: &mut Assembly, feet: &Footprint) {
    let Footprint { half_width: x, half_depth: z, top, thickness } = *feet;
    let radius = 0.4 * thickness;
    let bend = 0.15 * top;
    let path = [
        [x, radius, -z],
        [x, radius, z - bend],
        [x, radius + 0.3 * bend, z - 0.3 * bend],
        [x, radius + bend, z],
        [x, top, z],
    ];
    out.add_pair(tube(&path.map(|point| (point, radius)), 8));
    out.add(rod([-x, radius, -z], [x, radius, -z], [0.9 * radius; 2], 8));
}

/// A back, made upright and then leaned.
fn add_back(out: &mut Assembly, seat: &Seat, height: f64, random: &mut Random) {
    let lean = random.range(0.0, 22.0);
    let x = seat.half_width * random.range(0.7, 1.05);
    let thickness = random.range(0.025, 0.14);
    let parts = match random.below(6) {
        0 => vec![bevelled([-x, -0.1, 0.0], [x, height, thickness], 0.03)],
        1 => slatted_back(x, height, random),
        2 => ladder_back(x, height, random),
        3 => vec![oval_panel(x, height, thickness)],
        4 => framed_panel(x, height, thickness),
        _ => tub_back(x, seat.half_depth, height, thickness),
    };
    for part in parts {
        out.add(part.turned(Axis::X, -lean).moved([0.0, seat.top, -seat.half_depth]));
    }
}

fn posts(x: f64, height: f64) -> Vec<Part> {
    [-x, x].map(|x| beam([x, -0.1, 0.025], [x, height, 0.025], 0.05, 0.05)).to_vec()
}

fn slatted_back(x: f64, height: f64, random: &mut Random) -> Vec<Part> {
    let mut parts = posts(x, height);
    let count = 2 + random.below(6);
    let rail = random.range(0.05, 0.25) * height;
    parts.push(cuboid([-x, height - rail, 0.0], [x, 0.98 * height, 0.048]));
    for slat in 1..=count {
        let at = x * (2.0 * slat as f64 / (count + 1) as f64 - 1.0);
        parts.push(beam([at, -0.08, 0.025], [at, 0.97 * height, 0.025], 0.03, 0.03));
    }
    parts
}

fn ladder_back(x: f64, height: f64, random: &mut Random) -> Vec<Part> {
    let mut parts = posts(x, height);
    let count = 2 + random.below(4);
    let pitch = height / count as f64;
    let rail = pitch * random.range(0.25, 0.7);
    for rung in 1..=count {
        let high = 0.985 * pitch * rung as f64;
        parts.push(cuboid([-x, high - rail, 0.005], [x, high, 0.045]));
    }
    parts
}

fn oval_panel(x: f64, height: f64, thickness: f64) -> Part {
    let disc = rod([0.0; 3], [0.0, 0.0, thickness], [1.0; 2], 20);
    disc.stretched([x, 0.55 * height, 1.0]).moved([0.0, 0.45 * height, 0.0])
}

fn framed_panel(x: f64, height: f64, thickness: f64) -> Vec<Part> {
    let mut parts = posts(x, 0.9 * height);
    parts.push(bevelled([-x, 0.35 * height, 0.0], [x, height, thickness], 0.02));
    parts
}

/// Staves in a half circle round the seat.
fn tub_back(x: f64, half_depth: f64, height: f64, thickness: f64) -> Vec<Part> {
    let staves = 11;
    let width = 2.6 * x.max(half_depth) / staves as f64;
    let stave = |i: usize| {
        let angle = std::f64::consts::PI * i as f64 / (staves - 1) as f64;
        let high = height * (0.55 + 0.45 * angle.sin());
        block([0.0, 0.5 * high - 0.05, 0.0], [width, 0.5 * high + 0.05, 0.5 * thickness])
            .turned(Axis::Y, 90.0 - angle.to_degrees())
            .moved([x * angle.cos(), 0.0, half_depth * (1.0 - angle.sin())])
    };
    (0..staves).map(stave).collect()
}

fn add_open_arms(out: &mut Assembly, seat: &Seat, random: &mut Random) {
    let (x, z) = (seat.half_width, seat.half_depth);
    let (high, width) = (seat.top + random.range(0.12, 0.32), random.range(0.03, 0.1));
    let front = z * random.range(0.2, 0.9);
    out.add_pair(beam([x, high, -z - 0.05], [x, high, front], width, 0.04));
    out.add_pair(beam(
        [x, seat.top - 0.8 * seat.thickness, front - 0.05],
        [x, high, front - 0.05],
        0.035,
        0.035,
    ));
    if random.chance(0.5) {
        out.add_pair(wheel([x, high, front], 0.5 * width + 0.015, 0.9 * width, 10));
    }
}

fn add_panel_arms(out: &mut Assembly, seat: &Seat, random: &mut Random) {
    let (x, z) = (seat.half_width, seat.half_depth);
    let (high, width) = (seat.top + random.range(0.08, 0.35), random.range(0.05, 0.2));
    let low = seat.top - seat.thickness - random.range(0.0, 0.2).min(seat.top - seat.thickness);
    out.add_pair(bevelled(
        [x - 0.02, low, -z],
        [x + width, high, z * random.range(0.6, 1.0)],
        0.03,
    ));
}
