//! `WindingTree`: triangles in clusters, each with what its winding number looks like from afar.

use std::cmp::Ordering;
use std::ops::Range;

use crate::kernels::separation::{cross, difference};

/// The corners of a triangle.
pub(crate) type Triangle = [[f64; 3]; 3];

/// Triangles of a cluster that is not cut any more.
const LEAF: usize = 8;

/// A tree of clusters of triangles. It does not depend on the order in which they come, nor on which
/// corner of one is the first.
pub(crate) struct WindingTree {
    /// Root first; the first child of a node is the next one.
    pub(crate) nodes: Vec<Node>,
    /// In the order of the leaves.
    pub(crate) triangles: Vec<Triangle>,
}

/// A cluster.
pub(crate) struct Node {
    /// The mean of the triangles' centroids, weighed by area.
    pub(crate) center: [f64; 3],
    /// Distance of the farthest corner from the centre.
    pub(crate) radius: f64,
    /// Sum of the triangles' normals, as long as their areas.
    pub(crate) dipole: [f64; 3],
    /// Sum of normal times centroid less centre, as what a square form needs of it: xx, yy, zz, and
    /// xy, xz, yz with their mirror images.
    pub(crate) moment: [f64; 6],
    /// Its triangles.
    pub(crate) triangles: Range<usize>,
    /// The number of its second child, 0 for a leaf.
    pub(crate) second_child: usize,
}

impl WindingTree {
    /// Triangles without area are left out: they wind round nothing.
    pub(crate) fn new(mut triangles: Vec<Triangle>) -> Self {
        triangles.retain(|triangle| normal(triangle) != [0.0; 3]);
        triangles.iter_mut().for_each(begin_at_smallest);
        triangles.sort_unstable_by(compare);
        let mut tree = Self { nodes: Vec::new(), triangles };
        if !tree.triangles.is_empty() {
            tree.add(0..tree.triangles.len());
        }
        tree
    }

    fn add(&mut self, range: Range<usize>) {
        let number = self.nodes.len();
        self.nodes.push(Node::new(&self.triangles[range.clone()], range.clone()));
        if range.len() <= LEAF {
            return;
        }
        let middle = range.start + range.len() / 2;
        let triangles = &mut self.triangles[range.clone()];
        let axis = widest_axis(triangles);
        let along = |triangle: &Triangle| triangle[0][axis] + triangle[1][axis] + triangle[2][axis];
        // A whole order, with equal places put in the triangles' own: so the cut and every sum over
        // a half are always the same ones.
        triangles
            .sort_unstable_by(|a, b| along(a).total_cmp(&along(b)).then_with(|| compare(a, b)));
        self.add(range.start..middle);
        self.nodes[number].second_child = self.nodes.len();
        self.add(middle..range.end);
    }
}

impl Node {
    fn new(triangles: &[Triangle], range: Range<usize>) -> Self {
        let (mut center, mut area, mut dipole) = ([0.0; 3], 0.0, [0.0; 3]);
        for triangle in triangles {
            let (normal, centroid) = (normal(triangle), centroid(triangle));
            let share = normal.iter().map(|n| n * n).sum::<f64>().sqrt();
            area += share;
            for axis in 0..3 {
                center[axis] += share * centroid[axis];
                dipole[axis] += normal[axis];
            }
        }
        // Areas so small that they are no numbers any more.
        let center = if area > 0.0 { center.map(|c| c / area) } else { centroid(&triangles[0]) };
        let (mut square, mut moment) = (0.0, [0.0; 6]);
        for triangle in triangles {
            let (n, arm) = (normal(triangle), difference(centroid(triangle), center));
            let terms = [
                n[0] * arm[0],
                n[1] * arm[1],
                n[2] * arm[2],
                n[0] * arm[1] + n[1] * arm[0],
                n[0] * arm[2] + n[2] * arm[0],
                n[1] * arm[2] + n[2] * arm[1],
            ];
            moment.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            for corner in triangle {
                let arm = difference(*corner, center);
                square = f64::max(square, arm.iter().map(|a| a * a).sum());
            }
        }
        let radius = square.sqrt();
        Self { center, radius, dipole, moment, triangles: range, second_child: 0 }
    }
}

/// Half the product of two edges.
fn normal([a, b, c]: &Triangle) -> [f64; 3] {
    cross(difference(*b, *a), difference(*c, *a)).map(|n| 0.5 * n)
}

fn centroid([a, b, c]: &Triangle) -> [f64; 3] {
    [0, 1, 2].map(|axis| (a[axis] + b[axis] + c[axis]) / 3.0)
}

/// Turns a triangle so that its smallest corner is the first; it stays the same seen from one side.
fn begin_at_smallest(triangle: &mut Triangle) {
    let corner = |i: usize| triangle[i].iter();
    let smaller = |i: usize, j: usize| {
        let order = corner(i).zip(corner(j)).map(|(a, b)| a.total_cmp(b));
        if order.fold(Ordering::Equal, Ordering::then) == Ordering::Less { i } else { j }
    };
    let first = smaller(smaller(0, 1), 2);
    triangle.rotate_left(first);
}

fn compare(a: &Triangle, b: &Triangle) -> Ordering {
    let pairs = a.as_flattened().iter().zip(b.as_flattened());
    pairs.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn widest_axis(triangles: &[Triangle]) -> usize {
    let extent = |axis: usize| {
        let along = triangles.iter().map(|triangle| centroid(triangle)[axis]);
        let (low, high) = along
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        high - low
    };
    let wider = |a: usize, b: usize| if extent(b) > extent(a) { b } else { a };
    wider(wider(0, 1), 2)
}
