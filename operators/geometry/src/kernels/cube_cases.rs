//! Cases of a cube: for each choice of inside corners, the triangles that part them from the rest.

use std::sync::LazyLock;

/// Most triangles of a case.
pub(crate) const MOST: usize = 5;

/// The twelve edges: the axis they run along, and the corner they begin at.
///
/// Corner number: bit 0 is x, bit 1 is y, bit 2 is z.
pub(crate) const EDGES: [(usize, usize); 12] = [
    (0, 0b000),
    (0, 0b010),
    (0, 0b100),
    (0, 0b110),
    (1, 0b000),
    (1, 0b001),
    (1, 0b100),
    (1, 0b101),
    (2, 0b000),
    (2, 0b001),
    (2, 0b010),
    (2, 0b011),
];

/// Triangles of one case, as numbers of edges, counter-clockwise seen from outside.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Case {
    count: u8,
    triangles: [[u8; 3]; MOST],
}

impl Case {
    /// Its triangles.
    #[inline(always)]
    pub(crate) fn triangles(&self) -> &[[u8; 3]] {
        &self.triangles[..usize::from(self.count)]
    }
}

/// All cases; bit c of a case's number says that corner c is inside.
///
/// Made by one rule for each face, so that two cubes agree about the face they share: going round it,
/// each stretch of inside corners is cut off by a segment of its own. On a face with two opposite
/// corners inside that parts the two: what touches along an edge only is apart, as with neighbours
/// across faces. Segments close into loops, and a loop is a fan of triangles, begun where no edge of
/// the fan lies in a face (there the cube beyond could have the same one, and the edge four
/// triangles).
pub(crate) static CASES: LazyLock<[Case; 256]> = LazyLock::new(|| std::array::from_fn(case));

fn case(inside: usize) -> Case {
    let mut next = segments(inside);
    let mut case = Case::default();
    for start in 0..12 {
        let (mut ring, mut at) = (vec![], start);
        while let Some(to) = next[at].take() {
            ring.push(at as u8);
            at = to;
        }
        for triangle in fan(&ring) {
            case.triangles[usize::from(case.count)] = triangle;
            case.count += 1;
        }
    }
    case
}

/// For each edge that is crossed, the edge its loop goes on to.
fn segments(inside: usize) -> [Option<usize>; 12] {
    let is_in = |corner: usize| inside >> corner & 1 == 1;
    let mut next = [None; 12];
    for face in faces() {
        for i in 0..4 {
            if is_in(face[i]) || !is_in(face[(i + 1) % 4]) {
                continue;
            }
            let enters = edge_between(face[i], face[(i + 1) % 4]);
            let mut last = (i + 1) % 4;
            while is_in(face[(last + 1) % 4]) {
                last = (last + 1) % 4;
            }
            next[edge_between(face[last], face[(last + 1) % 4])] = Some(enters);
        }
    }
    next
}

/// Corners of the six faces, counter-clockwise seen from outside.
fn faces() -> [[usize; 4]; 6] {
    std::array::from_fn(|number| {
        let (axis, is_far) = (number / 2, number % 2);
        let (second, third) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        let first = is_far << axis;
        let [a, b, c, d] = [first, first | second, first | second | third, first | third];
        if is_far == 1 { [a, b, c, d] } else { [d, c, b, a] }
    })
}

/// The edge between two corners that differ in one bit.
fn edge_between(a: usize, b: usize) -> usize {
    let along = |axis: usize| 1 << axis == a ^ b;
    EDGES.iter().position(|(axis, from)| along(*axis) && *from == a & b).unwrap_or(EDGES.len())
}

/// A ring of edges as triangles about one of its corners.
fn fan(ring: &[u8]) -> Vec<[u8; 3]> {
    let count = ring.len();
    let chords = |start: usize| (2..count.max(3) - 1).map(move |i| (start, (start + i) % count));
    let is_clear = |start: &usize| chords(*start).all(|(a, b)| !share_face(ring[a], ring[b]));
    let start = (0..count).find(is_clear).unwrap_or(0);
    let at = |i: usize| ring[(start + i) % count];
    (1..count.max(2) - 1).map(|i| [at(0), at(i + 1), at(i)]).collect()
}

/// Whether two edges lie in one face.
fn share_face(a: u8, b: u8) -> bool {
    let sides = |edge: u8| {
        let (axis, from) = EDGES[usize::from(edge)];
        [0, 1, 2].map(|other| (other != axis).then_some(from >> other & 1))
    };
    let (a, b) = (sides(a), sides(b));
    (0..3).any(|axis| a[axis].is_some() && a[axis] == b[axis])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn crossed_edges_are_used_and_others_are_not() {
        for (inside, case) in CASES.iter().enumerate() {
            for (number, (axis, from)) in EDGES.iter().enumerate() {
                let is_crossed = (inside >> from ^ inside >> (from | 1 << axis)) & 1 == 1;
                let is_used = case.triangles().as_flattened().contains(&(number as u8));
                assert_eq!(is_crossed, is_used, "case {inside:08b}, edge {number}");
            }
        }
    }

    #[test]
    fn inner_edges_are_paired_and_the_rest_lies_in_faces_once() {
        for (inside, case) in CASES.iter().enumerate() {
            let mut uses = BTreeMap::<[u8; 2], i32>::new();
            for t in case.triangles() {
                for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
                    *uses.entry([a, b]).or_default() += 1;
                    *uses.entry([b, a]).or_default() -= 1;
                }
            }
            for ([a, b], balance) in uses {
                assert_eq!(balance != 0, share_face(a, b), "case {inside:08b}, {a} to {b}");
                assert!(balance.abs() <= 1);
            }
        }
    }

    #[test]
    fn turning_inside_out_turns_what_the_faces_do_not_part() {
        assert_eq!(CASES[0].triangles().len() + CASES[255].triangles().len(), 0);
        // One corner inside: its triangle looks away from it, as does the other one's towards it.
        let [t] = CASES[1].triangles() else { panic!("one triangle") };
        assert_eq!(*t.iter().min().expect("three"), 0);
        let turned: Vec<u8> = t.iter().rev().copied().collect();
        let [u] = CASES[254].triangles() else { panic!("one triangle") };
        assert!((0..3).any(|shift| (0..3).all(|i| u[(i + shift) % 3] == turned[i])));
    }
}
