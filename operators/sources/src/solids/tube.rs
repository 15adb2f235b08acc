//! Round bars along a path.

use std::f64::consts::TAU;

use super::part::{End, Part};
use super::vector::{Vector, across, add, cross, direction, dot, scale, sub};

/// A round bar through the given points, with a radius at each. The path must bend gently compared
/// with its radius, or the surface folds into itself at the bends (it stays closed).
pub(crate) fn tube(path: &[(Vector, f64)], segments: usize) -> Part {
    let mut side = across(sub(path[1].0, path[0].0))[0];
    let mut rings = Vec::with_capacity(path.len());
    for (i, (center, radius)) in path.iter().enumerate() {
        let (before, after) = (path[i.saturating_sub(1)].0, path[(i + 1).min(path.len() - 1)].0);
        let along = direction(sub(after, before));
        side = direction(sub(side, scale(along, dot(side, along))));
        rings.push(circle(
            *center,
            scale(side, *radius),
            scale(cross(along, side), *radius),
            segments,
        ));
    }
    Part::loft(&rings, End::Flat, End::Flat)
}

/// A straight round bar.
pub(crate) fn rod(from: Vector, to: Vector, radii: [f64; 2], segments: usize) -> Part {
    tube(&[(from, radii[0]), (to, radii[1])], segments)
}

/// A wheel or disc about an axle along x.
pub(crate) fn wheel(center: Vector, radius: f64, width: f64, segments: usize) -> Part {
    let half = [0.5 * width, 0.0, 0.0];
    rod(sub(center, half), add(center, half), [radius; 2], segments)
}

fn circle(center: Vector, first: Vector, second: Vector, segments: usize) -> Vec<Vector> {
    (0..segments)
        .map(|i| {
            let (sin, cos) = (TAU * (i as f64 + 0.5) / segments as f64).sin_cos();
            add(center, add(scale(first, cos), scale(second, sin)))
        })
        .collect()
}
