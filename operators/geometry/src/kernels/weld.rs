//! `weld`: triangles over places instead of vertices, so that what coincides is one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use voxflow_contract::{Bounds, TriMesh};

/// Triangles whose corners are numbers of places.
pub(crate) struct Welded {
    /// As many as the mesh has, in its order; places are numbered as triangles first use them.
    pub(crate) triangles: Vec<[u32; 3]>,
    /// Places in use.
    pub(crate) places: usize,
}

/// Steps along the longest side of the box when positions are compared.
const STEPS: f64 = (1u32 << 30) as f64;

/// Gives positions that are one number, when they are equal after rounding to a 2^-30th of the
/// longest side of `bounds`, the mesh's box. Stray vertices get none.
///
/// At the far ends of the box f32 is coarser than that, so only what is close to zero is rounded at
/// all: writers leave 1e-16 there as often as 0, and a shape is not open because of it.
///
/// The mesh must be valid. Cost: a hash lookup for each vertex in use.
pub(crate) fn weld(mesh: &TriMesh, bounds: &Bounds) -> Welded {
    let longest = bounds.longest();
    let steps_per_unit = if longest > 0.0 { STEPS / longest } else { 0.0 };
    let step = |x: f32, min: f64| ((f64::from(x) - min) * steps_per_unit + 0.5) as u32;
    let mut place_of_vertex = vec![u32::MAX; mesh.vertices.len()];
    // A closed mesh has about half as many places as triangles, a soup three times as many vertices.
    let expected = mesh.vertices.len().min(mesh.triangles.len() / 2 + 8);
    let mut places = HashMap::<Place, u32, _>::with_capacity_and_hasher(
        expected,
        BuildHasherDefault::<PlaceHasher>::default(),
    );
    let mut place = |vertex: u32| {
        let known = &mut place_of_vertex[vertex as usize];
        if *known == u32::MAX {
            let position = mesh.vertices[vertex as usize];
            let next = places.len() as u32;
            let rounded = [0, 1, 2].map(|axis| step(position[axis], bounds.min[axis]));
            *known = *places.entry(Place(rounded)).or_insert(next);
        }
        *known
    };
    let triangles = mesh.triangles.iter().map(|triangle| triangle.map(&mut place)).collect();
    Welded { triangles, places: places.len() }
}

/// A rounded position.
#[derive(PartialEq, Eq)]
struct Place([u32; 3]);

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [x, y, z] = self.0.map(u64::from);
        state.write_u64(x << 32 | y);
        state.write_u64(z);
    }
}

/// Multiply and fold, without a key: the same on every machine and in every run.
#[derive(Default)]
struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        // The first digits of the golden ratio and of pi, made odd.
        let product = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0x3243_f6a8_885a_308d;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_places_are_one_and_strays_are_none() {
        let vertices = vec![
            [9.0; 3],
            [0.0, 1.0, 2.0],
            [-0.0, 1.0, 2.0],
            [0.0, 1.0, 2.0 + f32::EPSILON * 2.0],
            [1e-12, 1.0, 2.0],
            [2.0, 1.0, 0.0],
        ];
        let triangles = vec![[5, 1, 2], [4, 3, 5]];
        let mesh = TriMesh { vertices, triangles };
        let welded = weld(&mesh, &mesh.bounds().expect("a box"));
        assert_eq!((welded.triangles, welded.places), (vec![[0, 1, 1], [1, 2, 0]], 3));
    }
}
