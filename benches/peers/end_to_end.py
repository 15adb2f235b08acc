"""A folder of OFF files to 32^3 grids, twelve pictures of 224 pixels and Parquet: end_to_end.py --voxflow target/release/voxflow FILES...

Python does it with the fastest of its packages for each step, voxflow with one worker; both on one core, in CPU time per
object. Of Python only the work on objects counts, not its start and imports; of voxflow the whole process counts.
"""

import argparse
import io
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

import measure

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESOLUTION, SIZE = 32, 224


def variants(files, folder, count):
    """`count` objects, each one of the files with its axes stretched a little, so that no two are the same."""
    import numpy as np
    import shapes
    import trimesh

    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        file = files[number % len(files)]
        mesh = trimesh.load(str(file), process=False, force="mesh")
        target = folder / "shape" / f"{file.stem}_{number:04d}.off"
        target.parent.mkdir(parents=True, exist_ok=True)
        points = np.asarray(mesh.vertices) * random.uniform(0.9, 1.1, 3)
        shapes.write_off(target, points.astype(np.float32), np.asarray(mesh.faces))
        made.append(target)
    return made


def read_off(path):
    """Open3D's reader: faster than trimesh's."""
    import numpy as np
    import open3d as o3d

    mesh = o3d.io.read_triangle_mesh(str(path))
    return np.asarray(mesh.vertices), np.asarray(mesh.triangles)


def normalized(vertices, triangles):
    import numpy as np
    import peers

    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return peers.Mesh(((vertices - (low + high) / 2) / (high - low).max()).astype(np.float32), triangles)


def grid_of(mesh):
    import numpy as np
    import peers

    work, read = peers.open3d_surface(mesh, RESOLUTION)
    return np.packbits(read(work()), bitorder="little").tobytes()


class VtkViews:
    """Pictures by OpenGL in software; one window for all objects."""

    def __init__(self):
        import peers

        self.rig = peers.Rig(SIZE)
        self.stage = peers.VtkStage(self.rig)

    def pictures(self, mesh):
        import numpy as np
        import peers
        from vtk.util.numpy_support import vtk_to_numpy

        for colors, depths in self.stage.shoot(peers.vtk_polydata(mesh)):
            rgb = vtk_to_numpy(colors).reshape(SIZE, SIZE, 3)[::-1]
            alpha = (vtk_to_numpy(depths).reshape(SIZE, SIZE, 1)[::-1] < 1).astype(np.uint8) * 255
            yield np.concatenate([rgb, alpha], axis=-1)


class EmbreeViews:
    """Pictures by ray casting, shaded by numpy from the normals of the triangles."""

    def __init__(self):
        import numpy as np
        import peers

        rig = peers.Rig(SIZE)
        self.rays = peers.open3d_rays(rig)
        self.lights = [-pose[2, :3].astype(np.float32) for pose in rig.camera_from_object()]

    def pictures(self, mesh):
        import numpy as np
        import peers

        scene = peers.open3d_scene(mesh)
        for rays, light in zip(self.rays, self.lights):
            answer = scene.cast_rays(rays, nthreads=1)
            alpha = np.isfinite(answer["t_hit"].numpy()).astype(np.uint8) * 255
            grey = (np.abs(answer["primitive_normals"].numpy() @ light) * 255).astype(np.uint8)
            yield np.stack([grey, grey, grey, alpha], axis=-1)


VIEWS = {"VTK": VtkViews, "Open3D": EmbreeViews}


def png_of(picture):
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG", compress_level=1)
    return out.getvalue()


def prepare(files, views, target):
    """Python's half. Gives CPU seconds an object: all, and of each step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("grid", pa.binary()), ("views", pa.list_(pa.binary()))])
    steps = dict.fromkeys(["read", "normalize", "voxelize", "render", "png", "parquet"], 0.0)
    clock = [time.process_time()]

    def step(name):
        now = time.process_time()
        steps[name] += now - clock[0]
        clock[0] = now

    rows = []
    for file in files:
        vertices, triangles = read_off(file)
        step("read")
        mesh = normalized(vertices, triangles)
        step("normalize")
        grid = grid_of(mesh)
        step("voxelize")
        pictures = list(views.pictures(mesh))
        step("render")
        pngs = [png_of(picture) for picture in pictures]
        step("png")
        rows.append((file.stem, grid, pngs))
    ids, grids, pictures = zip(*rows)
    table = pa.table([list(ids), list(grids), list(pictures)], schema=schema)
    pq.write_table(table, target, compression="zstd", use_dictionary=False)
    step("parquet")
    return {name: seconds / len(files) for name, seconds in steps.items()}


def voxflow(binary, folder):
    """Ours: CPU seconds of the whole process."""
    with tempfile.TemporaryDirectory() as home:
        command = [str(binary.resolve()), "--home", home, "run", str(ROOT / "pipelines/meshes-to-views.toml")]
        command += ["--set", f"root={folder}", "--set", "antialias=1", "--workers", "1", "--quiet", "--format", "json"]
        seconds, output = measure.child_cpu_s(command)
        report = json.loads(output.splitlines()[-1])
        written = sum(file.stat().st_size for file in pathlib.Path(home).rglob("part-*.parquet"))
    return seconds, report, written


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="meshes; variants of them are the objects")
    parser.add_argument("--voxflow", type=pathlib.Path, help="without it only Python's half runs")
    parser.add_argument("--objects", type=int, default=60, help="of each file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    return parser.parse_args()


def measured(arguments, file, workplace):
    """Medians of one kind of object: Python by its two renderers, and voxflow, by turns."""
    folder = workplace / file.stem
    objects = variants([file], folder, arguments.objects)
    views = {name: make() for name, make in VIEWS.items()}
    for each in views.values():
        prepare(objects[:2], each, workplace / "warm.parquet")
    python, ours = {name: [] for name in views}, []
    for _ in range(arguments.rounds):
        for name, each in views.items():
            python[name].append(prepare(objects, each, workplace / f"{name}.parquet"))
        if arguments.voxflow:
            seconds, report, written = voxflow(arguments.voxflow, folder)
            ours.append(seconds / len(objects))
    median = lambda runs: {step: statistics.median(run[step] for run in runs) for step in runs[0]}
    steps = {name: median(runs) for name, runs in python.items()}
    best = min(steps, key=lambda name: sum(steps[name].values()))
    sizes = {"python": (workplace / f"{best}.parquet").stat().st_size}
    if ours:
        sizes["voxflow"] = written
        print(json.dumps(report), file=sys.stderr)
    shutil.rmtree(folder)
    return steps, best, statistics.median(ours) if ours else None, sizes


def main():
    arguments = parse()
    measure.tie_to_core(arguments.core)
    import peers

    print(", ".join(f"{name} {version}" for name, version in peers.versions().items()))
    print("\n| objects | Python with | read | normalize | voxelize | render | PNG | Parquet | Python ms | voxflow ms | ratio |")
    print("|" + "---|" * 11)
    with tempfile.TemporaryDirectory() as folder:
        for file in arguments.files:
            steps, best, ours, sizes = measured(arguments, file, pathlib.Path(folder))
            for name, each in steps.items():
                total = sum(each.values())
                ratio = f"{ours * 1e3:.3g} | {total / ours:.1f}" if ours else "– | –"
                parts = " | ".join(f"{seconds * 1e3:.2f}" for seconds in each.values())
                mark = " (best)" if name == best else ""
                print(f"| {file.name} | {name}{mark} | {parts} | {total * 1e3:.3g} | {ratio} |", flush=True)
            print(f"{file.name}: bytes of Parquet {sizes}", file=sys.stderr)


if __name__ == "__main__":
    main()
