//! Shelves: boards between sides or posts, even or uneven, with backs, doors and things on them.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, cuboid};
use super::legs::CORNERS;

struct Rack {
    half_width: f64,
    half_depth: f64,
    height: f64,
    board: f64,
    /// Share of the depth that is left at the top, when the rack leans.
    top_depth: f64,
    /// Heights of the middle of each board, from the lowest.
    levels: Vec<f64>,
}

/// A bookcase, open rack, cube grid or ladder shelf; the open side is towards +Z.
pub(crate) fn shelf(random: &mut Random) -> Assembly {
    let mut out = Assembly::default();
    let rack = draw_rack(random);
    add_boards(&mut out, &rack);
    if random.chance(0.35) {
        add_posts(&mut out, &rack, random);
    } else {
        add_sides(&mut out, &rack);
    }
    let columns = add_dividers(&mut out, &rack, random);
    if random.chance(0.55) {
        let thickness = random.range(0.008, 0.03);
        let (x, z) = (rack.half_width, rack.half_depth);
        out.add(cuboid([-x, rack.levels[0], -z], [x, rack.height - 0.01, thickness - z]));
    }
    let fullness = random.range(0.0, 0.7);
    add_contents(&mut out, &rack, columns, fullness, random);
    out
}

fn draw_rack(random: &mut Random) -> Rack {
    let height = random.range(0.35, 2.5);
    let half_width = random.range(0.18, 1.1);
    let board = random.range(0.015, 0.06);
    let count = 2 + random.below(6.min(1 + (height / 0.2) as u64));
    let is_even = random.chance(0.6);
    let low = if random.chance(0.5) { 0.5 * board } else { random.range(0.03, 0.15) * height };
    let top = height - 0.5 * board;
    let mut shares: Vec<f64> = (0..=count).map(|i| i as f64 / count as f64).collect();
    if !is_even {
        let shift = 0.35 / count as f64;
        shares[1..count as usize].iter_mut().for_each(|s| *s += random.range(-shift, shift));
    }
    Rack {
        half_width,
        half_depth: random.range(0.07, 0.32),
        height,
        board,
        top_depth: if random.chance(0.2) { random.range(0.25, 0.6) } else { 1.0 },
        levels: shares.into_iter().map(|share| low + share * (top - low)).collect(),
    }
}

impl Rack {
    /// Where the front edge is at a height: the back is upright, the front may lean.
    fn front(&self, y: f64) -> f64 {
        let share = 1.0 - (1.0 - self.top_depth) * y / self.height;
        self.half_depth * (2.0 * share - 1.0)
    }
}

fn add_boards(out: &mut Assembly, rack: &Rack) {
    let (x, half) = (rack.half_width, 0.5 * rack.board);
    for y in &rack.levels {
        out.add(cuboid([-x, y - half, -rack.half_depth], [x, y + half, rack.front(*y)]));
    }
}

fn add_sides(out: &mut Assembly, rack: &Rack) {
    let Rack { half_width: x, half_depth: z, height, board, .. } = *rack;
    let bottom = ([x - 0.9 * board, x + 0.1 * board], 0.0, [-z, rack.front(0.0)]);
    let top = (bottom.0, height, [-z, rack.front(height)]);
    out.add_pair(super::cuboid::tapered(bottom, top));
}

fn add_posts(out: &mut Assembly, rack: &Rack, random: &mut Random) {
    let (x, thickness) = (rack.half_width, random.range(0.02, 0.06));
    for (side, end) in CORNERS {
        let at = |y| [side * x, y, if end < 0.0 { -rack.half_depth } else { rack.front(y) }];
        out.add(beam(at(0.0), at(rack.height), thickness, thickness));
    }
    if random.chance(0.4) {
        let (low, high) = (rack.levels[0], rack.height);
        let z = -rack.half_depth;
        out.add(beam([-x, low, z], [x, high, z], 0.5 * thickness, 0.5 * thickness));
        out.add(beam([x, low, z], [-x, high, z], 0.45 * thickness, 0.45 * thickness));
    }
}

/// Upright boards between the levels; gives the number of columns they make.
fn add_dividers(out: &mut Assembly, rack: &Rack, random: &mut Random) -> u64 {
    let columns = 1 + random.below(1 + (rack.half_width / 0.18) as u64).min(5);
    let is_staggered = random.chance(0.3);
    let pitch = 2.0 * rack.half_width / columns as f64;
    for (row, pair) in rack.levels.windows(2).enumerate() {
        let shift = if is_staggered && row % 2 == 1 { 0.3 * pitch } else { 0.0 };
        for divider in 1..columns {
            let x = pitch * divider as f64 - rack.half_width + shift;
            let half = 0.4 * rack.board;
            let (min, max) = ([x - half, pair[0], -rack.half_depth], rack.front(pair[1]) - 0.002);
            out.add(cuboid(min, [x + half, pair[1], max]));
        }
    }
    columns
}

/// Doors, boxes or books in a share of the openings.
fn add_contents(out: &mut Assembly, rack: &Rack, columns: u64, share: f64, random: &mut Random) {
    let pitch = 2.0 * rack.half_width / columns as f64;
    for pair in rack.levels.windows(2) {
        for column in 0..columns {
            if !random.chance(share) {
                continue;
            }
            let (left, rise) = (pitch * column as f64 - rack.half_width, pair[1] - pair[0]);
            let front = rack.front(pair[1]);
            match random.below(3) {
                0 => out.add(cuboid(
                    [left, pair[0], front - 0.025],
                    [left + pitch, pair[1], front - 0.004],
                )),
                1 => {
                    let depth = random.range(0.4, 0.9);
                    let back = front - depth * (front + rack.half_depth);
                    let high = pair[0] + random.range(0.4, 0.9) * rise;
                    out.add(cuboid(
                        [left + 0.15 * pitch, pair[0], back],
                        [left + 0.85 * pitch, high, front - 0.01],
                    ));
                }
                _ => add_books(
                    out,
                    [left, pair[0]],
                    [pitch, rise],
                    [-rack.half_depth, front],
                    random,
                ),
            }
        }
    }
}

/// A row of up to four books from the left edge of an opening.
fn add_books(
    out: &mut Assembly,
    [left, low]: [f64; 2],
    [width, rise]: [f64; 2],
    [back, front]: [f64; 2],
    random: &mut Random,
) {
    let mut x = left + 0.05 * width;
    for _ in 0..2 + random.below(3) {
        let (thick, high) = (random.range(0.08, 0.22) * width, random.range(0.5, 0.92) * rise);
        let reach = back + random.range(0.6, 0.95) * (front - back);
        out.add(cuboid([x, low, back], [x + thick, low + high, reach]));
        x += 0.98 * thick;
    }
}
