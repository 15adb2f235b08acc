//! Nearest: how far the nearest neighbours of each point of a cloud are.

/// Points in a leaf of the tree.
const LEAF: usize = 12;

/// The mean distance of every point to the `count` points nearest to it, itself left out; points at
/// one place are neighbours at distance 0. With fewer other points, to all of them.
///
/// A k-d tree (Bentley 1975) over the points, halved at the median of the widest axis. Only distances
/// come out, so neither the order of the points nor that of the search shows. Cost: some microseconds
/// a point for 20 neighbours; 30 bytes a point. Points must be finite.
pub(crate) fn mean_neighbour_distances(points: &[[f32; 3]], count: usize) -> Vec<f64> {
    let count = count.min(points.len().saturating_sub(1));
    let mut distances = vec![0.0; points.len()];
    if count == 0 {
        return distances;
    }
    let tree = Tree::new(points);
    let mut nearest = Nearest { squares: Vec::with_capacity(count + 1), count };
    for (position, number) in tree.numbers.iter().enumerate() {
        nearest.squares.clear();
        tree.search(0, position, &mut nearest);
        let sum: f64 = nearest.squares.iter().map(|square| square.sqrt()).sum();
        distances[*number as usize] = sum / count as f64;
    }
    distances
}

/// A part of the points.
enum Node {
    /// Points from one position to another.
    Leaf(usize, usize),
    /// Points up to `border` along `axis` in the next node, from it on in node `far`.
    Inner { axis: usize, border: f32, far: usize },
}

struct Tree {
    /// In the order of the leaves.
    points: Vec<[f32; 3]>,
    /// Their numbers before.
    numbers: Vec<u32>,
    nodes: Vec<Node>,
}

impl Tree {
    fn new(points: &[[f32; 3]]) -> Self {
        let mut numbers: Vec<u32> = (0..points.len() as u32).collect();
        let mut nodes = vec![];
        divide(points, &mut numbers, 0, &mut nodes);
        let points = numbers.iter().map(|number| points[*number as usize]).collect();
        Self { points, numbers, nodes }
    }

    /// Offers to `nearest` what below `node` may be nearer to the point at `position`.
    fn search(&self, node: usize, position: usize, nearest: &mut Nearest) {
        let point = self.points[position];
        match self.nodes[node] {
            Node::Leaf(first, end) => {
                for other in (first..end).filter(|other| *other != position) {
                    nearest.offer(square_distance(point, self.points[other]));
                }
            }
            Node::Inner { axis, border, far } => {
                let beyond = f64::from(point[axis]) - f64::from(border);
                let (first, second) = if beyond < 0.0 { (node + 1, far) } else { (far, node + 1) };
                self.search(first, position, nearest);
                if nearest.may_take(beyond * beyond) {
                    self.search(second, position, nearest);
                }
            }
        }
    }
}

/// Sorts `numbers` into leaves, the first of which begins at position `start`.
fn divide(points: &[[f32; 3]], numbers: &mut [u32], start: usize, nodes: &mut Vec<Node>) {
    if numbers.len() <= LEAF {
        nodes.push(Node::Leaf(start, start + numbers.len()));
        return;
    }
    let axis = widest_axis(points, numbers);
    let along = |number: &u32| points[*number as usize][axis];
    let middle = numbers.len() / 2;
    numbers.select_nth_unstable_by(middle, |a, b| along(a).total_cmp(&along(b)));
    let border = along(&numbers[middle]);
    let node = nodes.len();
    nodes.push(Node::Inner { axis, border, far: 0 });
    let (near, rest) = numbers.split_at_mut(middle);
    divide(points, near, start, nodes);
    let far = nodes.len();
    nodes[node] = Node::Inner { axis, border, far };
    divide(points, rest, start + middle, nodes);
}

fn widest_axis(points: &[[f32; 3]], numbers: &[u32]) -> usize {
    let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
    for number in numbers {
        for axis in 0..3 {
            low[axis] = low[axis].min(points[*number as usize][axis]);
            high[axis] = high[axis].max(points[*number as usize][axis]);
        }
    }
    let width = |axis: &usize| high[*axis] - low[*axis];
    [0, 1, 2].into_iter().max_by(|a, b| width(a).total_cmp(&width(b))).unwrap_or(0)
}

fn square_distance(a: [f32; 3], b: [f32; 3]) -> f64 {
    let square = |axis: usize| (f64::from(a[axis]) - f64::from(b[axis])).powi(2);
    square(0) + square(1) + square(2)
}

/// The smallest squares so far, in order.
struct Nearest {
    squares: Vec<f64>,
    count: usize,
}

impl Nearest {
    fn may_take(&self, square: f64) -> bool {
        self.squares.len() < self.count || self.squares.last().is_some_and(|last| square < *last)
    }

    fn offer(&mut self, square: f64) {
        if !self.may_take(square) {
            return;
        }
        self.squares.truncate(self.count - 1);
        let mut at = self.squares.len();
        self.squares.push(square);
        while at > 0 && self.squares[at - 1] > square {
            self.squares[at] = self.squares[at - 1];
            at -= 1;
        }
        self.squares[at] = square;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voxflow_contract::Random;

    fn plain(points: &[[f32; 3]], count: usize) -> Vec<f64> {
        let count = count.min(points.len() - 1);
        let mean = |i: usize| {
            let others = (0..points.len()).filter(|j| *j != i);
            let mut squares: Vec<_> =
                others.map(|j| square_distance(points[i], points[j])).collect();
            squares.sort_by(f64::total_cmp);
            let sum: f64 = squares[..count].iter().map(|square| square.sqrt()).sum();
            sum / count.max(1) as f64
        };
        (0..points.len()).map(mean).collect()
    }

    #[test]
    fn distances_are_those_to_all_others_sorted() {
        for (size, count) in [(1, 3), (2, 1), (13, 40), (300, 1), (500, 16)] {
            let mut random = Random::new(size, &["nearest"]);
            // On a coarse lattice many points have one place, or one distance.
            for lattice in [0.0f64, 0.25] {
                let mut coordinate = || match random.unit() {
                    x if lattice > 0.0 => (x / lattice).round() * lattice,
                    x => x,
                };
                let points: Vec<[f32; 3]> =
                    (0..size).map(|_| [0; 3].map(|_: i32| coordinate() as f32)).collect();
                let found = mean_neighbour_distances(&points, count);
                assert_eq!(found, plain(&points, count), "{size} {count} {lattice}");
            }
        }
    }

    #[test]
    fn many_points_at_one_place_end() {
        let distances = mean_neighbour_distances(&vec![[1.0; 3]; 200_000], 20);
        assert!(distances.iter().all(|distance| *distance == 0.0));
    }
}
