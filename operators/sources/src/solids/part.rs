//! `Part`: one closed, outward-facing piece of a solid.

use super::vector::{Vector, cross, dot};

/// A closed triangle surface, counter-clockwise seen from outside, that shares vertices with no
/// other part. Metres.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) vertices: Vec<Vector>,
    pub(crate) triangles: Vec<[u32; 3]>,
}

/// How a loft ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    /// With a flat face.
    Flat,
    /// In a point.
    Tip(Vector),
}

/// An axis to turn about.
#[derive(Clone, Copy)]
pub(crate) enum Axis {
    X,
    Y,
}

impl Part {
    /// A skin over rings of equally many points. Rings must be convex, go round the same way, and
    /// follow each other without crossing.
    pub(crate) fn loft(rings: &[Vec<Vector>], start: End, end: End) -> Self {
        let around = rings[0].len() as u32;
        let last = (rings.len() as u32 - 1) * around;
        let mut part = Self { vertices: rings.concat(), triangles: Vec::new() };
        for first in (0..last).step_by(around as usize) {
            part.join(first, first + around, around);
        }
        part.close_start(around, start);
        part.close_end(last, around, end);
        part.facing_outward()
    }

    /// A skin over rings, the last of which joins the first: a torus.
    pub(crate) fn loop_of(rings: &[Vec<Vector>]) -> Self {
        let (count, around) = (rings.len() as u32, rings[0].len() as u32);
        let mut part = Self { vertices: rings.concat(), triangles: Vec::new() };
        for ring in 0..count {
            part.join(ring * around, (ring + 1) % count * around, around);
        }
        part.facing_outward()
    }

    /// The part, moved.
    pub(crate) fn moved(self, by: Vector) -> Self {
        self.mapped(|v| super::vector::add(v, by))
    }

    /// The part, turned about an axis through the origin, counter-clockwise seen from its far end.
    pub(crate) fn turned(self, axis: Axis, deg: f64) -> Self {
        let (sin, cos) = deg.to_radians().sin_cos();
        self.mapped(|[x, y, z]| match axis {
            Axis::X => [x, y * cos - z * sin, y * sin + z * cos],
            Axis::Y => [x * cos + z * sin, y, z * cos - x * sin],
        })
    }

    /// The part, stretched about the origin by factors above zero.
    pub(crate) fn stretched(self, by: Vector) -> Self {
        self.mapped(|[x, y, z]| [x * by[0], y * by[1], z * by[2]])
    }

    /// The mirror image, left for right.
    pub(crate) fn mirrored(&self) -> Self {
        self.clone().mapped(|[x, y, z]| [-x, y, z]).facing_outward()
    }

    /// The enclosed volume in cubic metres; negative when the surface faces inward.
    pub(crate) fn volume(&self) -> f64 {
        let corner = |vertex: u32| self.vertices[vertex as usize];
        let six_fold = |[a, b, c]: &[u32; 3]| dot(corner(*a), cross(corner(*b), corner(*c)));
        self.triangles.iter().map(six_fold).sum::<f64>() / 6.0
    }

    fn mapped(mut self, to: impl Fn(Vector) -> Vector) -> Self {
        self.vertices.iter_mut().for_each(|vertex| *vertex = to(*vertex));
        self
    }

    fn facing_outward(mut self) -> Self {
        if self.volume() < 0.0 {
            self.triangles.iter_mut().for_each(|triangle| triangle.swap(1, 2));
        }
        self
    }

    fn join(&mut self, low: u32, high: u32, around: u32) {
        for i in 0..around {
            let j = (i + 1) % around;
            self.triangles.push([low + i, low + j, high + j]);
            self.triangles.push([low + i, high + j, high + i]);
        }
    }

    fn close_start(&mut self, around: u32, end: End) {
        match end {
            End::Flat => self.triangles.extend((1..around - 1).map(|i| [0, i + 1, i])),
            End::Tip(tip) => {
                let top = self.push(tip);
                self.triangles.extend((0..around).map(|i| [top, (i + 1) % around, i]));
            }
        }
    }

    fn close_end(&mut self, ring: u32, around: u32, end: End) {
        match end {
            End::Flat => {
                self.triangles.extend((1..around - 1).map(|i| [ring, ring + i, ring + i + 1]));
            }
            End::Tip(tip) => {
                let top = self.push(tip);
                let next = |i| ring + (i + 1) % around;
                self.triangles.extend((0..around).map(|i| [top, ring + i, next(i)]));
            }
        }
    }

    fn push(&mut self, vertex: Vector) -> u32 {
        self.vertices.push(vertex);
        self.vertices.len() as u32 - 1
    }
}
