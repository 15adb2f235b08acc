//! Sofas: seats, backs, arms and cushions in rows of one to four, straight or with a chaise.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{bevelled, cuboid, tapered};
use super::legs::{Footprint, add_four_legs};
use super::part::Axis;
use super::tube::rod;

struct Body {
    half_width: f64,
    half_depth: f64,
    /// Height of the underside.
    low: f64,
    /// Height of the seat's top.
    seat: f64,
    /// Height of the back's top.
    high: f64,
    arm: f64,
}

/// A love seat, settee, corner sofa or bench.
pub(crate) fn sofa(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    let places = 1 + random.below(4);
    let body = draw_body(places, random);
    let (x, z) = (body.half_width, body.half_depth);
    let plinth = body.low + random.range(0.35, 0.7) * (body.seat - body.low);
    out.add(bevelled([-x, body.low, -z], [x, plinth, z], 0.03));
    add_base(&mut out, &body, random);
    add_seats(&mut out, &body, plinth, places, random);
    add_back(&mut out, &body, places, random);
    if body.arm > 0.0 {
        add_arms(&mut out, &body, random);
    }
    if random.chance(0.28) {
        add_chaise(&mut out, &body, plinth, random);
    }
    out
}

fn draw_body(places: u64, random: &mut Random) -> Body {
    let low = random.range(0.04, 0.22);
    let seat = low + random.range(0.16, 0.42);
    Body {
        half_width: 0.5 * places as f64 * random.range(0.45, 0.85),
        half_depth: random.range(0.3, 0.62),
        low,
        seat,
        high: seat + random.range(0.15, 0.75),
        arm: if random.chance(0.15) { 0.0 } else { random.range(0.06, 0.3) },
    }
}

fn add_base(out: &mut Assembly, body: &Body, random: &mut Random) {
    let (x, z) = (0.9 * body.half_width, 0.85 * body.half_depth);
    if random.chance(0.3) {
        out.add(cuboid([-x, 0.0, -z], [x, body.low + 0.02, z]));
    } else {
        let thickness = random.range(0.03, 0.09);
        add_four_legs(
            out,
            &Footprint { half_width: x, half_depth: z, top: body.low + 0.02, thickness },
            random,
        );
    }
}

fn add_seats(out: &mut Assembly, body: &Body, plinth: f64, places: u64, random: &mut Random) {
    let count = if random.chance(0.3) { 1 } else { places };
    let overhang = random.range(0.0, 0.06);
    let pitch = 2.0 * body.half_width / count as f64;
    for seat in 0..count {
        let left = pitch * seat as f64 - body.half_width;
        let front = body.half_depth + overhang;
        out.add(bevelled(
            [left + 0.004, plinth - 0.02, -0.8 * body.half_depth],
            [left + pitch - 0.004, body.seat, front],
            0.05,
        ));
    }
}

fn add_back(out: &mut Assembly, body: &Body, places: u64, random: &mut Random) {
    let (x, z) = (body.half_width, body.half_depth);
    let thickness = random.range(0.08, 0.3) * 2.0 * z;
    let lean = random.range(0.0, 0.25) * (body.high - body.seat);
    let (back, front) = (-z - 0.02, thickness - z);
    let wide = [-x - 0.5 * body.arm, x + 0.5 * body.arm];
    match random.below(4) {
        0 => out.add(tapered(
            (wide, body.low, [back, front]),
            (wide, body.high, [back - lean, front - lean - 0.3 * thickness]),
        )),
        1 => out.add(bevelled([wide[0], body.low, back], [wide[1], body.high, front], 0.08)),
        2 => {
            out.add(bevelled([wide[0], body.low, back], [wide[1], body.high - 0.1, front], 0.03));
            let center = [body.high - 0.08, back + 0.4 * thickness];
            let radius = 0.5 * thickness.min(0.3);
            out.add(rod(
                [wide[0], center[0], center[1]],
                [wide[1], center[0], center[1]],
                [radius; 2],
                12,
            ));
        }
        _ => {
            let frame = body.seat + 0.4 * (body.high - body.seat);
            out.add(bevelled(
                [wide[0], body.low, back],
                [wide[1], frame, back + 0.5 * thickness],
                0.03,
            ));
            add_back_cushions(out, body, places, [0.6 * thickness, lean]);
        }
    }
}

fn add_back_cushions(out: &mut Assembly, body: &Body, places: u64, [thickness, lean]: [f64; 2]) {
    let pitch = 2.0 * body.half_width / places as f64;
    let tilt = (lean / (body.high - body.seat)).atan().to_degrees();
    for place in 0..places {
        let left = pitch * place as f64 - body.half_width;
        let high = body.high - body.seat + 0.03;
        let cushion =
            bevelled([left + 0.01, 0.0, 0.0], [left + pitch - 0.01, high, thickness], 0.06);
        let at = [0.0, body.seat - 0.03, 0.3 * thickness - body.half_depth];
        out.add(cushion.turned(Axis::X, -tilt).moved(at));
    }
}

fn add_arms(out: &mut Assembly, body: &Body, random: &mut Random) {
    let Body { half_width: x, half_depth: z, low, seat, high, arm } = *body;
    let top = seat + random.range(0.15, 0.9) * (high - seat);
    let (inner, outer) = (x - 0.02, x + arm);
    match random.below(3) {
        0 => out.add_pair(bevelled([inner, low, -z], [outer, top, z], 0.04)),
        1 => {
            out.add_pair(cuboid([inner, low, -z], [outer - 0.25 * arm, top, z - 0.02]));
            let middle = 0.5 * (inner + outer);
            out.add_pair(rod([middle, top, -z], [middle, top, z], [0.5 * arm + 0.02; 2], 12));
        }
        _ => out.add_pair(tapered(
            ([inner, outer], low, [-z, z]),
            ([inner, outer + random.range(0.0, 0.1)], top, [-z, random.range(-0.2, 0.9) * z]),
        )),
    }
}

/// A long seat at one end that reaches to the front.
fn add_chaise(out: &mut Assembly, body: &Body, plinth: f64, random: &mut Random) {
    let side = if random.chance(0.5) { 1.0 } else { -1.0 };
    let (width, reach) = (random.range(0.5, 0.9), random.range(0.4, 1.1));
    let far = body.half_width + if random.chance(0.5) { body.arm } else { 0.0 };
    let (a, b) = (side * far, side * (far - width));
    let (left, right) = (a.min(b), a.max(b));
    let (back, front) = (0.5 * body.half_depth, body.half_depth + reach);
    out.add(bevelled([left, body.low, back], [right, plinth, front], 0.03));
    out.add(bevelled([left + 0.005, plinth - 0.02, back], [right - 0.005, body.seat, front], 0.05));
    out.add(cuboid(
        [left + 0.06, 0.0, front - 0.12],
        [right - 0.06, body.low + 0.02, front - 0.06],
    ));
}
