//! Rules that hold for every solid of every class.

use std::collections::{BTreeMap, BTreeSet};

use voxflow_contract::{Bounds, ContentHash, TriMesh};

use super::{SolidClass, solid};

/// Objects of each class that the rules are checked on.
const OBJECTS: u64 = 300;
const SEED: u64 = 11;

fn every_solid(mut check: impl FnMut(SolidClass, u64, &TriMesh)) {
    for class in SolidClass::ALL {
        for index in 0..OBJECTS {
            check(*class, index, &solid(*class, SEED, index));
        }
    }
}

/// The number of the part that each vertex belongs to: parts share no vertices.
fn parts_of_vertices(mesh: &TriMesh) -> Vec<usize> {
    let mut part: Vec<usize> = (0..mesh.vertices.len()).collect();
    fn root(part: &mut [usize], mut vertex: usize) -> usize {
        while part[vertex] != vertex {
            part[vertex] = part[part[vertex]];
            vertex = part[vertex];
        }
        vertex
    }
    for triangle in &mesh.triangles {
        let first = root(&mut part, triangle[0] as usize);
        for vertex in &triangle[1..] {
            let other = root(&mut part, *vertex as usize);
            part[other] = first;
        }
    }
    (0..part.len()).map(|vertex| root(&mut part, vertex)).collect()
}

fn six_fold_volume(mesh: &TriMesh, triangle: usize) -> f64 {
    let [a, b, c] = mesh.corners(triangle).map(|corner| corner.map(f64::from));
    super::vector::dot(a, super::vector::cross(b, c))
}

#[test]
fn every_part_is_watertight() {
    every_solid(|class, index, mesh| {
        let mut edges: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for [a, b, c] in &mesh.triangles {
            for edge in [(*a, *b), (*b, *c), (*c, *a)] {
                *edges.entry(edge).or_default() += 1;
            }
        }
        for ((a, b), count) in &edges {
            assert_ne!(a, b, "{class} {index}");
            assert_eq!(
                (*count, edges.get(&(*b, *a))),
                (1, Some(&1)),
                "{class} {index}: edge {a} {b}"
            );
        }
    });
}

#[test]
fn every_part_faces_outward() {
    every_solid(|class, index, mesh| {
        let parts = parts_of_vertices(mesh);
        let mut volumes: BTreeMap<usize, f64> = BTreeMap::new();
        for triangle in 0..mesh.triangles.len() {
            let part = parts[mesh.triangles[triangle][0] as usize];
            *volumes.entry(part).or_default() += six_fold_volume(mesh, triangle) / 6.0;
        }
        for (part, volume) in volumes {
            let at = mesh.vertices[part];
            assert!(volume > 1e-7, "{class} {index}: volume {volume} at {at:?}");
        }
    });
}

#[test]
fn sizes_and_counts_are_sane() {
    every_solid(|class, index, mesh| {
        assert!(mesh.is_valid(), "{class} {index}");
        let triangles = mesh.triangles.len();
        assert!((60..=3500).contains(&triangles), "{class} {index}: {triangles} triangles");
        assert!(12 * (triangles + mesh.vertices.len()) < 64 << 10);
        let extents = mesh.bounds().expect("not empty").extents();
        let range = if class == SolidClass::Airplane { 0.5..80.0 } else { 0.1..13.0 };
        assert!(extents.iter().all(|x| range.contains(x)), "{class} {index}: {extents:?}");
    });
}

/// Boxes of parts that overlap are joined; one object remains.
#[test]
fn parts_hang_together() {
    every_solid(|class, index, mesh| {
        let parts = parts_of_vertices(mesh);
        let mut of_part: BTreeMap<usize, TriMesh> = BTreeMap::new();
        for (vertex, part) in mesh.vertices.iter().zip(&parts) {
            of_part.entry(*part).or_default().vertices.push(*vertex);
        }
        let mut apart: Vec<Bounds> = of_part.values().filter_map(TriMesh::bounds).collect();
        let mut joined = vec![apart.swap_remove(0)];
        while let Some(i) = apart.iter().position(|a| joined.iter().any(|b| overlap(a, b))) {
            joined.push(apart.swap_remove(i));
        }
        assert!(
            apart.is_empty(),
            "{class} {index}: {} parts float, as {:?}",
            apart.len(),
            apart[0]
        );
    });
}

fn overlap(a: &Bounds, b: &Bounds) -> bool {
    (0..3).all(|axis| a.min[axis] <= b.max[axis] && b.min[axis] <= a.max[axis])
}

#[test]
fn no_two_solids_are_alike() {
    let mut seen = BTreeSet::new();
    every_solid(|class, index, mesh| {
        let bytes: Vec<u8> =
            mesh.vertices.as_flattened().iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(seen.insert(ContentHash::of(&bytes)), "{class} {index} was there before");
    });
    assert_ne!(solid(SolidClass::Chair, 1, 1), solid(SolidClass::Chair, 2, 1));
    assert_eq!(solid(SolidClass::Chair, 1, 1), solid(SolidClass::Chair, 1, 1));
}

/// Cells along each axis of the crude grids below.
const CELLS: usize = 24;

/// Points along each axis that the grids are sampled at.
const POINTS: usize = 2 * CELLS;

/// Which cells of a cube about the object the union reaches into, by winding number at eight points
/// a cell.
fn occupancy(mesh: &TriMesh) -> Vec<bool> {
    let bounds = mesh.bounds().expect("not empty");
    let (center, step) = (bounds.center(), bounds.longest() / POINTS as f64);
    let at = |i: usize, axis: usize| {
        // A shift off the symmetry planes keeps rays off edges.
        center[axis] + (i as f64 + 0.5 - CELLS as f64 + 1e-4 * (1.0 + axis as f64)) * step
    };
    let near = |low: f64, high: f64, axis: usize| {
        (0..POINTS).filter(move |i| (low..=high).contains(&at(*i, axis)))
    };
    let mut crossings: Vec<Vec<(f64, i32)>> = vec![Vec::new(); POINTS * POINTS];
    for triangle in 0..mesh.triangles.len() {
        let corners = mesh.corners(triangle).map(|corner| corner.map(f64::from));
        let (low, high) = corners.iter().fold(([f64::MAX; 3], [f64::MIN; 3]), |(low, high), c| {
            (std::array::from_fn(|i| c[i].min(low[i])), std::array::from_fn(|i| c[i].max(high[i])))
        });
        for x in near(low[0], high[0], 0) {
            for y in near(low[1], high[1], 1) {
                crossings[x * POINTS + y].extend(crossing(&corners, at(x, 0), at(y, 1)));
            }
        }
    }
    let mut cells = vec![false; CELLS.pow(3)];
    for (ray, crossings) in crossings.iter().enumerate() {
        for z in 0..POINTS {
            let behind = crossings.iter().filter(|(depth, _)| *depth < at(z, 2));
            let (x, y) = (ray / POINTS / 2, ray % POINTS / 2);
            cells[(x * CELLS + y) * CELLS + z / 2] |=
                behind.map(|(_, sign)| sign).sum::<i32>() != 0;
        }
    }
    cells
}

/// Where a line along z meets a triangle, and from which side.
fn crossing(corners: &[[f64; 3]; 3], x: f64, y: f64) -> Option<(f64, i32)> {
    let area = |a: &[f64; 3], b: &[f64; 3]| (a[0] - x) * (b[1] - y) - (a[1] - y) * (b[0] - x);
    let [a, b, c] = corners;
    let weights = [area(b, c), area(c, a), area(a, b)];
    let whole: f64 = weights.iter().sum();
    let is_hit = weights.iter().all(|w| *w > 0.0) || weights.iter().all(|w| *w < 0.0);
    let depth = (0..3).map(|i| weights[i] * corners[i][2]).sum::<f64>() / whole;
    is_hit.then_some((depth, if whole > 0.0 { 1 } else { -1 }))
}

/// Overlap of two grids over their union.
fn iou(a: &[bool], b: &[bool]) -> f64 {
    let both = a.iter().zip(b).filter(|(a, b)| **a && **b).count();
    let either = a.iter().zip(b).filter(|(a, b)| **a || **b).count();
    both as f64 / either.max(1) as f64
}

/// The best that one shape for the whole class can do, over all thresholds of the mean.
fn mean_shape_iou(grids: &[Vec<bool>]) -> f64 {
    let share = |cell: usize| grids.iter().filter(|g| g[cell]).count() as f64 / grids.len() as f64;
    let mean: Vec<f64> = (0..CELLS.pow(3)).map(share).collect();
    [0.2, 0.3, 0.4, 0.5]
        .map(|threshold| {
            let shape: Vec<bool> = mean.iter().map(|share| *share > threshold).collect();
            grids.iter().map(|grid| iou(grid, &shape)).sum::<f64>() / grids.len() as f64
        })
        .into_iter()
        .fold(0.0, f64::max)
}

#[test]
fn the_mean_of_a_class_is_a_poor_guess_of_its_members() {
    for class in SolidClass::ALL {
        let grids: Vec<_> = (0..48).map(|index| occupancy(&solid(*class, SEED, index))).collect();
        assert!(grids.iter().all(|grid| grid.iter().any(|cell| *cell)), "{class}: an empty grid");
        let guess = mean_shape_iou(&grids);
        println!("{class}: mean-shape IoU {guess:.3}");
        assert!(guess < 0.55, "{class}: the mean shape reaches {guess}");
    }
}

#[test]
fn proportions_spread_by_two_and_more() {
    for class in SolidClass::ALL {
        let mut aspects: [Vec<f64>; 2] = Default::default();
        for index in 0..OBJECTS {
            let [x, y, z] = solid(*class, SEED, index).bounds().expect("not empty").extents();
            aspects[0].push(y / x);
            aspects[1].push(z / x);
        }
        let spread = aspects.map(|mut aspect| {
            aspect.sort_by(f64::total_cmp);
            aspect[OBJECTS as usize * 9 / 10] / aspect[OBJECTS as usize / 10]
        });
        println!(
            "{class}: tenth to ninetieth percentile of y/x {:.2}, z/x {:.2}",
            spread[0], spread[1]
        );
        assert!(spread[0].max(spread[1]) > 2.0, "{class}: {spread:?}");
    }
}
