//! Wings: tapered, swept extrusions of a convex aerofoil.

use super::part::{End, Part};
use super::vector::{Vector, add, scale};

/// Half thickness of the section along its chord: share of the chord, share of the thickness.
const SECTION: [(f64, f64); 8] = [
    (0.0, 0.0),
    (0.1, 0.35),
    (0.35, 0.5),
    (0.7, 0.3),
    (1.0, 0.0),
    (0.7, -0.3),
    (0.35, -0.5),
    (0.1, -0.35),
];

/// One cut through a wing: where its leading edge is, and how long it runs back along -z.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Leading edge.
    pub(crate) leading: Vector,
    /// Length along -z.
    pub(crate) chord: f64,
}

/// A wing from root to tip; `thickness` is a share of the chord and lies along `upward`, a unit
/// vector without a z component.
pub(crate) fn wing(root: Cut, tip: Cut, thickness: f64, upward: Vector) -> Part {
    let ring = |cut: Cut| {
        SECTION
            .map(|(back, up)| {
                let back = [0.0, 0.0, -back * cut.chord];
                add(cut.leading, add(back, scale(upward, up * thickness * cut.chord)))
            })
            .to_vec()
    };
    Part::loft(&[ring(root), ring(tip)], End::Flat, End::Flat)
}
