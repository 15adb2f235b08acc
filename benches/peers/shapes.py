"""Makes the synthetic meshes of the comparison: shapes.py OUT [--sizes 1k 20k 100k 300k 1M].

Spheres, tori, dented spheres, arrays of thin boxes (all watertight) and a soup of loose triangles, each as OFF, OBJ,
binary PLY and binary STL. Nothing of voxflow is used. The same call gives the same bytes.
"""

import argparse
import math
import pathlib

import numpy as np

SIZES = {"1k": 1_000, "20k": 20_000, "100k": 100_000, "300k": 300_000, "1M": 1_000_000, "5M": 5_000_000}


def sphere(triangles):
    """Icosahedron whose faces are cut into n x n, on the unit sphere: 20 n^2 triangles."""
    n = max(1, round(math.sqrt(triangles / 20)))
    g = (1 + math.sqrt(5)) / 2
    corners = np.array(
        [[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g],
         [0, -1, -g], [0, 1, -g], [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]]) / math.hypot(1, g)
    faces = np.array(
        [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2],
         [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5],
         [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]])
    number = {}
    for i in range(n + 1):
        for j in range(n + 1 - i):
            number[i, j] = len(number)
    i, j = np.array(list(number)).T
    weights = np.stack([n - i - j, i, j], axis=1) / n
    local = [(number[i, j], number[i + 1, j], number[i, j + 1]) for i, j in number if i + j < n]
    local += [(number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]) for i, j in number if i + j < n - 1]
    points = np.concatenate([weights @ corners[face] for face in faces])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    indices = np.concatenate([np.array(local) + k * len(number) for k in range(20)])
    return welded(points, indices)


def welded(points, indices):
    """One vertex for all points that are equal but for rounding."""
    _, first, inverse = np.unique(np.round(points * 1e7).astype(np.int64), axis=0, return_index=True, return_inverse=True)
    return points[first], inverse.reshape(-1)[indices]


def torus(triangles):
    """Radii 1 and 0.4, about an axis that is parallel to none of the grid."""
    v = max(3, round(math.sqrt(triangles / 5)))
    u = max(3, round(triangles / (2 * v)))
    a, b = np.meshgrid(np.arange(u), np.arange(v), indexing="ij")
    alpha, beta = 2 * math.pi * a / u, 2 * math.pi * b / v
    ring = 1 + 0.4 * np.cos(beta)
    points = np.stack([ring * np.cos(alpha), 0.4 * np.sin(beta), ring * np.sin(alpha)], axis=-1).reshape(-1, 3)
    at = lambda a, b: (a % u) * v + b % v
    quads = [at(a, b), at(a, b + 1), at(a + 1, b + 1), at(a + 1, b)]
    quads = np.stack(quads, axis=-1).reshape(-1, 4)
    return points @ turn(0.4, 0.3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def turn(about_x, about_z):
    c, s, d, t = math.cos(about_x), math.sin(about_x), math.cos(about_z), math.sin(about_z)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[d, -t, 0], [t, d, 0], [0, 0, 1]])


def dented(triangles):
    """A sphere with waves and rough skin; still the graph of a radius, so it does not cut itself."""
    points, indices = sphere(triangles)
    x, y, z = points.T
    radius = 1 + 0.15 * np.sin(7 * x) * np.cos(5 * y) + 0.1 * np.sin(11 * z + 3 * x)
    # Rough by a share of the edge, so that large meshes stay surfaces.
    radius += np.random.default_rng(1).normal(0, 0.2 * math.sqrt(4 * math.pi / len(indices)), len(points))
    return points * radius[:, None], indices


def boxes(triangles):
    """An array of thin plates, 12 triangles each, turned this way and that; no two touch."""
    count = max(1, round(triangles / 12))
    side = math.ceil(count ** (1 / 3))
    random = np.random.default_rng(2)
    cell = np.array([[i, j, k] for i in range(side) for j in range(side) for k in range(side)])[:count]
    half = np.where(np.arange(3)[None] == random.integers(0, 3, count)[:, None], 0.03, 0.45)
    half *= random.uniform(0.7, 1.0, (count, 1))
    corner = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    points = cell[:, None] + half[:, None] * corner[None]
    indices = faces[None] + 8 * np.arange(count)[:, None, None]
    return points.reshape(-1, 3), indices.reshape(-1, 3)


def soup(triangles):
    """Loose triangles of all sizes, a few of them large, that cut each other; no volume."""
    random = np.random.default_rng(3)
    reach = min(0.25, 4 / math.sqrt(triangles))
    size = reach * np.exp(random.uniform(-3, 0, triangles))
    size[: min(200, triangles // 10)] *= 5
    middle = random.uniform(-1, 1, (triangles, 1, 3))
    points = middle + size[:, None, None] * random.uniform(-1, 1, (triangles, 3, 3))
    return points.reshape(-1, 3), np.arange(3 * triangles).reshape(-1, 3)


SHAPES = {"sphere": sphere, "torus": torus, "dented": dented, "boxes": boxes, "soup": soup}


def text_rows(numbers, row):
    return (row * len(numbers)) % tuple(numbers.reshape(-1).tolist())


def write_off(path, points, indices):
    head = f"OFF\n{len(points)} {len(indices)} 0\n"
    path.write_text(head + text_rows(points, "%.9g %.9g %.9g\n") + text_rows(indices, "3 %d %d %d\n"))


def write_obj(path, points, indices):
    path.write_text(text_rows(points, "v %.9g %.9g %.9g\n") + text_rows(indices + 1, "f %d %d %d\n"))


def write_ply(path, points, indices):
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {len(indices)}\nproperty list uchar int vertex_indices\nend_header\n")
    faces = np.empty(len(indices), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, indices
    path.write_bytes(head.encode() + points.astype("<f4").tobytes() + faces.tobytes())


def write_stl(path, points, indices):
    corners = points[indices]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    rows = np.zeros(len(indices), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["normal"], rows["corners"] = normals, corners
    path.write_bytes(b"synthetic".ljust(80) + np.uint32(len(indices)).tobytes() + rows.tobytes())


WRITERS = {"off": write_off, "obj": write_obj, "ply": write_ply, "stl": write_stl}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES)[:5], choices=SIZES)
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--formats", nargs="+", default=list(WRITERS), choices=WRITERS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for shape in arguments.shapes:
        for size in arguments.sizes:
            points, indices = SHAPES[shape](SIZES[size])
            points = points.astype(np.float32)
            for extension in arguments.formats:
                WRITERS[extension](arguments.out / f"{shape}-{size}.{extension}", points, indices)
            print(f"{shape}-{size}: {len(points)} vertices, {len(indices)} triangles", flush=True)


if __name__ == "__main__":
    main()
