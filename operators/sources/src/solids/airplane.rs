//! Airplanes: fuselage, wings, tail, engines, each in several arrangements.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, bevelled};
use super::lathe::{ellipsoid, lathe};
use super::part::{Axis, Part};
use super::tube::{rod, wheel};
use super::wing::{Cut, wing};

const UP: [f64; 3] = [0.0, 1.0, 0.0];
const SIDEWAYS: [f64; 3] = [1.0, 0.0, 0.0];
/// Upright on the right half of a V.
const DIAGONAL: [f64; 3] = [-std::f64::consts::FRAC_1_SQRT_2, std::f64::consts::FRAC_1_SQRT_2, 0.0];

struct Fuselage {
    /// Metres from nose to tail.
    length: f64,
    half_width: f64,
    half_height: f64,
}

/// One main wing, as the right half.
struct Plane {
    root: Cut,
    tip: Cut,
    thickness: f64,
}

/// An airliner, light aircraft, biplane, delta, glider or jet; the nose is at +Z.
pub(crate) fn airplane(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    let length = random.range(6.0, 40.0);
    let half_width = length * random.range(0.03, 0.1);
    let body = Fuselage { length, half_width, half_height: half_width * random.range(0.75, 1.5) };
    out.add(fuselage(&body, random));
    let is_delta = random.chance(0.2);
    let plane = if is_delta { draw_delta(&body, random) } else { draw_plane(&body, random) };
    out.add_pair(wing(plane.root, plane.tip, plane.thickness, UP));
    add_tail(&mut out, &body, is_delta, random);
    match random.below(6) {
        0 => add_propeller(&mut out, [0.0, 0.0, 0.5 * length], 0.5 * body.half_width, random),
        1 => add_rear_engines(&mut out, &body, random),
        2 | 3 if !is_delta => add_wing_engines(&mut out, &body, &plane, random),
        4 if !is_delta => add_second_wing(&mut out, &body, &plane, random),
        _ => {}
    }
    match random.below(4) {
        0 => add_wheels(&mut out, &body, random),
        1 => add_floats(&mut out, &body, random),
        _ => {}
    }
    out
}

fn fuselage(body: &Fuselage, random: &mut Random) -> Part {
    let (nose, tail) = (random.range(0.06, 0.3), random.range(0.2, 0.5));
    let half = 0.5 * body.length;
    let (front, rear) = (half - nose * body.length, tail * body.length - half);
    let boom = random.range(0.1, 0.5);
    let mut profile =
        vec![(0.0, -half), (boom, 0.98 * -half), (0.5 + 0.5 * boom, 0.5 * (rear - half))];
    profile.extend([(1.0, rear), (1.0, front)]);
    let bluntness = random.range(0.5, 0.9);
    profile.extend([(bluntness, front + 0.6 * (half - front)), (0.0, half)]);
    lathe(&profile, 16).turned(Axis::X, 90.0).stretched([body.half_width, body.half_height, 1.0])
}

fn draw_plane(body: &Fuselage, random: &mut Random) -> Plane {
    let half_span = 0.5 * body.length * random.range(0.55, 1.7);
    let chord = body.length * random.range(0.08, 0.26);
    let at = body.length * random.range(-0.02, 0.2);
    let height = body.half_height * [-0.7, 0.0, 0.85][random.below(3) as usize];
    let sweep = (random.range(-8.0, 42.0_f64)).to_radians().tan();
    let dihedral = (random.range(-4.0, 9.0_f64)).to_radians().tan();
    let tip = [half_span, height + dihedral * half_span, at - sweep * half_span];
    Plane {
        root: Cut { leading: [0.2 * body.half_width, height, at], chord },
        tip: Cut { leading: tip, chord: chord * random.range(0.2, 1.0) },
        thickness: random.range(0.1, 0.2),
    }
}

fn draw_delta(body: &Fuselage, random: &mut Random) -> Plane {
    let chord = body.length * random.range(0.4, 0.8);
    let at = chord - 0.46 * body.length;
    let half_span = body.length * random.range(0.22, 0.55);
    let height = -0.5 * body.half_height;
    let tip_chord = chord * random.range(0.08, 0.3);
    let tip = [half_span, height, at - chord + tip_chord];
    Plane {
        root: Cut { leading: [0.2 * body.half_width, height, at], chord },
        tip: Cut { leading: tip, chord: tip_chord },
        thickness: random.range(0.05, 0.1),
    }
}

/// A fin, two fins or a V; a tail plane low, on top of the fin, or as a canard.
fn add_tail(out: &mut Assembly, body: &Fuselage, is_delta: bool, random: &mut Random) {
    let Fuselage { length, half_width, half_height } = *body;
    let (height, chord) = (length * random.range(0.1, 0.24), length * random.range(0.08, 0.18));
    let at = chord - 0.49 * length;
    let back = at - random.range(0.1, 0.9) * height;
    let fin_tip = Cut { leading: [0.0, height, back], chord: chord * random.range(0.35, 0.9) };
    let style = random.below(4);
    match style {
        0 => {
            let x = half_width * random.range(0.5, 1.2);
            let root = Cut { leading: [x, 0.0, at], chord };
            out.add_pair(wing(
                root,
                Cut { leading: [1.5 * x, height, back], ..fin_tip },
                0.1,
                SIDEWAYS,
            ));
            out.add(beam(
                [-x, 0.0, at - 0.5 * chord],
                [x, 0.0, at - 0.5 * chord],
                0.3 * chord,
                0.5 * half_height,
            ));
        }
        1 => {
            let root = Cut { leading: [0.1 * half_width, 0.0, at], chord };
            let tip = Cut { leading: [0.9 * height, height, back], ..fin_tip };
            out.add_pair(wing(root, tip, 0.1, DIAGONAL));
            return;
        }
        _ => out.add(wing(Cut { leading: [0.0, 0.0, at], chord }, fin_tip, 0.12, SIDEWAYS)),
    }
    if is_delta && random.chance(0.6) {
        return;
    }
    let (y, z) = match style {
        2 => (0.93 * height, back + 0.05 * chord),
        _ if random.chance(0.15) => (0.2 * half_height, 0.4 * length),
        _ => (0.1 * half_height, at),
    };
    add_tail_plane(out, length, [y, z], 0.9 * chord, random);
}

fn add_tail_plane(
    out: &mut Assembly,
    length: f64,
    [y, z]: [f64; 2],
    chord: f64,
    random: &mut Random,
) {
    let half_span = length * random.range(0.1, 0.26);
    let root = Cut { leading: [0.0, y, z], chord };
    let tip =
        Cut { leading: [half_span, y, z - random.range(0.0, 0.6) * half_span], chord: 0.5 * chord };
    out.add_pair(wing(root, tip, 0.12, UP));
}

/// A spinner and two to four blades at the given point.
fn add_propeller(out: &mut Assembly, at: [f64; 3], hub: f64, random: &mut Random) {
    let (blades, reach) = (2 + random.below(3), hub * random.range(2.5, 5.0));
    out.add(ellipsoid(at, [hub, hub, 1.4 * hub], 10));
    for blade in 0..blades {
        let (sin, cos) = (std::f64::consts::TAU * blade as f64 / blades as f64).sin_cos();
        let tip = [at[0] + reach * sin, at[1] + reach * cos, at[2]];
        out.add(beam(at, tip, 0.45 * hub, 0.3 * hub));
    }
}

fn add_wing_engines(out: &mut Assembly, body: &Fuselage, plane: &Plane, random: &mut Random) {
    let count = 1 + random.below(2);
    let radius = body.half_width * random.range(0.3, 0.7);
    let is_propeller = random.chance(0.35);
    for engine in 0..count {
        let share = if count == 1 { random.range(0.25, 0.45) } else { 0.28 + 0.3 * engine as f64 };
        let on_wing = super::vector::between(plane.root.leading, plane.tip.leading, share);
        let chord = plane.root.chord * (1.0 - share) + plane.tip.chord * share;
        let drop = if is_propeller { 0.0 } else { 1.1 * radius };
        let (front, back) = (on_wing[2] + 0.35 * chord, on_wing[2] - 0.5 * chord);
        let at = |z| [on_wing[0], on_wing[1] - drop, z];
        out.add_pair(rod(at(back), at(front), [0.6 * radius, radius], 12));
        out.add_pair(beam(
            at(on_wing[2] - 0.3 * chord),
            on_wing_at(on_wing, chord),
            0.3 * radius,
            0.5 * chord,
        ));
        if is_propeller {
            let mut half = Assembly::default();
            add_propeller(&mut half, at(front), 0.5 * radius, random);
            half.into_parts().into_iter().for_each(|part| out.add_pair(part));
        }
    }
}

/// A point inside the wing, above where an engine hangs.
fn on_wing_at(leading: [f64; 3], chord: f64) -> [f64; 3] {
    [leading[0], leading[1] + 0.03 * chord, leading[2] - 0.35 * chord]
}

fn add_rear_engines(out: &mut Assembly, body: &Fuselage, random: &mut Random) {
    let radius = body.half_width * random.range(0.35, 0.65);
    let x = 0.8 * body.half_width + 1.3 * radius;
    let (back, front) = (-0.4 * body.length, random.range(-0.28, -0.18) * body.length);
    let y = 0.3 * body.half_height;
    out.add_pair(rod([x, y, back], [x, y, front], [0.7 * radius, radius], 12));
    out.add_pair(beam(
        [0.0, y, 0.5 * (back + front)],
        [x, y, 0.5 * (back + front)],
        0.4 * (front - back),
        0.4 * radius,
    ));
}

/// A second wing above the first, and struts between them.
fn add_second_wing(out: &mut Assembly, body: &Fuselage, plane: &Plane, random: &mut Random) {
    let gap = body.half_height * random.range(1.6, 3.0);
    let lifted =
        |cut: Cut| Cut { leading: super::vector::add(cut.leading, [0.0, gap, 0.0]), ..cut };
    let (mut root, tip) = (lifted(plane.root), lifted(plane.tip));
    root.leading[0] = -0.02 * body.half_width;
    out.add_pair(wing(root, tip, plane.thickness, UP));
    for share in [0.1, 0.7] {
        let low = super::vector::between(plane.root.leading, plane.tip.leading, share);
        let z = low[2] - 0.35 * (plane.root.chord * (1.0 - share) + plane.tip.chord * share);
        let width = 0.12 * body.half_width;
        out.add_pair(beam([low[0], low[1], z], [low[0], low[1] + gap, z], width, 3.0 * width));
    }
}

fn add_wheels(out: &mut Assembly, body: &Fuselage, random: &mut Random) {
    let radius = body.half_width * random.range(0.25, 0.5);
    let low = -body.half_height - radius * random.range(0.6, 2.5);
    let front = 0.33 * body.length;
    out.add(beam([0.0, low, front], [0.0, 0.0, front], 0.4 * radius, 0.4 * radius));
    out.add(wheel([0.0, low, front], 0.8 * radius, 0.9 * radius, 12));
    let main = [body.half_width, low, -0.03 * body.length];
    out.add_pair(beam(main, [0.2 * body.half_width, 0.0, main[2]], 0.5 * radius, 0.5 * radius));
    out.add_pair(wheel(main, radius, 0.9 * radius, 12));
}

fn add_floats(out: &mut Assembly, body: &Fuselage, random: &mut Random) {
    let Fuselage { length, half_width, half_height } = *body;
    let (x, low) = (1.4 * half_width, -half_height * random.range(1.6, 2.6));
    let (half, wide) = (length * random.range(0.25, 0.42), 0.4 * half_width);
    out.add_pair(bevelled([x - wide, low - wide, -half], [x + wide, low + wide, half], wide));
    for z in [-0.4 * half, 0.5 * half] {
        out.add_pair(beam([x, low, z], [0.3 * half_width, 0.0, z], 0.3 * wide, 0.5 * wide));
    }
}
