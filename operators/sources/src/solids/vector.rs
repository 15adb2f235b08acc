//! Vectors of three numbers: the few operations that building parts takes.

/// A point or a direction, x y z, in metres.
pub(crate) type Vector = [f64; 3];

pub(crate) fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(crate) fn sub(a: Vector, b: Vector) -> Vector {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn scale(a: Vector, by: f64) -> Vector {
    a.map(|x| x * by)
}

pub(crate) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The direction of `a`; `a` must not be zero.
pub(crate) fn direction(a: Vector) -> Vector {
    scale(a, 1.0 / dot(a, a).sqrt())
}

/// A point `share` of the way from `a` to `b`.
pub(crate) fn between(a: Vector, b: Vector, share: f64) -> Vector {
    add(scale(a, 1.0 - share), scale(b, share))
}

/// Two directions that stand upright on `along` and on each other; the first lies as near to +X as
/// it can, or to +Z when `along` runs along x.
pub(crate) fn across(along: Vector) -> [Vector; 2] {
    let along = direction(along);
    let near = if along[0].abs() > 0.9 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] };
    let first = direction(sub(near, scale(along, dot(near, along))));
    [first, cross(along, first)]
}
