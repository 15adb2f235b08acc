//! Turned parts: profiles spun about the y axis.

use std::f64::consts::{PI, TAU};

use super::part::{End, Part};
use super::vector::Vector;

/// A profile of (radius, y) spun about the y axis through the origin. Radii are above zero, but the
/// first and the last may be zero: the part then ends in a point.
pub(crate) fn lathe(profile: &[(f64, f64)], segments: usize) -> Part {
    let end =
        |(radius, y): (f64, f64)| if radius > 0.0 { End::Flat } else { End::Tip([0.0, y, 0.0]) };
    let rings: Vec<_> =
        profile.iter().filter(|(r, _)| *r > 0.0).map(|(r, y)| circle(*r, *y, segments)).collect();
    Part::loft(&rings, end(profile[0]), end(profile[profile.len() - 1]))
}

/// A closed profile of (radius, y), all radii above zero, spun about the y axis: a torus, a hollow
/// shade.
pub(crate) fn ring(profile: &[(f64, f64)], segments: usize) -> Part {
    let rings: Vec<_> = profile.iter().map(|(r, y)| circle(*r, *y, segments)).collect();
    Part::loop_of(&rings)
}

/// An upright cylinder about the y axis.
pub(crate) fn cylinder(radius: f64, y: [f64; 2], segments: usize) -> Part {
    lathe(&[(radius, y[0]), (radius, y[1])], segments)
}

/// An ellipsoid about a center.
pub(crate) fn ellipsoid(center: Vector, radii: Vector, segments: usize) -> Part {
    let stacks = (segments / 2).max(4);
    let point = |i: usize| {
        let angle = PI * i as f64 / stacks as f64;
        (if i == 0 || i == stacks { 0.0 } else { angle.sin() }, -angle.cos())
    };
    let profile: Vec<_> = (0..=stacks).map(point).collect();
    lathe(&profile, segments).stretched(radii).moved(center)
}

/// The upper part of a hollow ball, open below: a wall `wall` metres thick over `height` metres.
pub(crate) fn dome(radius: f64, height: f64, wall: f64, segments: usize) -> Part {
    let arc = |reach: f64, rise: f64| {
        (1..=5).map(move |i| {
            let angle = 0.5 * PI * f64::from(i) / 5.0;
            (reach * angle.sin(), rise * angle.cos())
        })
    };
    let outer = arc(radius, height);
    let inner: Vec<_> = arc(radius - wall, height - wall).collect();
    let profile: Vec<_> = outer.chain(inner.into_iter().rev()).collect();
    ring(&profile, segments)
}

/// A truncated cone, hollow and open at both ends: radii of its outside, and its wall's thickness.
pub(crate) fn shade(bottom: f64, top: f64, height: f64, wall: f64, segments: usize) -> Part {
    ring(&[(bottom, 0.0), (top, height), (top - wall, height), (bottom - wall, 0.0)], segments)
}

fn circle(radius: f64, y: f64, segments: usize) -> Vec<Vector> {
    (0..segments)
        .map(|i| {
            let (sin, cos) = (TAU * (i as f64 + 0.5) / segments as f64).sin_cos();
            [radius * cos, y, radius * sin]
        })
        .collect()
}
