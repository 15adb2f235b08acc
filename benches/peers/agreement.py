"""Whether two answers are the same, and where not, how near to a tie it was. Plain numpy in double precision."""

import numpy as np

# A difference nearer than this to the surface is a tie: the 1e-5 for cells.
TIE = 1e-5
REFEREED = 40


def is_watertight(mesh):
    """Whether each edge belongs to just two triangles, after equal corners are one: no doubled faces either."""
    _, inverse = np.unique(mesh.vertices, axis=0, return_inverse=True)
    corners = inverse.reshape(-1)[mesh.triangles]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0, return_counts=True)
    return bool(len(counts)) and bool((counts == 2).all())


def centers_of(cells, resolution):
    return (cells + 0.5) / resolution - 0.5


def surface(ours, theirs, mesh):
    """Cells of only one side; each of up to 40 of them goes to a referee."""
    resolution = len(ours)
    differing = np.argwhere(ours != theirs)
    said = {"ours": int(ours.sum()), "theirs": int(theirs.sum()), "differing": len(differing)}
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    verdicts = {"tie": 0, "ours_right": 0, "theirs_right": 0}
    for cell in differing[:: max(1, len(differing) // REFEREED)][:REFEREED]:
        gap = gap_of_cell(cell, resolution, corners)
        right = ours[tuple(cell)] == (gap <= 0)
        verdicts["tie" if abs(gap) < 1e-7 else "ours_right" if right else "theirs_right"] += 1
    return said | {"refereed": verdicts}


def gap_of_cell(cell, resolution, corners):
    """How far the nearest triangle is from a closed cell along the best of the 13 separating axes; negative: it cuts."""
    half = 0.5 / resolution
    v = corners - centers_of(cell, resolution)
    edges = np.roll(v, -1, axis=1) - v
    units = np.eye(3)
    axes = [np.broadcast_to(unit, (len(v), 3)) for unit in units] + [np.cross(edges[:, 0], edges[:, 1])]
    axes += [np.cross(edges[:, i], unit) for i in range(3) for unit in units]
    gap = np.full(len(v), -np.inf)
    for axis in axes:
        length = np.linalg.norm(axis, axis=1)
        dots = np.einsum("tij,tj->ti", v, axis)
        reach = half * np.abs(axis).sum(axis=1)
        apart = np.maximum(dots.min(axis=1) - reach, -reach - dots.max(axis=1))
        gap = np.where(length > 0, np.maximum(gap, apart / np.where(length > 0, length, 1)), gap)
    return gap.min()


def solid(ours, theirs, mesh, distances):
    """Cells of only one side whose centre is farther from the surface than a tie; up to 40 of them go to a referee.

    `distances(points)` are those of points from the surface.
    """
    resolution = len(ours)
    differing = np.argwhere(ours != theirs)
    said = {"ours": int(ours.sum()), "theirs": int(theirs.sum()), "differing": len(differing)}
    far = differing
    if len(differing):
        far = differing[distances(centers_of(differing, resolution).astype(np.float32)) > TIE]
    verdicts = {"ours_right": 0, "theirs_right": 0}
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    for cell in far[:: max(1, len(far) // REFEREED)][:REFEREED]:
        is_inside = winding_number(centers_of(cell, resolution), corners) > 0.5
        verdicts["ours_right" if ours[tuple(cell)] == is_inside else "theirs_right"] += 1
    return said | {"differing_far": len(far), "refereed": verdicts}


def winding_number(point, corners):
    """Sum of the solid angles (van Oosterom and Strackee 1983); its size, so that inside-out meshes count too."""
    a, b, c = np.moveaxis(corners - point, 1, 0)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    dot = lambda x, y: np.einsum("ij,ij->i", x, y)
    above = dot(a, np.cross(b, c))
    below = la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb
    return abs(np.arctan2(above, below).sum() / (2 * np.pi))


def views(ours, theirs):
    """Depths [views, height, width], 0 where nothing is: silhouettes, and depth where the surface is smooth."""
    a, b = ours > 0, theirs > 0
    union = (a | b).sum(axis=(1, 2))
    iou = np.where(union > 0, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1), 1.0)
    error, both = np.abs(ours.astype(np.float64) - theirs), a & b
    smooth = is_smooth(theirs) & both
    biggest = lambda where: float(error[where].max()) if where.any() else 0.0
    return {
        "iou_min": float(iou.min()),
        "pixels": int(b.sum()),
        "pixels_of_one": int((a != b).sum()),
        "depth_error_999": float(np.quantile(error[both], 0.999)) if both.any() else 0.0,
        "depth_error_max_smooth": biggest(smooth),
        "smooth_share": float(smooth.sum() / max(1, both.sum())),
        "smooth_over_1e-4": int((error[smooth] > 1e-4).sum()),
    }


def is_smooth(depth, rise=0.02):
    """Where all of the 3 x 3 pixels around are covered and no two of them are farther apart than a slope of some 50
    degrees explains: no silhouette and no step in depth goes through."""
    low, high = np.full_like(depth, np.inf), np.zeros_like(depth)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            moved = np.roll(depth, (dy, dx), axis=(1, 2))
            low, high = np.minimum(low, moved), np.maximum(high, moved)
    return (low > 0) & (high - low < rise)
