"""What control plane and store cost at a million samples and more: a first run, a run with nothing changed, one after one
sample changed, and `watch` from one change to the line that says it is committed.

    python3 benches/scale.py --samples 1000000                 a generated list, nothing behind it
    python3 benches/scale.py --samples 1000000 --data meshes   a list whose texts are tiny meshes, with a trivial operator
    python3 benches/scale.py --samples 100000 --data files     real files: OFF tetrahedra, voxelized

Of a list, each sample is a line with a short text, 1000 lines a file. The pipeline keeps the rows, splits them and writes
Parquet: there is no operator; or the texts are OFF tetrahedra that are decoded and told the figures of (`mesh_stats`).
CPU is user and system seconds of the process, peak memory its largest resident set. `watch` is timed from the event, the
changed file taking its name, to when its line is read, and its peak memory takes in its first revision.
Each run is checked: that it made what it had to, and nothing else. Data is laid in $TMPDIR.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
LINES_A_LIST = 1000
CLASSES = 50
TETRAHEDRON = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 {}\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
PIPELINE = """\
[pipeline]
name = "scale"
seed = 0
[[stage]]
id = "list"
use = "manifest"
file = "data"
"""
ROWS = """\
[[stage]]
use = "split"
[[stage]]
id = "dataset"
use = "parquet"
from = ["list", "split"]
"""
STATS = """\
[[stage]]
id = "mesh"
use = "decode_mesh"
[[stage]]
id = "stats"
use = "mesh_stats"
[[stage]]
use = "split"
[[stage]]
id = "dataset"
use = "parquet"
from = ["stats", "split"]
"""


class Lists:
    """A folder of lists of texts."""

    stages, stage = ROWS, "list"

    def __init__(self, folder, count):
        self.data, self.count, self.versions = folder / "data", count, {}
        (folder / "scale.toml").write_text(PIPELINE + self.stages)
        self.pipeline, self.options = "scale.toml", []
        self.data.mkdir()
        for number in range(-(-count // LINES_A_LIST)):
            self.write(number)

    def content(self, sample, version):
        return f'"text":"sample {sample} version {version}"'

    def write(self, number):
        first = number * LINES_A_LIST
        lines = (f'{{"sample":"class-{i * CLASSES // self.count:02}/{i:08}","category":"class-{i * CLASSES // self.count:02}",'
                 f'{self.content(i, self.versions.get(i, 0))}}}\n' for i in range(first, min(self.count, first + LINES_A_LIST)))
        beside = self.data / ".beside"
        beside.write_text("".join(lines))
        self.changed_at = time.monotonic()
        beside.rename(self.data / f"{number:06}.jsonl")

    def change(self, sample, version):
        self.versions[sample] = version
        self.write(sample // LINES_A_LIST)


class Meshes(Lists):
    """A folder of lists of meshes."""

    stages, stage = STATS, "stats"

    def content(self, sample, version):
        return f'"format":"off","text":{json.dumps(TETRAHEDRON.format(1 + version + sample / (2 * self.count)))}'


class Files:
    """A folder of tetrahedra."""

    def __init__(self, folder, count):
        self.data, self.count = folder / "data", count
        self.pipeline, self.stage = str(REPOSITORY / "pipelines/meshes-to-voxels.toml"), "voxels"
        self.options = ["--set", "root=data", "--set", "voxels.resolution=8"]
        (self.data / "shape").mkdir(parents=True)
        for i in range(count):
            (self.data / f"shape/{i:08}.off").write_text(TETRAHEDRON.format(1 + i / (2 * count)))

    def change(self, sample, version):
        beside = self.data / "shape/.beside"
        beside.write_text(TETRAHEDRON.format(2 + version + sample / self.count))
        self.changed_at = time.monotonic()
        beside.rename(self.data / f"shape/{sample:08}.off")


DATA = {"list": Lists, "meshes": Meshes, "files": Files}


def run(binary, folder, data):
    command = [binary, "--home", "home", "run", data.pipeline, *data.options, "--workers", "1", "--quiet", "--format", "json"]
    begun = time.monotonic()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, output
    report = json.loads(output.splitlines()[-1])
    made = {stage["id"]: stage["rows_out"] - stage["reused"] for stage in report["stages"]}[data.stage]
    return made, usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024


def row(what, runs):
    cpu_s, wall_s, peak = (statistics.median(column) for column in list(zip(*runs))[1:])
    print(f"| {what} | {cpu_s:.2f} s | {wall_s:.2f} s | {peak:.0f} MiB |", flush=True)


def watch(binary, folder, data, changes):
    command = [binary, "--home", "home", "watch", data.pipeline, *data.options, "--format", "json", "--every-ms", "3600000"]
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    first = json.loads(child.stdout.readline())
    assert first["rows"] == data.count, first
    ready_s = time.monotonic() - begun
    # The line of the first revision comes before all is resident.
    time.sleep(5 + data.count / 200_000)
    cpu = lambda: sum(int(n) for n in pathlib.Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")
    times, told, before = [], [], cpu()
    for number in range(changes):
        sample = (number * 7919 + 13) * 101 % data.count
        data.change(sample, number + 1000)
        line = json.loads(child.stdout.readline())
        times.append(time.monotonic() - data.changed_at)
        told.append(line["elapsed_s"])
        assert line["new"] == line["removed"] == 0 and line["changed"] == 1, line
        time.sleep(0.3)
    cpu_s = (cpu() - before) / changes
    status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
    peak, now = (int(status.split(name)[1].split()[0]) / 1024 for name in ("VmHWM:", "VmRSS:"))
    child.send_signal(signal.SIGINT)
    child.wait()
    times.sort()
    print(f"| `watch`, its first revision | – | {ready_s:.2f} s | {peak:.0f} MiB, then {now:.0f} MiB |")
    print(f"| `watch`, one sample changed, of {changes} | {cpu_s * 1000:.0f} ms | median {statistics.median(times) * 1000:.0f} ms, "
          f"{times[0] * 1000:.0f} to {times[-1] * 1000:.0f} ms; of it after the wait for more events {statistics.median(told) * 1000:.0f} ms | |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxflow", type=pathlib.Path, default=REPOSITORY / "target/release/voxflow")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--data", choices=DATA, default="list")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, default=20, help="changes while `watch` runs; 0 for none")
    arguments = parser.parse_args()
    binary = str(arguments.voxflow.resolve())
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        folder = pathlib.Path(folder)
        data = DATA[arguments.data](folder, arguments.samples)
        print(f"\n| {arguments.samples:,} samples | CPU | wall | peak memory |\n|---|---|---|---|")
        first = run(binary, folder, data)
        assert first[0] == arguments.samples, first
        row("first run", [first])
        idle, changed = [], []
        for number in range(arguments.rounds):
            idle.append(run(binary, folder, data))
            data.change(number * 1009 % data.count, number + 1)
            changed.append(run(binary, folder, data))
            assert (idle[-1][0], changed[-1][0]) == (0, 1), (idle[-1], changed[-1])
        row("nothing changed", idle)
        row("one sample changed", changed)
        if arguments.changes:
            watch(binary, folder, data, arguments.changes)


if __name__ == "__main__":
    main()
