//! Beds: mattresses on frames, with boards, posts, canopies, and bunks.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, bevelled, cuboid};
use super::lathe::{cylinder, ellipsoid};
use super::legs::{CORNERS, Footprint, add_four_legs};

struct Frame {
    half_width: f64,
    half_length: f64,
    /// Height of the slats.
    deck: f64,
    mattress: f64,
}

/// A single, double, day, bunk or four-poster bed; the head is towards -Z.
pub(crate) fn bed(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    let frame = Frame {
        half_width: random.range(0.38, 1.05),
        half_length: random.range(0.8, 1.15),
        deck: random.range(0.12, 0.55),
        mattress: random.range(0.1, 0.38),
    };
    add_mattress(&mut out, &frame, 0.0, random);
    add_base(&mut out, &frame, random);
    let board = random.range(0.15, 1.1);
    add_board(&mut out, &frame, [-1.0, board], random);
    if random.chance(0.5) {
        let foot = random.range(0.1, 0.9) * board;
        add_board(&mut out, &frame, [1.0, foot], random);
    }
    match random.below(6) {
        0 => add_canopy(&mut out, &frame, random),
        1 => add_bunk(&mut out, &frame, random),
        2 => add_side_board(&mut out, &frame, random),
        _ => {}
    }
    out
}

fn add_mattress(out: &mut Assembly, frame: &Frame, lift: f64, random: &mut Random) {
    let Frame { half_width: x, half_length: z, deck, mattress } = *frame;
    let (low, high) = (deck + lift - 0.02, deck + lift + mattress);
    out.add(bevelled([0.02 - x, low, 0.02 - z], [x - 0.02, high, z - 0.02], 0.06));
    let pillows = if x > 0.6 { 2 } else { 1 };
    let (deep, thick) = (random.range(0.12, 0.25), random.range(0.05, 0.14));
    for pillow in 0..pillows {
        let half = 0.8 * x / f64::from(pillows);
        let at = [
            (2.0 * f64::from(pillow) + 1.0 - f64::from(pillows)) * 1.15 * half,
            high,
            1.15 * deep - z,
        ];
        out.add(ellipsoid(at, [half, thick, deep], 12));
    }
    if random.chance(0.4) {
        let fold = random.range(-0.4, 0.4) * z;
        out.add(bevelled([-x - 0.02, low - 0.05, fold], [x + 0.02, high + 0.05, z], 0.05));
    }
}

fn add_base(out: &mut Assembly, frame: &Frame, random: &mut Random) {
    let Frame { half_width: x, half_length: z, deck, .. } = *frame;
    let rail = random.range(0.08, 0.25).min(0.7 * deck);
    out.add(cuboid([-x, deck - rail, -z], [x, deck, z]));
    match random.below(3) {
        0 => out.add(cuboid([0.03 - x, 0.0, 0.03 - z], [x - 0.03, deck - 0.5 * rail, z - 0.03])),
        1 => {
            let inset = random.range(0.6, 0.9);
            out.add(cuboid(
                [-inset * x, 0.0, -inset * z],
                [inset * x, deck - 0.5 * rail, inset * z],
            ));
        }
        _ => {
            let thickness = random.range(0.04, 0.14);
            let (half_width, half_length) = (x - 0.6 * thickness, z - 0.6 * thickness);
            let top = deck - 0.5 * rail;
            add_four_legs(
                out,
                &Footprint { half_width, half_depth: half_length, top, thickness },
                random,
            );
        }
    }
}

/// A board at the end `[side, height]` of the bed, `height` metres above the deck.
fn add_board(out: &mut Assembly, frame: &Frame, [side, height]: [f64; 2], random: &mut Random) {
    let Frame { half_width: x, half_length: z, deck, .. } = *frame;
    let (at, high) = (side * z, deck + height);
    let thickness = random.range(0.03, 0.12);
    let ends = [at - 0.5 * thickness, at + 0.5 * thickness];
    match random.below(5) {
        0 => {}
        1 => out.add(bevelled([-x, 0.0, ends[0]], [x, high, ends[1]], 0.02)),
        2 => {
            out.add(bevelled([-x, 0.3 * deck, ends[0]], [x, deck + 0.6 * height, ends[1]], 0.02));
            out.add(ellipsoid(
                [0.0, deck + 0.6 * height, at],
                [0.9 * x, 0.4 * height, 0.45 * thickness],
                16,
            ));
        }
        3 => add_bars(out, x, at, high, 3 + random.below(8)),
        _ => {
            out.add_pair(beam([x, 0.0, at], [x, high + 0.05, at], 0.07, 0.07));
            out.add(cuboid([-x, deck + 0.4 * height, ends[0]], [x, high, ends[1]]));
        }
    }
}

fn add_bars(out: &mut Assembly, x: f64, z: f64, high: f64, count: u64) {
    out.add(cuboid([-x, high - 0.06, z - 0.03], [x, high, z + 0.03]));
    for bar in 0..=count {
        let at = x * 0.97 * (2.0 * bar as f64 / count as f64 - 1.0);
        out.add(cylinder(0.02, [0.05, high - 0.01], 8).moved([at, 0.0, z]));
    }
}

fn add_canopy(out: &mut Assembly, frame: &Frame, random: &mut Random) {
    let (x, z, high) = (frame.half_width, frame.half_length, random.range(1.4, 2.3));
    let post = random.range(0.04, 0.1);
    for (side, end) in CORNERS {
        out.add(beam([side * x, 0.0, end * z], [side * x, high, end * z], post, post));
    }
    if random.chance(0.4) {
        out.add(cuboid([-x - 0.05, high - 0.05, -z - 0.05], [x + 0.05, high + 0.03, z + 0.05]));
    } else {
        let bar = 0.8 * post;
        out.add_pair(beam([x, high - bar, -z], [x, high - bar, z], bar, bar));
        for end in [-z, z] {
            out.add(beam([-x, high - bar, end], [x, high - bar, end], 0.9 * bar, 0.9 * bar));
        }
    }
}

fn add_bunk(out: &mut Assembly, frame: &Frame, random: &mut Random) {
    let (x, z, lift) = (frame.half_width, frame.half_length, random.range(0.8, 1.3));
    let deck = frame.deck + lift;
    add_mattress(out, frame, lift, random);
    out.add(cuboid([-x, deck - 0.12, -z], [x, deck, z]));
    let high = deck + frame.mattress + random.range(0.1, 0.4);
    for (side, end) in CORNERS {
        out.add(beam([side * x, 0.0, end * z], [side * x, high, end * z], 0.08, 0.08));
    }
    out.add_pair(cuboid([x - 0.02, high - 0.1, -z], [x + 0.02, high, z]));
    if random.chance(0.6) {
        for rung in 1..=5 {
            let y = deck * f64::from(rung) / 5.5;
            out.add(beam([x + 0.02, y, 0.4 * z], [x + 0.02, y, 0.85 * z], 0.04, 0.04));
        }
        for rail in [0.4, 0.85] {
            out.add(beam([x + 0.02, 0.0, rail * z], [x + 0.02, high, rail * z], 0.05, 0.05));
        }
    }
}

/// A day bed's long back.
fn add_side_board(out: &mut Assembly, frame: &Frame, random: &mut Random) {
    let (x, z) = (frame.half_width, frame.half_length);
    let high = frame.deck + frame.mattress + random.range(0.15, 0.6);
    out.add(bevelled([-x - 0.06, 0.1, -z], [0.01 - x, high, z], 0.02));
}
