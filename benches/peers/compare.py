"""Times voxflow's kernels and other programs at the same work: compare.py --binary target/release/examples/time_kernels FILES...

All on one core, CPU time, in one run, ours and theirs by turns; medians. Prints Markdown tables with the ratios (theirs /
ours: more is better for us) and how far the answers agree. See README.md.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import measure

RESOLUTIONS = {"voxelize_surface": [32, 128, 256], "voxelize_solid": [32, 128], "render": [224], "decode": [0]}
# What issue and tables ask for: op, resolution, peer -> at least so many times faster.
WANTED = {
    ("voxelize_surface", 32, "Open3D"): 8, ("voxelize_surface", 128, "Open3D"): 5, ("voxelize_surface", 256, "Open3D"): 5,
    ("voxelize_solid", 32, "VTK"): 10, ("voxelize_solid", 128, "VTK"): 10,
    ("voxelize_solid", 32, "Open3D"): 10, ("voxelize_solid", 128, "Open3D"): 10,
    ("render", 224, "Open3D"): 5, ("render", 224, "VTK"): 50,
}
DECODE_WANTED = {("obj", "trimesh"): 10, ("off", "trimesh"): 10, ("obj", "Open3D"): 2, ("off", "Open3D"): 2}


class Ours:
    """time_kernels as a child, timed by itself."""

    def __init__(self, arguments, op, resolution, file):
        self.command = [str(arguments.binary), "--json", "--op", op, "--repeats", str(arguments.repeats)]
        self.command += ["--size", str(resolution)] if op == "render" else ["--resolution", str(resolution)]
        if op == "voxelize_solid" and arguments.fill:
            self.command += ["--fill", arguments.fill]
        self.file = file
        self.samples = []

    def run(self, *more):
        _, output = measure.child_cpu_s([*self.command, *more, str(self.file)])
        return json.loads(output)

    def round(self):
        self.line = self.run()
        self.samples.append(self.line["median_cpu_s"])

    @property
    def median_s(self):
        return statistics.median(self.samples)


def dumped(ours, folder):
    """What ours made, and the mesh it was made of."""
    import numpy as np
    import peers

    ours.run("--dump", folder)
    read = lambda name: np.load(pathlib.Path(folder) / ours.file.name / f"{name}.npy")
    return read, peers.Mesh(read("vertices"), read("triangles").astype(np.int32))


def is_hopeless(op, peer, mesh):
    """VTK joins the cuts of a slice to closed lines; on a soup of 100 k triangles that takes minutes."""
    return op == "voxelize_solid" and peer == "VTK" and len(mesh.triangles) > 15_000 and not mesh.is_watertight


def agreement_of(op, answer, read, mesh):
    import agreement
    import peers

    if op == "render":
        return agreement.views(read("depth"), answer)
    if op == "voxelize_surface":
        return agreement.surface(read("grid"), answer, mesh)
    if not mesh.is_watertight:
        return {"note": "not watertight"}
    scene = peers.open3d_scene(mesh)
    return agreement.solid(read("grid"), answer, mesh, lambda points: scene.compute_distance(points).numpy())


def compare(arguments, op, resolution, file):
    """One row: a mesh, an op, a resolution."""
    import agreement
    import peers

    ours = Ours(arguments, op, resolution, file)
    with tempfile.TemporaryDirectory() as folder:
        read, mesh = (None, None) if op == "decode" else dumped(ours, folder)
        if mesh:
            mesh.is_watertight = agreement.is_watertight(mesh)
        chosen = dict(peers.PEERS[op]) | (peers.SECOND_OPINIONS[op] if arguments.second_opinions else {})
        if arguments.peers:
            chosen = {name: peer for name, peer in chosen.items() if name.split(",")[0] in arguments.peers}
        timers, readers = {}, {}
        for name, peer in chosen.items():
            if mesh and is_hopeless(op, name, mesh):
                continue
            work, readers[name] = peer(file) if op == "decode" else peer(mesh, peers.Rig(resolution) if op == "render" else resolution)
            timers[name] = measure.Timer(work, arguments.patience)
        for _ in range(arguments.rounds):
            ours.round()
            for timer in timers.values():
                timer.round()
        row = {key: ours.line[key] for key in ("triangles", "bytes", "op", "resolution", "result")}
        row |= {"file": file.name, "ours_s": ours.median_s, "peers": {}}
        if mesh:
            row["watertight"] = mesh.is_watertight
        for name, timer in timers.items():
            row["peers"][name] = {
                "s": timer.median_s, "ratio": timer.median_s / ours.median_s, "samples": len(timer.samples)}
            if op != "decode" and name != "Open3D, scene built before":
                row["peers"][name]["agreement"] = agreement_of(op, readers[name](timer.result), read, mesh)
    return row


def wanted(row, peer):
    if row["op"] == "decode":
        return DECODE_WANTED.get((row["file"].rsplit(".", 1)[-1].lower(), peer))
    return WANTED.get((row["op"], row["resolution"], peer))


def agreement_text(row):
    texts = []
    for name, peer in row["peers"].items():
        said = peer.get("agreement")
        if not said:
            continue
        if "note" in said:
            texts.append(said["note"])
        elif row["op"] == "render":
            texts.append(
                f"{name}: IoU ≥ {said['iou_min']:.4f}, depth {said['depth_error_max_smooth']:.1e}"
                f" ({said['smooth_over_1e-4']} over 1e-4)")
        elif said["differing"] == 0:
            texts.append(f"{name}: same cells")
        else:
            far = f", {said['differing_far']} far" if "differing_far" in said else ""
            referee = ", ".join(f"{key} {count}" for key, count in said["refereed"].items() if count)
            texts.append(f"{name}: {said['differing']} of {said['ours']} differ{far}" + (f" ({referee})" if referee else ""))
    return "; ".join(dict.fromkeys(texts))


def table(rows):
    """One Markdown table of rows of one op and resolution."""
    names = list(dict.fromkeys(name for row in rows for name in row["peers"]))
    head = ["mesh", "triangles", "ours ms"] + (["ours MB/s"] if rows[0]["op"] == "decode" else [])
    head += [cell for name in names for cell in (f"{name} ms", "ratio")] + ["agreement"] * (rows[0]["op"] != "decode")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["file"], f"{row['triangles']:,}", f"{row['ours_s'] * 1e3:.3g}"]
        if row["op"] == "decode":
            cells.append(f"{row['bytes'] / row['ours_s'] / 1e6:.0f}")
        for name in names:
            peer = row["peers"].get(name)
            need = wanted(row, name)
            short = "" if not peer or not need or peer["ratio"] >= need else " <"
            cells += [f"{peer['s'] * 1e3:.3g}", f"{peer['ratio']:.1f}{short}"] if peer else ["–", "–"]
        if row["op"] != "decode":
            cells.append(agreement_text(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(rows):
    """Lowest and median ratio of each op, resolution and peer, and what is asked for."""
    groups = {}
    for row in rows:
        kind = row["file"].rsplit(".", 1)[-1].lower() if row["op"] == "decode" else row["resolution"]
        for name, peer in row["peers"].items():
            groups.setdefault((row["op"], kind, name), []).append((peer["ratio"], wanted(row, name)))
    lines = ["| work | at | beside | meshes | lowest ratio | median ratio | wanted | reached by |", "|" + "---|" * 8]
    for (op, kind, name), found in groups.items():
        ratios, need = sorted(ratio for ratio, _ in found), found[0][1]
        reached = f"{sum(ratio >= need for ratio in ratios)} of {len(ratios)}" if need else ""
        lines.append(
            f"| {op} | {kind} | {name} | {len(ratios)} | {ratios[0]:.1f} | {statistics.median(ratios):.1f} | {need or ''} | {reached} |")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="target/release/examples/time_kernels")
    parser.add_argument("--ops", nargs="+", default=list(RESOLUTIONS), choices=RESOLUTIONS)
    parser.add_argument("--resolutions", nargs="+", type=int, help="instead of the default ones of voxelize_*")
    parser.add_argument("--fill", help="instead of solid_parity for voxelize_solid")
    parser.add_argument("--peers", nargs="+", help="only these: Open3D, VTK, trimesh, point-cloud-utils")
    parser.add_argument("--second-opinions", action="store_true", help="slower peers too")
    parser.add_argument("--rounds", type=int, default=3, help="turns of ours and theirs")
    parser.add_argument("--repeats", type=int, default=5, help="runs of ours in a turn, after one to warm up")
    parser.add_argument("--patience", type=float, default=5.0, help="what takes more seconds is run once only")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path, help="write each row to this file too, one a line")
    return parser.parse_args()


def main():
    arguments = parse()
    measure.tie_to_core(arguments.core)
    import peers

    print(", ".join(f"{name} {version}" for name, version in peers.versions().items()), flush=True)
    if "render" in arguments.ops and (not arguments.peers or "VTK" in arguments.peers):
        print(f"VTK draws with: {peers.gl_renderer()}", flush=True)
    rows = []
    for op in arguments.ops:
        chosen = RESOLUTIONS[op]
        if arguments.resolutions and op.startswith("voxelize"):
            chosen = arguments.resolutions
        for resolution in chosen:
            part = []
            for file in arguments.files:
                print(f"{op} {resolution} {file.name}", file=sys.stderr, flush=True)
                part.append(compare(arguments, op, resolution, file))
                if arguments.json:
                    with arguments.json.open("a") as out:
                        out.write(json.dumps(part[-1]) + "\n")
            print(f"\n{op}{f' {resolution}' if resolution else ''}\n\n{table(part)}", flush=True)
            rows += part
    print(f"\n{summary(rows)}")


if __name__ == "__main__":
    main()
