"""What it costs to find that nothing, or one file of many, changed: voxflow, DVC and Snakemake on folders of small OFF files.

    python3 -m venv /tmp/orchestrators
    /tmp/orchestrators/bin/pip install dvc==3.67.1 snakemake==9.27.1
    /tmp/orchestrators/bin/python benches/peers/incremental.py --voxflow target/release/voxflow

The peers are those of the Python that runs this. Figures are user and system seconds of a tool's process and all that it
started, on one core, medians; peak memory is that of the largest process of the runs that came to an end. A tool that is
stopped (`--limit`, `--memory`) is not tried on more files.

- voxflow decodes, normalises, voxelizes and writes Parquet; it remembers each row.
- DVC has one stage, from a folder to a folder, which copies files. A stage is the least that DVC does again: it removes
  the output, and the command makes all of it. The command alone is timed, too. With `persist` DVC leaves the output in
  place, and the command itself sees which file is newer and copies only that.
- Snakemake has one job a file, `cp`. Its first run takes some 50 ms a file, so it makes one file, and the outputs and
  records of the rest are written by hand, in the form of that one.

Each run is checked: that it did nothing, or that it brought the changed file's output up to date.
Data is laid in $TMPDIR: about 1 GiB for 100,000 files (many small files take whole blocks).
"""

import argparse
import base64
import hashlib
import importlib.metadata
import json
import os
import pathlib
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import typing

import measure

PIPELINE = pathlib.Path(__file__).resolve().parents[2] / "pipelines/meshes-to-voxels.toml"
SCRIPTS = pathlib.Path(sys.executable).parent
HOMES = ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
         "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"]
TETRAHEDRON = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 {}\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"

# Copies what has no copy yet, or one older than itself.
COPY = """\
import os, shutil, sys
source, target = sys.argv[1:]
os.makedirs(target, exist_ok=True)
copied = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(target)}
for entry in os.scandir(source):
    if copied.get(entry.name, -1) < entry.stat().st_mtime_ns:
        shutil.copyfile(entry.path, os.path.join(target, entry.name))
"""

SNAKEFILE = """\
NAMES, = glob_wildcards("data/shape/{name}.off")
rule all:
    input: expand("out/shape/{name}.off", name=NAMES)
rule convert:
    input: "data/shape/{name}.off"
    output: "out/shape/{name}.off"
    shell: "cp {input} {output}"
"""


class Cost(typing.NamedTuple):
    cpu_s: float
    wall_s: float
    peak_mib: float
    output: str


class Stopped(Exception):
    """A run took too long, or failed (for want of memory, it may be)."""


class Place:
    """A folder to run one tool in, with `data/shape/*.off`."""

    def __init__(self, folder, count, limits):
        self.folder, self.count, self.limits = folder, count, limits
        self.data = folder / "data/shape"
        self.names = [f"{number:07d}.off" for number in range(count)]
        self.data.mkdir(parents=True)
        for number, name in enumerate(self.names):
            (self.data / name).write_text(TETRAHEDRON.format(1 + number / (2 * count)))
        # Settings and caches of the user are neither read nor written; nothing is sent or asked for.
        home = folder / "home"
        home.mkdir()
        self.environment = {**os.environ, **dict.fromkeys(HOMES, str(home)), "DVC_NO_ANALYTICS": "1"}

    def change(self, number):
        (self.data / self.names[number]).write_text(TETRAHEDRON.format(2 + number / self.count))

    def run(self, *command):
        with open(self.folder / "output.txt", "w+") as output:
            start = time.monotonic()
            child = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
            for what, limit in self.limits.items():
                resource.prlimit(child.pid, what, (limit, limit))
            _, status, usage = os.wait4(child.pid, 0)
            wall_s = time.monotonic() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        if child.returncode == -signal.SIGKILL:
            raise Stopped(f"more than {self.limits[resource.RLIMIT_CPU]} s")
        if child.returncode:
            print(text[-2000:], file=sys.stderr)
            raise Stopped(f"exit code {child.returncode}")
        return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, text)


class Voxflow:
    def __init__(self, place, binary):
        self.place = place
        options = ["--set", "root=data", "--set", "voxels.resolution=8", "--workers", "1", "--quiet", "--format", "json"]
        self.command = [str(binary), "--home", "store", "run", str(PIPELINE), *options]
        place.run(*self.command)

    def is_right(self, output, changed):
        stages = {stage["id"]: stage for stage in json.loads(output.splitlines()[-1])["stages"]}
        return stages["voxels"]["reused"] == self.place.count - len(changed)


class Copying:
    """A peer that copies `data` to `out`, and says so when there is nothing to do."""

    def __init__(self, place, command):
        self.place, self.command = place, [str(SCRIPTS / command[0]), *command[1:]]

    def is_right(self, output, changed):
        copies = self.place.folder / "out/shape"
        is_current = all((copies / name).read_bytes() == (self.place.data / name).read_bytes() for name in changed)
        return is_current and (self.IDLE in output) == (not changed)


class Dvc(Copying):
    IDLE = "didn't change, skipping"
    OUTPUT = "--outs"

    def __init__(self, place, _):
        super().__init__(place, ["dvc", "repro"])
        (place.folder / "copy.py").write_text(COPY)
        for words in (["init", "--no-scm"], ["config", "core.analytics", "false"], ["config", "core.check_update", "false"],
                      ["stage", "add", "-n", "copy", "-d", "data", self.OUTPUT, "out", *self.copy("out/shape")], ["repro"]):
            place.run(self.command[0], *words)

    def copy(self, target):
        return [sys.executable, "copy.py", "data/shape", target]

    def alone(self):
        """The stage's command without DVC."""
        cost = self.place.run(*self.copy("alone"))
        shutil.rmtree(self.place.folder / "alone")
        return cost


class DvcPersist(Dvc):
    OUTPUT = "--outs-persist"

    def alone(self):
        return self.place.run(*self.copy("out/shape"))


class Snakemake(Copying):
    IDLE = "Nothing to be done"

    def __init__(self, place, _):
        super().__init__(place, ["snakemake", "--cores", "1"])
        (place.folder / "Snakefile").write_text(SNAKEFILE)
        first, *rest = place.names
        place.run(*self.command, f"out/shape/{first}")
        records = place.folder / ".snakemake/metadata"
        record_of = lambda name: records / base64.urlsafe_b64encode(f"out/shape/{name}".encode()).decode()
        record = record_of(first).read_text()
        digest = lambda content: hashlib.sha256(content).hexdigest()
        first_digest = digest((place.data / first).read_bytes())
        assert first_digest in record, record
        for name in rest:
            content = (place.data / name).read_bytes()
            (place.folder / "out/shape" / name).write_bytes(content)
            record_of(name).write_text(record.replace(first, name).replace(first_digest, digest(content)))


TOOLS = {"voxflow": Voxflow, "dvc": Dvc, "dvc-persist": DvcPersist, "snakemake": Snakemake}


def measured(place, make_tool, rounds, patience_s):
    """Costs of runs with nothing changed, of runs after one file changed, and of the command alone; and what stopped it."""
    idle, changed, alone = [], [], []
    try:
        tool = make_tool(place)
        for number in range(rounds):
            for costs, names in (idle, []), (changed, [place.names[number]]):
                if names:
                    place.change(number)
                cost = place.run(*tool.command)
                if not tool.is_right(cost.output, names):
                    raise Stopped(f"not what was to be done: {cost.output[-500:]}")
                costs.append(cost)
            if hasattr(tool, "alone"):
                alone.append(tool.alone())
            if idle[-1].cpu_s + changed[-1].cpu_s > patience_s:
                break
    except Stopped as stopped:
        return idle, changed, alone, str(stopped)
    return idle, changed, alone, None


def row(name, count, idle, changed, alone, stopped):
    middle = lambda costs, part: statistics.median(getattr(cost, part) for cost in costs)
    cell = lambda costs, part, scale=1: f"{middle(costs, part) * scale:.3g}" if costs else "–"
    peak = max((cost.peak_mib for cost in idle + changed), default=0)
    cells = [name, f"{count:,}", cell(idle, "cpu_s"), cell(idle, "cpu_s", 1e6 / count), cell(idle, "wall_s"),
             stopped or cell(changed, "cpu_s"), cell(alone, "cpu_s"), f"{peak:.0f}"]
    return f"| {' | '.join(cells)} |"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxflow", type=pathlib.Path, default="target/release/voxflow")
    parser.add_argument("--files", nargs="+", type=int, default=[1_000, 10_000])
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=120, help="CPU seconds of a round, after which no other follows")
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds that a run may take")
    parser.add_argument("--memory", type=int, default=8, help="GiB of data a process may have")
    parser.add_argument("--core", type=int, default=0)
    return parser.parse_args()


def main():
    arguments = parse()
    measure.tie_to_core(arguments.core)
    limits = {resource.RLIMIT_CPU: arguments.limit, resource.RLIMIT_DATA: arguments.memory << 30}
    peers = {name.split("-")[0] for name in arguments.tools} - {"voxflow"}
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(peers)))
    print("\n| tool | files | no-op CPU s | a file, µs | no-op wall s | one change CPU s | of it the command | peak MiB |")
    print("|" + "---|" * 8, flush=True)
    for name in arguments.tools:
        for count in sorted(arguments.files):
            with tempfile.TemporaryDirectory(prefix="incremental-") as folder:
                place = Place(pathlib.Path(folder), count, limits)
                make_tool = lambda place: TOOLS[name](place, arguments.voxflow.resolve())
                *costs, stopped = measured(place, make_tool, arguments.rounds, arguments.patience)
                print(row(name, count, *costs, stopped), flush=True)
            if stopped:
                break


if __name__ == "__main__":
    main()
