//! Cars: a body lofted along its length, a cabin, wheels and what makes each kind what it is.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, bevelled, cuboid, tapered};
use super::part::{End, Part};
use super::tube::{rod, wheel};

struct Chassis {
    half_width: f64,
    half_length: f64,
    /// Height of the underside.
    low: f64,
    /// Height of the bonnet.
    waist: f64,
    /// Height of the roof.
    roof: f64,
    wheel: f64,
}

/// A saloon, hatchback, van, pick-up, bus, lorry, sports car or cabriolet; the bonnet is at +Z.
pub(crate) fn car(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    match random.below(8) {
        0 | 1 => saloon(&mut out, random),
        2 => hatchback(&mut out, random),
        3 => van(&mut out, random),
        4 => pick_up(&mut out, random),
        5 => bus(&mut out, random),
        6 => lorry(&mut out, random),
        _ => sports_car(&mut out, random),
    }
    out
}

/// A chassis with the given ranges of length, waist above the underside, and roof above the waist.
fn draw_chassis(length: [f64; 2], waist: [f64; 2], roof: [f64; 2], random: &mut Random) -> Chassis {
    let low = random.range(0.15, 0.4);
    let waist = low + random.range(waist[0], waist[1]);
    Chassis {
        half_width: random.range(0.7, 1.1),
        half_length: 0.5 * random.range(length[0], length[1]),
        low,
        waist,
        roof: waist + random.range(roof[0], roof[1]),
        wheel: random.range(0.28, 0.45),
    }
}

/// A body of rectangular sections along z: (share of the half length, bottom, top, share of the
/// half width).
fn hull(chassis: &Chassis, sections: &[(f64, f64, f64, f64)]) -> Part {
    let ring = |(z, low, high, wide): &(f64, f64, f64, f64)| {
        let (x, z) = (wide * chassis.half_width, z * chassis.half_length);
        let (soft, rise) = (0.85 * x, 0.35 * (high - low));
        vec![
            [-soft, *low, z],
            [soft, *low, z],
            [x, low + rise, z],
            [x, high - 0.4 * rise, z],
            [soft, *high, z],
            [-soft, *high, z],
            [-x, high - 0.4 * rise, z],
            [-x, low + rise, z],
        ]
    };
    let rings: Vec<_> = sections.iter().map(ring).collect();
    Part::loft(&rings, End::Flat, End::Flat)
}

/// The lower body, from tail to nose, with the bonnet sinking to `nose` of the waist.
fn add_body(out: &mut Assembly, chassis: &Chassis, tail: f64, nose: f64) {
    let Chassis { low, waist, .. } = *chassis;
    let at = |share: f64| low + share * (waist - low);
    out.add(hull(
        chassis,
        &[
            (-1.0, low + 0.12, at(0.9 * tail), 0.86),
            (-0.92, low, at(tail), 0.97),
            (-0.4, low, waist, 1.0),
            (0.35, low, waist, 1.0),
            (0.88, low, at(0.5 + 0.5 * nose), 0.96),
            (1.0, low + 0.1, at(nose).max(low + 0.2), 0.82),
        ],
    ));
}

/// A cabin from `back` to `front` (shares of the half length), its roof shorter at both ends.
fn add_cabin(
    out: &mut Assembly,
    chassis: &Chassis,
    [back, front]: [f64; 2],
    [rear, wind]: [f64; 2],
) {
    let Chassis { half_width: x, half_length: z, waist, roof, .. } = *chassis;
    let (x, high) = (0.93 * x, 0.8 * x);
    let rise = roof - waist;
    out.add(tapered(
        ([-x, x], waist - 0.05, [back * z, front * z]),
        ([-high, high], roof, [back * z + rear * rise, front * z - wind * rise]),
    ));
}

/// Wheels at the given shares of the half length, front to back.
fn add_wheels(out: &mut Assembly, chassis: &Chassis, axles: &[f64], random: &mut Random) {
    let Chassis { half_width: x, half_length: z, low, wheel: radius, .. } = *chassis;
    let width = random.range(0.14, 0.3);
    for axle in axles {
        let center = [x - 0.4 * width, radius, axle * z];
        out.add_pair(wheel(center, radius, width, 16));
        out.add(rod([-center[0], radius, center[2]], center, [0.06; 2], 6));
        let (bottom, top) = (radius - 0.05, low.max(radius) + 0.25);
        out.add(cuboid([-0.3 * x, bottom, center[2] - 0.08], [0.3 * x, top, center[2] + 0.08]));
    }
}

fn saloon(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([3.6, 5.6], [0.4, 0.75], [0.35, 0.7], random);
    add_body(out, &chassis, random.range(0.75, 1.0), random.range(0.45, 0.9));
    let cabin = [random.range(-0.75, -0.45), random.range(0.2, 0.5)];
    add_cabin(out, &chassis, cabin, [random.range(0.4, 1.3), random.range(0.6, 1.4)]);
    add_wheels(out, &chassis, &[0.62, -0.62], random);
    add_extras(out, &chassis, random);
}

fn hatchback(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([2.5, 4.8], [0.5, 0.95], [0.45, 0.9], random);
    add_body(out, &chassis, 1.0, random.range(0.5, 1.0));
    let cabin = [random.range(-0.99, -0.9), random.range(0.2, 0.55)];
    add_cabin(out, &chassis, cabin, [random.range(0.05, 0.5), random.range(0.3, 0.9)]);
    add_wheels(out, &chassis, &[0.64, -0.64], random);
    add_extras(out, &chassis, random);
}

fn van(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([3.6, 6.5], [0.5, 0.9], [0.8, 1.6], random);
    add_body(out, &chassis, 1.0, random.range(0.6, 1.0));
    let cabin = [-0.98, random.range(0.55, 0.92)];
    add_cabin(out, &chassis, cabin, [random.range(0.0, 0.1), random.range(0.2, 0.7)]);
    add_wheels(out, &chassis, &[0.62, -0.6], random);
    add_extras(out, &chassis, random);
}

fn pick_up(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([4.2, 6.2], [0.45, 0.7], [0.45, 0.75], random);
    add_body(out, &chassis, 0.7, random.range(0.7, 1.0));
    let back = random.range(-0.25, 0.1);
    add_cabin(out, &chassis, [back, random.range(0.35, 0.55)], [0.1, random.range(0.4, 0.9)]);
    let Chassis { half_width: x, half_length: z, waist, low, .. } = chassis;
    let wall = waist + random.range(0.05, 0.25);
    out.add_pair(cuboid([0.88 * x, low + 0.2, -0.97 * z], [0.97 * x, wall, (back + 0.02) * z]));
    out.add(cuboid([-0.95 * x, low + 0.2, -0.98 * z], [0.95 * x, 0.99 * wall, -0.94 * z]));
    add_wheels(out, &chassis, &[0.62, -0.6], random);
}

fn bus(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([5.5, 11.0], [1.2, 1.6], [0.5, 2.2], random);
    let Chassis { half_width: x, half_length: z, low, roof, .. } = chassis;
    let nose = random.range(0.9, 1.0);
    out.add(hull(
        &chassis,
        &[
            (-1.0, low, roof, 0.98),
            (0.9 * nose, low, roof, 1.0),
            (1.0, low + 0.1, 0.9 * nose * roof, 0.9),
        ],
    ));
    out.add_pair(beam([x, roof * 0.7, 0.9 * z], [x + 0.2, roof * 0.6, 0.97 * z], 0.12, 0.12));
    if random.chance(0.5) {
        out.add(bevelled([-0.6 * x, roof - 0.05, -0.6 * z], [0.6 * x, roof + 0.25, 0.1 * z], 0.05));
    }
    let axles = if z > 4.0 { vec![0.65, -0.5, -0.72] } else { vec![0.65, -0.6] };
    add_wheels(out, &chassis, &axles, random);
}

/// A cab before a box, tank or flat bed.
fn lorry(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([4.5, 10.0], [0.5, 0.9], [1.0, 1.8], random);
    let Chassis { half_width: x, half_length: z, low, waist, roof, .. } = chassis;
    let cab = random.range(0.45, 0.7);
    out.add(cuboid([-0.6 * x, low + 0.15, -z], [0.6 * x, low + 0.45, 0.95 * z]));
    out.add(bevelled([-0.95 * x, low, cab * z], [0.95 * x, waist, z], 0.08));
    add_cabin(out, &chassis, [cab, random.range(0.85, 0.99)], [0.0, random.range(0.0, 0.25)]);
    let (deck, back) = (low + 0.4, (cab - random.range(0.02, 0.12)) * z);
    match random.below(3) {
        0 => out.add(cuboid([-x, deck, -z], [x, roof + random.range(-0.4, 0.7), back])),
        1 => {
            let radius = 0.9 * x;
            let y = deck + radius;
            out.add(rod([0.0, y, -0.98 * z], [0.0, y, back], [radius; 2], 20));
        }
        _ => {
            out.add(cuboid([-x, deck, -z], [x, deck + 0.15, back]));
            out.add(cuboid([-x, deck, back - 0.08], [x, roof - 0.2, back]));
        }
    }
    let axles = if z > 3.0 { vec![0.75, -0.45, -0.72] } else { vec![0.7, -0.6] };
    add_wheels(out, &chassis, &axles, random);
}

/// Low and long, with or without a roof.
fn sports_car(out: &mut Assembly, random: &mut Random) {
    let chassis = draw_chassis([3.4, 4.8], [0.3, 0.55], [0.25, 0.45], random);
    let Chassis { half_width: x, half_length: z, waist, roof, .. } = chassis;
    add_body(out, &chassis, random.range(0.85, 1.1), random.range(0.2, 0.6));
    let front = random.range(-0.05, 0.35);
    if random.chance(0.5) {
        add_cabin(out, &chassis, [random.range(-0.9, -0.55), front], [random.range(0.8, 2.2), 1.4]);
    } else {
        out.add(beam(
            [0.0, waist - 0.05, front * z],
            [0.0, roof, (front - 0.15) * z],
            1.5 * x,
            0.05,
        ));
        for seat in [-0.4, 0.4] {
            let low = [(seat - 0.25) * x, waist - 0.1, -0.3 * z];
            out.add(bevelled(low, [(seat + 0.25) * x, waist + 0.35, -0.22 * z], 0.03));
        }
    }
    if random.chance(0.5) {
        let high = waist + random.range(0.1, 0.4);
        out.add(bevelled([-0.95 * x, high, -z], [0.95 * x, high + 0.05, -0.85 * z], 0.01));
        out.add_pair(cuboid([0.6 * x, waist - 0.2, -0.95 * z], [0.66 * x, high + 0.02, -0.88 * z]));
    }
    add_wheels(out, &chassis, &[0.62, -0.62], random);
}

/// Mirrors always, a roof rack or a spare wheel sometimes.
fn add_extras(out: &mut Assembly, chassis: &Chassis, random: &mut Random) {
    let Chassis { half_width: x, half_length: z, waist, roof, wheel: radius, .. } = *chassis;
    out.add_pair(bevelled(
        [0.85 * x, waist - 0.03, 0.2 * z],
        [x + 0.2, waist + 0.12, 0.2 * z + 0.1],
        0.02,
    ));
    match random.below(4) {
        0 => {
            out.add_pair(beam(
                [0.6 * x, roof + 0.06, -0.3 * z],
                [0.6 * x, roof + 0.06, 0.1 * z],
                0.06,
                0.14,
            ));
            out.add(bevelled(
                [-0.7 * x, roof + 0.05, -0.3 * z],
                [0.7 * x, roof + 0.35, 0.05 * z],
                0.08,
            ));
        }
        1 => out.add(rod([0.0, waist, -z - 0.15], [0.0, waist, 0.1 - z], [0.9 * radius; 2], 14)),
        _ => {}
    }
}
