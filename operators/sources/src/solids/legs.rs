//! Four legs: what chairs, tables, beds and sofas stand on.

use voxflow_contract::Random;

use super::assembly::Assembly;
use super::cuboid::{beam, tapered};
use super::lathe::lathe;
use super::tube::rod;

/// The corners of a rectangle about the origin, as signs of x and z.
pub(crate) const CORNERS: [(f64, f64); 4] = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];

/// Where four legs stand.
pub(crate) struct Footprint {
    /// Half the distance between legs along x, at the top.
    pub(crate) half_width: f64,
    /// Half the distance between legs along z, at the top.
    pub(crate) half_depth: f64,
    /// Height of the top end of the legs; they begin at y = 0.
    pub(crate) top: f64,
    /// Thickness of a leg.
    pub(crate) thickness: f64,
}

/// Adds four legs of a random style: square, tapered, round, turned or splayed.
pub(crate) fn add_four_legs(out: &mut Assembly, feet: &Footprint, random: &mut Random) {
    let style = random.below(5);
    let taper = random.range(0.35, 0.9);
    let splay = random.range(0.05, 0.3) * feet.top.min(0.6);
    for (side, end) in CORNERS {
        let (x, z, half) = (side * feet.half_width, end * feet.half_depth, 0.5 * feet.thickness);
        let (low, high) = ([x, 0.0, z], [x, feet.top, z]);
        out.add(match style {
            0 => beam(low, high, feet.thickness, feet.thickness),
            1 => tapered(
                (spread(x, half * taper), 0.0, spread(z, half * taper)),
                (spread(x, half), feet.top, spread(z, half)),
            ),
            2 => rod(low, high, [half * taper, half], 8),
            3 => turned_leg(feet.top, half).moved(low),
            _ => {
                let foot = [x + side * splay, 0.0, z + end * splay];
                rod(foot, high, [half * taper, half], 8)
            }
        });
    }
}

fn spread(center: f64, half: f64) -> [f64; 2] {
    [center - half, center + half]
}

fn turned_leg(height: f64, radius: f64) -> super::part::Part {
    let shares =
        [(0.55, 0.0), (0.7, 0.08), (0.5, 0.15), (1.0, 0.45), (0.6, 0.72), (0.95, 0.8), (0.95, 1.0)];
    lathe(&shares.map(|(r, y)| (r * radius, y * height)), 8)
}
