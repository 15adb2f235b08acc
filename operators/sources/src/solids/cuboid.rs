//! Boxes: plain, tapered, bevelled, and beams between two points.

use super::part::{End, Part};
use super::vector::{Vector, across, add, scale, sub};

/// The box between two corners.
pub(crate) fn cuboid(min: Vector, max: Vector) -> Part {
    let ring = |y| rectangle([min[0], max[0]], y, [min[2], max[2]]);
    Part::loft(&[ring(min[1]), ring(max[1])], End::Flat, End::Flat)
}

/// The box of half widths `half` about a center.
pub(crate) fn block(center: Vector, half: Vector) -> Part {
    cuboid(sub(center, half), add(center, half))
}

/// A box whose top is another rectangle than its bottom; each given as x range, y, z range.
pub(crate) fn tapered(bottom: ([f64; 2], f64, [f64; 2]), top: ([f64; 2], f64, [f64; 2])) -> Part {
    let ring = |(x, y, z)| rectangle(x, y, z);
    Part::loft(&[ring(bottom), ring(top)], End::Flat, End::Flat)
}

/// The box between two corners with its edges cut off at `bevel` metres, at most a fifth of its
/// shortest side.
pub(crate) fn bevelled(min: Vector, max: Vector, bevel: f64) -> Part {
    let shortest = sub(max, min).into_iter().fold(f64::INFINITY, f64::min);
    let cut = bevel.min(0.2 * shortest);
    let ring = |y, inset| {
        let (x, z) = ([min[0] + inset, max[0] - inset], [min[2] + inset, max[2] - inset]);
        octagon(x, y, z, cut)
    };
    let rings = [ring(min[1], cut), ring(min[1] + cut, 0.0), ring(max[1] - cut, 0.0)];
    Part::loft(&[&rings[..], &[ring(max[1], cut)]].concat(), End::Flat, End::Flat)
}

/// A bar of rectangular section from `from` to `to`: `width` along x as far as the bar's direction
/// allows, `depth` the other way.
pub(crate) fn beam(from: Vector, to: Vector, width: f64, depth: f64) -> Part {
    let [wide, deep] = across(sub(to, from));
    let (wide, deep) = (scale(wide, 0.5 * width), scale(deep, 0.5 * depth));
    let ring = |center: Vector| {
        vec![
            sub(sub(center, wide), deep),
            sub(add(center, wide), deep),
            add(add(center, wide), deep),
            add(sub(center, wide), deep),
        ]
    };
    Part::loft(&[ring(from), ring(to)], End::Flat, End::Flat)
}

fn rectangle(x: [f64; 2], y: f64, z: [f64; 2]) -> Vec<Vector> {
    vec![[x[0], y, z[0]], [x[1], y, z[0]], [x[1], y, z[1]], [x[0], y, z[1]]]
}

fn octagon(x: [f64; 2], y: f64, z: [f64; 2], cut: f64) -> Vec<Vector> {
    vec![
        [x[0] + cut, y, z[0]],
        [x[1] - cut, y, z[0]],
        [x[1], y, z[0] + cut],
        [x[1], y, z[1] - cut],
        [x[1] - cut, y, z[1]],
        [x[0] + cut, y, z[1]],
        [x[0], y, z[1] - cut],
        [x[0], y, z[0] + cut],
    ]
}
