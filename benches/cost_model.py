"""How far plan's price and the time left that `run` shows lie from the truth, on a skewed set of meshes.

    python3 benches/cost_model.py --voxflow target/release/voxflow [--voxflow OTHER ...]

A home learns from 500 small meshes and a few larger ones; then as many small meshes and one of a million triangles come, named so
that it is the last of them. Asked are: what `plan` says that costs, and at a quarter, half and three quarters of the run, how long
it says is left (plain lines come every 5 seconds; the one before each moment is taken). Of a binary that says no price for
workers, the seconds on one core are divided by them. "Last" is how long the rows take when the large mesh is begun once all
others are done (two runs, one after the other), beside how long they take as `run` orders them. Needs numpy; shapes are those of benches/peers/shapes.py. Data is laid in
$TMPDIR.
"""

import argparse
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "benches/peers"))
import numpy as np  # noqa: E402
import shapes  # noqa: E402

LEFT = re.compile(r"^ *all (.*?)(?:, about (.*) left)?$")
UNITS = {"s": 1, "min": 60, "h": 3600}


def write(folder, name, shape, triangles):
    points, indices = shapes.SHAPES[shape](triangles)
    shapes.write_off(folder / f"{name}.off", points.astype(np.float32), indices)


def lay(folder, first, count, larger):
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(first)
    for number in range(first, first + count):
        write(folder, f"m{number:05}", draw.choice(["sphere", "torus", "dented"]), draw.randint(500, 2000))
    for name, triangles in larger.items():
        write(folder, name, "dented", triangles)


def seconds(text):
    words = text.split()
    return sum(float(number) * UNITS[unit] for number, unit in zip(words[::2], words[1::2]))


def run(binary, home, data, workers, options):
    command = [binary, "--home", home, "run", *options[:1], "--set", f"root={data}", *options[1:], "--workers", str(workers), "--progress", "plain", "--format", "json"]
    begun, told = time.monotonic(), []
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in child.stderr:
        match = LEFT.match(line.rstrip())
        if match:
            told.append((time.monotonic() - begun, seconds(match[2]) if match[2] else None))
    output = child.stdout.read()
    assert child.wait() == 0, output
    return time.monotonic() - begun, told, json.loads(output.splitlines()[-1])


def price(binary, home, data, workers, options):
    command = [binary, "--home", home, "plan", *options[:1], "--set", f"root={data}", *options[1:], "--format", "json"]
    workers_option = ["--workers", str(workers)]
    plan = subprocess.run(command + workers_option, capture_output=True, text=True)
    if plan.returncode == 0:
        said = json.loads(plan.stdout)["price"]
        return said["seconds"], (said["seconds_low"], said["seconds_high"])
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return sum(stage["to_do"]["seconds"] for stage in plan["stages"] if stage["to_do"]) / workers, None


def measure(binary, folder, workers, options):
    home, data = folder / "home", folder / "now"
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(folder / "learn", data)
    run(binary, str(home), str(data), workers, options)
    shutil.copytree(folder / "more", data, dirs_exist_ok=True)
    said, span = price(binary, str(home), str(data), workers, options)
    wall, told, report = run(binary, str(home), str(data), workers, options)
    cells = [f"{said:.1f} s" + (f" ({span[0]:.1f} to {span[1]:.1f})" if span else ""), f"{100 * (said / wall - 1):+.0f} %"]
    for share in (0.25, 0.5, 0.75):
        before = [line for line in told if line[0] <= share * wall and line[1] is not None]
        if not before:
            cells.append("–")
            continue
        at, left = before[-1]
        cells.append(f"{left:.0f} s of {wall - at:.0f}")
    print(f"| {pathlib.Path(binary).name} | {workers} | {wall:.1f} s | " + " | ".join(cells) + f" | {rows_s(wall, report):.1f} s |", end="", flush=True)
    print(f" {last(binary, folder, workers, options):.1f} s |", flush=True)


def rows_s(wall, report):
    """Seconds until all rows were made: what comes after is one stage after the other."""
    return wall - sum(stage["seconds"] for stage in report["stages"] if stage["id"] in ("split", "dataset"))


def last(binary, folder, workers, options):
    home, data, total = folder / "home", folder / "now", 0.0
    for path in (home, data):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(folder / "learn", data)
    run(binary, str(home), str(data), workers, options)
    large = folder / "more/shape/z1M.off"
    for files in ([path for path in large.parent.iterdir() if path != large], [large]):
        for path in files:
            shutil.copy2(path, data / "shape")
        wall, _, report = run(binary, str(home), str(data), workers, options)
        total += rows_s(wall, report)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxflow", type=pathlib.Path, action="append", help="binary to measure; more than one are measured in turn")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--small", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pipeline", default=str(REPOSITORY / "pipelines/meshes-to-views.toml"))
    parser.add_argument("--set", action="append", default=[], help="as of `voxflow run`")
    arguments = parser.parse_args()
    options = [arguments.pipeline] + [word for value in arguments.set for word in ("--set", value)]
    with tempfile.TemporaryDirectory(prefix="cost-") as folder:
        folder = pathlib.Path(folder)
        lay(folder / "learn/shape", 0, arguments.small, {"a20k": 20_000, "b100k": 100_000, "c100k": 120_000})
        lay(folder / "more/shape", arguments.small, arguments.small, {"z1M": 1_000_000})
        print("| binary | workers | wall | plan says | off by | left at 25 % | at 50 % | at 75 % | rows | rows, large one last |\n|---|---|---|---|---|---|---|---|---|---|")
        for _ in range(arguments.rounds):
            for workers in arguments.workers:
                for binary in arguments.voxflow or [REPOSITORY / "target/release/voxflow"]:
                    measure(str(binary.resolve()), folder, workers, options)


if __name__ == "__main__":
    main()
