//! Corners with equal positions made one vertex.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use voxflow_contract::TriMesh;

/// The mesh with one vertex for all corners of triangles whose coordinates are equal (zero and minus
/// zero are), and nothing more: near corners stay apart. Vertices are numbered by first use; those
/// that no triangle uses are gone. For files that repeat corners, as STL does.
///
/// # Panics
/// When a triangle names a vertex that does not exist, as indexing would.
///
/// # Examples
/// ```
/// use voxflow_contract::TriMesh;
///
/// let vertices = vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0; 3], [0.0, 1.0, 0.0], [2.0; 3]];
/// let soup = TriMesh { vertices, triangles: vec![[0, 1, 2], [3, 4, 5]] };
/// assert_eq!(voxflow_formats::merge_corners(&soup).triangles, [[0, 1, 2], [0, 2, 3]]);
/// ```
pub fn merge_corners(mesh: &TriMesh) -> TriMesh {
    let mut welder = Welder::for_corners(3 * mesh.triangles.len());
    let mut triangles = Vec::with_capacity(mesh.triangles.len());
    let mut corners = [[0.0; 3]; BATCH];
    for batch in mesh.triangles.as_flattened().chunks(BATCH) {
        for (corner, vertex) in corners.iter_mut().zip(batch) {
            *corner = mesh.vertices[*vertex as usize];
        }
        welder.weld_triangles(&corners[..batch.len()], &mut triangles);
    }
    TriMesh { vertices: welder.vertices, triangles }
}

/// Vertices so far, each position once; zero and minus zero are equal.
///
/// A table of open addressing, which holds numbers of vertices only: positions are compared where
/// they lie. Its hash is keyed at random, so that no file can be made to collide; vertices are
/// numbered by first use, whatever the key.
struct Welder {
    /// The vertices.
    vertices: Vec<[f32; 3]>,
    /// One more than the number of a vertex, or 0; a power of two long, at most five eighths full.
    table: Vec<u32>,
    key: [u64; 2],
    /// Corners that were asked for, and how many there will be as far as is known.
    corners: usize,
    expected: usize,
}

/// Corners that are looked up at once, so that their cache misses overlap.
const BATCH: usize = 48;

impl Welder {
    /// A welder for about `corners` corners, with room for the vertices of a closed mesh of so many.
    fn for_corners(corners: usize) -> Self {
        let state = RandomState::new();
        Self {
            vertices: Vec::with_capacity(corners / 6),
            table: vec![0; (corners / 3).max(64).next_power_of_two()],
            key: [state.hash_one(0) | 1, state.hash_one(1) | 1],
            corners: 0,
            expected: corners,
        }
    }

    /// Numbers of the vertices at finite positions, three a triangle. There are fewer than 2^32 in a
    /// mesh, so they can be numbered.
    fn weld_triangles(&mut self, corners: &[[f32; 3]], triangles: &mut Vec<[u32; 3]>) {
        let (mut hashes, mut entries) = ([0; BATCH], [0_u32; BATCH]);
        for batch in corners.chunks(BATCH) {
            self.make_room(batch.len());
            let mask = self.table.len() - 1;
            for ((entry, hash), corner) in entries.iter_mut().zip(&mut hashes).zip(batch) {
                *hash = self.hash(*corner);
                *entry = self.table[*hash as usize & mask];
            }
            // Most corners are where they were looked for first; no branch depends on which.
            let (mut missing, last) = (0_u64, self.vertices.len().saturating_sub(1));
            for (i, (entry, corner)) in entries.iter().zip(batch).enumerate() {
                let place = (entry.wrapping_sub(1) as usize).min(last);
                let [x, y, z] = self.vertices.get(place).copied().unwrap_or([f32::NAN; 3]);
                let is_found =
                    (x == corner[0]) & (y == corner[1]) & (z == corner[2]) & (*entry > 0);
                missing |= u64::from(!is_found) << i;
            }
            while missing != 0 {
                let i = missing.trailing_zeros() as usize;
                entries[i] = self.insert(batch[i], hashes[i]) + 1;
                missing &= missing - 1;
            }
            let numbers = entries[..batch.len()].as_chunks::<3>().0.iter();
            triangles.extend(numbers.map(|entries| entries.map(|entry| entry - 1)));
        }
    }

    #[inline(always)]
    fn hash(&self, position: [f32; 3]) -> u64 {
        // Adding zero turns minus zero into zero.
        let [x, y, z] = position.map(|coordinate| u64::from((coordinate + 0.0).to_bits()));
        let low = (x | y << 32) ^ self.key[1];
        let product = u128::from(low.wrapping_add(z << 17)) * u128::from(self.key[0] ^ z);
        (product >> 64) as u64 ^ product as u64
    }

    #[inline(always)]
    fn insert(&mut self, position: [f32; 3], hash: u64) -> u32 {
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.table[slot];
            if entry == 0 {
                self.vertices.push(position);
                self.table[slot] = self.vertices.len() as u32;
                return self.vertices.len() as u32 - 1;
            }
            if self.vertices[entry as usize - 1] == position {
                return entry - 1;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Makes the table large enough for `more` vertices.
    #[inline]
    fn make_room(&mut self, more: usize) {
        let needed = self.vertices.len() + more;
        self.corners += more;
        if 8 * needed > 5 * self.table.len() {
            self.grow(needed);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        // A share of all corners as large as that of those so far will be vertices in the end: a sixth
        // of a closed mesh, all of a soup. It is little known at first, and a table larger than need
        // be costs cache misses.
        let share = needed as f64 / self.corners as f64;
        let in_the_end = (1.02 * share * self.expected as f64) as usize;
        let vertices = in_the_end.clamp(2 * needed, 4 * needed);
        self.vertices.reserve_exact(vertices - self.vertices.len());
        let mask = (8 * vertices / 5).next_power_of_two() - 1;
        let mut table = vec![0; mask + 1];
        for (i, vertex) in self.vertices.iter().enumerate() {
            let mut slot = self.hash(*vertex) as usize & mask;
            while table[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            table[slot] = i as u32 + 1;
        }
        self.table = table;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    /// The plain way: the same numbers by a map of positions.
    fn check(corners: &[[f32; 3]], expected: usize) {
        let mut map = BTreeMap::new();
        let numbers: Vec<u32> = corners
            .iter()
            .map(|corner| {
                let next = map.len() as u32;
                *map.entry(corner.map(|x| (x + 0.0).to_bits())).or_insert(next)
            })
            .collect();
        let mut triangles = Vec::new();
        let mut welder = Welder::for_corners(expected);
        welder.weld_triangles(corners, &mut triangles);
        assert_eq!(triangles.as_flattened(), numbers);
        assert_eq!(welder.vertices.len(), map.len());
    }

    #[test]
    fn zeros_are_equal_and_near_is_not() {
        check(&[[0.0, -0.0, 1.0], [-0.0, 0.0, 1.0], [0.0, 0.0, 1.0 + f32::EPSILON]], 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_a_map_says(
            corners in proptest::collection::vec(([0_i8..6, 0_i8..6, 0_i8..6], 1_u8..3), 0..700),
            expected in 0_usize..4000,
        ) {
            let mut corners: Vec<_> = corners
                .iter()
                .map(|(corner, scale)| corner.map(|x| f32::from(x) / f32::from(*scale)))
                .collect();
            corners.truncate(corners.len() / 3 * 3);
            check(&corners, expected);
        }
    }
}
