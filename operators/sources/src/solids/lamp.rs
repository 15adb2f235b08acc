//! Lamps: a shade and what holds it, standing, hanging or on a desk.

use std::f64::consts::TAU;

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, block};
use super::lathe::{cylinder, dome, ellipsoid, lathe, shade};
use super::part::{Axis, Part};
use super::tube::{rod, tube};

/// A floor, desk, table or pendant lamp.
pub(crate) fn lamp(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    match random.below(8) {
        0 | 1 => floor_lamp(&mut out, random),
        2 => arc_lamp(&mut out, random),
        3 => desk_lamp(&mut out, random),
        4 | 5 => table_lamp(&mut out, random),
        6 => pendant(&mut out, random),
        _ => chandelier(&mut out, random),
    }
    out
}

/// A shade that stands on y = 0 with the end of its holder inside, at y = 0 or above.
fn draw_shade(radius: f64, random: &mut Random) -> Vec<Part> {
    let height = radius * random.range(0.7, 2.4);
    let wall = (0.08 * radius).max(0.012);
    let narrow = radius * random.range(0.3, 1.0);
    let bulb = ellipsoid([0.0, 0.3 * height, 0.0], [0.3 * narrow, 0.35 * height, 0.3 * narrow], 10);
    let spider = block([0.0, 0.12 * height, 0.0], [0.985 * radius - wall, 0.01, 0.012]);
    match random.below(6) {
        0 => vec![ellipsoid([0.0, 0.8 * radius, 0.0], [radius, 0.9 * radius, radius], 18)],
        1 => vec![dome(radius, height.min(1.2 * radius), wall, 18), bulb, spider],
        2 => vec![shade(radius, radius, height, wall, 18), bulb, spider],
        3 => vec![shade(radius, radius, height, wall, 4), bulb, spider],
        4 => vec![lathe(&[(narrow, 0.0), (radius, 0.4 * height), (0.6 * narrow, height)], 14)],
        _ => {
            let spider = block([0.0, 0.05 * height, 0.0], [radius - 0.6 * wall, 0.012, 0.012]);
            vec![shade(radius, narrow.max(3.0 * wall), height, wall, 18), bulb, spider]
        }
    }
}

fn add_shade(out: &mut Assembly, radius: f64, at: [f64; 3], random: &mut Random) {
    draw_shade(radius, random).into_iter().for_each(|part| out.add(part.moved(at)));
}

fn floor_lamp(out: &mut Assembly, random: &mut Random) {
    let (high, pole) = (random.range(0.9, 1.9), random.range(0.012, 0.035));
    let radius = random.range(0.1, 0.38);
    let foot = random.range(0.1, 0.3);
    if random.chance(0.4) {
        let joint = high * random.range(0.3, 0.95);
        for leg in 0..3 {
            let (sin, cos) = (TAU * f64::from(leg) / 3.0).sin_cos();
            let low = [1.6 * foot * sin, 0.0, 1.6 * foot * cos];
            out.add(rod(low, [0.0, joint, 0.0], [pole, 0.9 * pole], 8));
        }
        out.add(rod([0.0, joint - 0.05, 0.0], [0.0, high + 0.1, 0.0], [pole; 2], 8));
    } else {
        let profile = [(foot, 0.0), (foot, 0.02), (pole, 0.06), (pole, high + 0.1)];
        out.add(lathe(&profile, 16));
    }
    add_shade(out, radius, [0.0, high, 0.0], random);
}

/// A bow that carries its shade far from its foot.
fn arc_lamp(out: &mut Assembly, random: &mut Random) {
    let (high, reach) = (random.range(1.2, 2.1), random.range(0.5, 1.5));
    let (pole, foot) = (random.range(0.014, 0.03), random.range(0.14, 0.28));
    let drop = random.range(0.05, 0.4) * high;
    let path: Vec<_> = (0..=12)
        .map(|i| {
            let angle = 0.75 * std::f64::consts::PI * f64::from(i) / 12.0;
            let x = reach * (1.0 - angle.cos()) / 1.7;
            ([x, high * angle.sin().max(0.0) * (1.0 - 0.2 * angle / TAU), 0.0], pole)
        })
        .collect();
    let tip = path[path.len() - 1].0;
    out.add(tube(&path, 8));
    out.add(cylinder(foot, [0.0, 0.05], 16));
    let radius = random.range(0.12, 0.3);
    let low = (tip[1] - drop).max(0.3);
    out.add(rod([tip[0], low, 0.0], [tip[0], tip[1] + 0.01, 0.0], [0.8 * pole; 2], 8));
    add_shade(out, radius, [tip[0], low - 0.02, 0.0], random);
}

/// Two arms with joints and a small head.
fn desk_lamp(out: &mut Assembly, random: &mut Random) {
    let (foot, arm) = (random.range(0.07, 0.14), random.range(0.16, 0.45));
    let bar = random.range(0.008, 0.02);
    let (first, second) = (random.range(-50.0, 20.0_f64), random.range(20.0, 100.0_f64));
    let step = |from: [f64; 3], deg: f64, len: f64| {
        let (sin, cos) = deg.to_radians().sin_cos();
        [0.0, from[1] + len * cos, from[2] + len * sin]
    };
    let base = [0.0, 0.02, 0.0];
    let elbow = step(base, first, arm);
    let head = step(elbow, second, arm * random.range(0.6, 1.2));
    out.add(cylinder(foot, [0.0, 0.035], 16));
    for (from, to) in [(base, elbow), (elbow, head)] {
        out.add(beam(from, to, 1.6 * bar, 1.6 * bar));
        out.add(ellipsoid(to, [2.0 * bar; 3], 8));
    }
    let radius = random.range(0.05, 0.13);
    let tilt = 180.0 - random.range(10.0, 60.0);
    let hood =
        lathe(&[(radius, 0.0), (0.6 * radius, 0.9 * radius), (0.3 * radius, 1.5 * radius)], 14);
    out.add(hood.moved([0.0, -1.4 * radius, 0.0]).turned(Axis::X, 180.0 - tilt).moved(head));
}

/// A turned body under a wide shade.
fn table_lamp(out: &mut Assembly, random: &mut Random) {
    let (high, wide) = (random.range(0.18, 0.6), random.range(0.05, 0.2));
    let share: [f64; 5] = std::array::from_fn(|_| random.range(0.25, 1.0));
    let mut profile = vec![(wide * share[0].max(0.6), 0.0)];
    profile.extend((1..5).map(|i| (wide * share[i], high * (i as f64 - 0.5) / 4.0)));
    profile.extend([(0.15 * wide, high), (0.15 * wide, 1.4 * high)]);
    let segments = [4, 6, 16, 20][random.below(4) as usize];
    out.add(lathe(&profile, segments));
    let radius = random.range(0.1, 0.32);
    add_shade(out, radius, [0.0, high + 0.02, 0.0], random);
}

/// One to four shades on cords.
fn pendant(out: &mut Assembly, random: &mut Random) {
    let (count, drop) = (1 + random.below(4), random.range(0.25, 1.4));
    let radius = random.range(0.1, 0.35);
    let pitch = radius * random.range(2.1, 3.0);
    let half = 0.5 * pitch * (count - 1) as f64;
    if count > 1 {
        out.add(block([0.0, drop + radius, 0.0], [half + 0.08, 0.025, 0.05]));
    } else {
        out.add(cylinder(0.4 * radius, [drop + radius - 0.03, drop + radius], 14));
    }
    for lamp in 0..count {
        let x = pitch * lamp as f64 - half;
        let low = if count > 1 { random.range(0.0, 0.4) * drop } else { 0.0 };
        out.add(rod([x, low + 0.02, 0.0], [x, drop + radius, 0.0], [0.012; 2], 6));
        add_shade(out, radius, [x, low, 0.0], random);
    }
}

/// Arms round a hub, a globe or candle on each.
fn chandelier(out: &mut Assembly, random: &mut Random) {
    let (arms, reach) = (3 + random.below(6), random.range(0.2, 0.6));
    let (rise, hang) = (random.range(-0.15, 0.25), random.range(0.2, 0.9));
    let globe = reach * random.range(0.1, 0.3);
    out.add(ellipsoid([0.0; 3], [0.2 * reach, random.range(0.2, 0.6) * reach, 0.2 * reach], 12));
    out.add(rod([0.0; 3], [0.0, hang, 0.0], [0.015; 2], 8));
    out.add(cylinder(0.08, [hang - 0.03, hang], 12));
    let is_candle = random.chance(0.4);
    for arm in 0..arms {
        let (sin, cos) = (TAU * arm as f64 / arms as f64).sin_cos();
        let at = |share: f64, y: f64| ([share * reach * sin, y, share * reach * cos], 0.013);
        out.add(tube(&[at(0.0, 0.0), at(0.5, -0.08), at(0.9, 0.4 * rise), at(1.0, rise)], 6));
        let tip = [reach * sin, rise, reach * cos];
        out.add(if is_candle {
            cylinder(0.4 * globe, [-0.02, 2.2 * globe], 8).moved(tip)
        } else {
            ellipsoid(tip, [globe; 3], 10)
        });
    }
}
