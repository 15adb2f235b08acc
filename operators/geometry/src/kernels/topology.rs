//! Topology: edges, pieces and handles of welded triangles.

use crate::kernels::weld::Welded;

/// Corners of triangles are numbered in 31 bits.
pub(crate) const MAX_TRIANGLES: usize = (1 << 31) / 3;

/// Counts over the triangles whose three places differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Topology {
    pub(crate) places: usize,
    pub(crate) edges: usize,
    pub(crate) triangles: usize,
    pub(crate) components: usize,
    /// Triangles with the places of an earlier one.
    pub(crate) duplicates: usize,
    /// Edges of one triangle.
    pub(crate) boundary_edges: usize,
    /// Edges of three triangles or more.
    pub(crate) nonmanifold_edges: usize,
    /// Edges of two triangles that run through it in opposite directions.
    pub(crate) oriented_edges: usize,
    /// Handles, where the surface is closed and of one component.
    pub(crate) genus: Option<usize>,
}

impl Topology {
    /// Counts; at most [`MAX_TRIANGLES`].
    pub(crate) fn of(welded: &Welded) -> Self {
        let triangles = &welded.triangles;
        let mut topology = Self {
            places: 0,
            edges: 0,
            triangles: triangles.iter().filter(|t| is_proper(t)).count(),
            components: 0,
            duplicates: 0,
            boundary_edges: 0,
            nonmanifold_edges: 0,
            oriented_edges: 0,
            genus: None,
        };
        let uses = edge_uses(welded);
        topology.count_edges(&uses, welded);
        if topology.is_watertight() && topology.components == 1 {
            let fans = count_fans(&uses, triangles) as i64;
            let euler = fans - topology.edges as i64 + topology.triangles as i64;
            topology.genus = usize::try_from((2 - euler) / 2).ok();
        }
        topology
    }

    pub(crate) fn is_watertight(&self) -> bool {
        self.triangles > 0 && self.oriented_edges == self.edges
    }

    pub(crate) fn oriented_share(&self) -> f64 {
        match self.edges - self.boundary_edges - self.nonmanifold_edges {
            0 => 1.0,
            pairs => self.oriented_edges as f64 / pairs as f64,
        }
    }

    pub(crate) fn euler_characteristic(&self) -> i64 {
        self.places as i64 - self.edges as i64 + self.triangles as i64
    }

    fn count_edges(&mut self, uses: &Buckets, welded: &Welded) {
        let mut is_used = vec![false; welded.places];
        let mut pieces = Pieces::new(welded.triangles.len());
        self.components = self.triangles;
        uses.for_each_group(|low, edge| {
            self.edges += 1;
            is_used[low] = true;
            is_used[(edge[0] >> 32) as usize] = true;
            match edge {
                [_] => self.boundary_edges += 1,
                [a, b] => self.oriented_edges += usize::from((a ^ b) & 1 == 1),
                _ => self.nonmanifold_edges += 1,
            }
            if edge.len() > 1 {
                self.duplicates += count_duplicates(edge, &welded.triangles);
            }
            for other in &edge[1..] {
                let is_new = pieces.unite(corner_of(edge[0]) / 3, corner_of(*other) / 3);
                self.components -= usize::from(is_new);
            }
        });
        self.places = is_used.iter().filter(|used| **used).count();
    }
}

/// Whether a triangle has three places.
fn is_proper([a, b, c]: &[u32; 3]) -> bool {
    a != b && b != c && c != a
}

/// For each place the edges from it to places of a higher number: that number, the number of the
/// corner the edge begins at in its triangle, and whether it comes down there, in one word.
fn edge_uses(welded: &Welded) -> Buckets {
    let corners = welded.triangles.iter().enumerate().filter(|(_, t)| is_proper(t));
    let uses = corners.flat_map(|(number, &t)| {
        (0..3).map(move |i| {
            let (from, to) = (t[i], t[(i + 1) % 3]);
            let corner = ((number * 3 + i) as u64) << 1;
            (from.min(to), u64::from(from.max(to)) << 32 | corner | u64::from(from > to))
        })
    });
    Buckets::new(welded.places, uses)
}

fn corner_of(edge_use: u64) -> u32 {
    edge_use as u32 >> 1
}

/// How many of the triangles at an edge have the third place of one before, and have it with the
/// highest number of the three: so that each triangle is looked at at one of its edges.
fn count_duplicates(edge: &[u64], triangles: &[[u32; 3]]) -> usize {
    let highest = |edge_use: &u64| {
        let corner = corner_of(*edge_use) as usize;
        let third = triangles[corner / 3][(corner % 3 + 2) % 3];
        (u64::from(third) > edge_use >> 32).then_some(third)
    };
    if let [a, b] = edge {
        let (a, b) = (highest(a), highest(b));
        return usize::from(a.is_some() && a == b);
    }
    let mut thirds: Vec<u32> = edge.iter().filter_map(highest).collect();
    thirds.sort_unstable();
    thirds.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

/// Fans of triangles around places. In a closed surface a place where two sheets touch has two, and
/// the formula of Euler is about those.
fn count_fans(uses: &Buckets, triangles: &[[u32; 3]]) -> usize {
    const DONE: u32 = u32::MAX;
    let mut opposite = vec![DONE; triangles.len() * 3];
    uses.for_each_group(|_, edge| {
        if let [a, b] = edge {
            opposite[corner_of(*a) as usize] = corner_of(*b);
            opposite[corner_of(*b) as usize] = corner_of(*a);
        }
    });
    let mut fans = 0;
    for start in 0..opposite.len() {
        let mut corner = start;
        fans += usize::from(opposite[corner] != DONE);
        while opposite[corner] != DONE {
            // The edge that leaves a corner comes in at the one after it in the triangle beyond.
            let beyond = std::mem::replace(&mut opposite[corner], DONE) as usize;
            corner = beyond - beyond % 3 + (beyond + 1) % 3;
        }
    }
    fans
}

/// Words in a bucket for each key, each bucket sorted: a counting sort by key, then small sorts.
struct Buckets {
    starts: Vec<u32>,
    words: Vec<u64>,
}

impl Buckets {
    fn new(keys: usize, items: impl Iterator<Item = (u32, u64)> + Clone) -> Self {
        let mut starts = vec![0u32; keys + 1];
        items.clone().for_each(|(key, _)| starts[key as usize] += 1);
        let mut total = 0;
        for start in &mut starts {
            // Ends first: filling from the back turns them into beginnings.
            total += *start;
            *start = total;
        }
        let mut words = vec![0; total as usize];
        items.for_each(|(key, word)| {
            let at = &mut starts[key as usize];
            *at -= 1;
            words[*at as usize] = word;
        });
        let mut buckets = Self { starts, words };
        for key in 0..keys {
            let range = buckets.range(key);
            buckets.words[range].sort_unstable();
        }
        buckets
    }

    fn range(&self, key: usize) -> std::ops::Range<usize> {
        self.starts[key] as usize..self.starts[key + 1] as usize
    }

    /// Calls `visit` with the key and the words that agree in their upper half.
    fn for_each_group(&self, mut visit: impl FnMut(usize, &[u64])) {
        for key in 0..self.starts.len() - 1 {
            self.words[self.range(key)]
                .chunk_by(|a, b| a >> 32 == b >> 32)
                .for_each(|group| visit(key, group));
        }
    }
}

/// Sets of triangles (Tarjan's union-find, by number and with path halving).
struct Pieces(Vec<u32>);

impl Pieces {
    fn new(count: usize) -> Self {
        Self((0..count as u32).collect())
    }

    fn root(&mut self, mut item: u32) -> u32 {
        while self.0[item as usize] != item {
            let above = self.0[self.0[item as usize] as usize];
            self.0[item as usize] = above;
            item = above;
        }
        item
    }

    /// Says whether the two were apart.
    fn unite(&mut self, a: u32, b: u32) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
        a != b
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::weld::weld;
    use crate::testing;
    use std::collections::BTreeMap;
    use voxflow_contract::{Random, TriMesh};

    /// Edges by a map, pieces by flooding.
    fn plain_counts(triangles: &[[u32; 3]]) -> [usize; 6] {
        let proper: Vec<_> = triangles.iter().filter(|t| is_proper(t)).collect();
        let mut edges = BTreeMap::<[u32; 2], Vec<(usize, bool)>>::new();
        let mut sets = BTreeMap::<Vec<u32>, usize>::new();
        for (n, t) in proper.iter().enumerate() {
            for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
                edges.entry([a.min(b), a.max(b)]).or_default().push((n, a > b));
            }
            let mut set = t.to_vec();
            set.sort_unstable();
            *sets.entry(set).or_default() += 1;
        }
        let mut piece: Vec<usize> = (0..proper.len()).collect();
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for uses in edges.values() {
                let least = uses.iter().map(|(n, _)| piece[*n]).min().expect("a use");
                for (n, _) in uses {
                    is_moving |= std::mem::replace(&mut piece[*n], least) != least;
                }
            }
        }
        let pieces = piece.iter().enumerate().filter(|(n, piece)| n == *piece).count();
        let with = |test: &dyn Fn(&Vec<(usize, bool)>) -> bool| {
            edges.values().filter(|uses| test(uses)).count()
        };
        [
            edges.len(),
            pieces,
            sets.values().map(|count| count - 1).sum(),
            with(&|uses| uses.len() == 1),
            with(&|uses| uses.len() > 2),
            with(&|uses| uses.len() == 2 && uses[0].1 != uses[1].1),
        ]
    }

    #[test]
    fn random_soups_are_counted_as_by_maps() {
        for round in 0..300 {
            let mut random = Random::new(round, &["topology"]);
            let places = 3 + random.below(12) as usize;
            let count = random.below(40) as usize;
            let triangles: Vec<[u32; 3]> = (0..count)
                .map(|_| [0; 3].map(|_: u32| random.below(places as u64) as u32))
                .collect();
            let expected = plain_counts(&triangles);
            let t = Topology::of(&Welded { triangles, places });
            let found = [
                t.edges,
                t.components,
                t.duplicates,
                t.boundary_edges,
                t.nonmanifold_edges,
                t.oriented_edges,
            ];
            assert_eq!(found, expected, "{round}");
        }
    }

    #[test]
    fn handles_are_counted_where_sheets_touch_too() {
        let genus =
            |mesh: &TriMesh| Topology::of(&weld(mesh, &mesh.bounds().expect("a box"))).genus;
        assert_eq!(genus(&testing::ball(1.0, 2)), Some(0));
        // Two places of one ball moved into one: still a ball, that touches itself.
        let mut pinched = testing::ball(1.0, 2);
        pinched.vertices[1] = pinched.vertices[0];
        let topology = Topology::of(&weld(&pinched, &pinched.bounds().expect("a box")));
        assert_eq!((topology.euler_characteristic(), topology.genus), (1, Some(0)));
        let ring = testing::torus(1.0, 0.3, 12);
        assert_eq!(genus(&ring), Some(1));
    }
}
