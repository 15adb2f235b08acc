"""The training step of the 3D-VAE-GAN: ours beside PyTorch's, by turns, and what views cost.

    torch_step.py TIME_STEP                    the step at the sizes of the literature; TIME_STEP is the built example:
                                               cargo build --release --workspace --example time_step
    torch_step.py TIME_STEP --views 1,2,4,8,12 ours alone: views all at once and one after the other
    torch_step.py TIME_STEP --device cuda,wgpu --cube 32,64 --batch 32,128 --compile
                                               on a graphics card, beside eager PyTorch with TF32 (its default) and in
                                               single precision (as ours), and compiled

Both make the same step: encoder and generator forwards, the discriminator's loss, its gradients and Adam, its verdict
again, one pass backwards for encoder and generator, and their Adams. Figures are medians; on the CPU of the time of
the process's CPUs, with as many threads on both sides; on a card of the time of the wall, the device waited for, and
beside it how busy nvidia-smi says the card was while that side alone made steps for some seconds.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time

# A thread of OpenMP that waits shall not count as one that works.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

import torch_parity

PARTS = ["forward", "judge", "judge_back", "judge_adam", "fool", "back", "adam"]


class Ended(SystemExit):
    """A side makes no more steps."""


class Ours:
    """The example, which makes a step for each line that it is sent."""

    def __init__(self, binary, threads, options):
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        self.child = subprocess.Popen(
            [binary, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(self):
        """Begins a step, for `answer` to wait for."""
        try:
            self.child.stdin.write("\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            raise Ended("time_step has ended; its message stands above") from None

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            raise Ended("time_step has ended; its message stands above")
        return json.loads(line)

    def step(self):
        self.ask()
        return self.answer()

    def end(self):
        self.child.stdin.close()
        self.child.wait()


class Theirs:
    """The same step in PyTorch."""

    def __init__(self, options, device, compiled=False, tf32=True):
        self.device, self.tf32 = device, tf32
        cube, image, width = options.cube, options.image, options.width
        less = lambda n: max(n // width, 1)
        sizes = torch_parity.vae(
            cube, image, less(200), [less(n) for n in (64, 128, 256, 512, 400)], less(cube), less(cube))
        torch.manual_seed(1)
        self.model = torch_parity.Net("vae_gan", sizes).train().to(device)
        parts = [self.model.E, self.model.G, self.model.D]
        self.adams = [
            torch.optim.Adam(part.parameters(), rate, (0.5, 0.5), eps=1e-8)
            for part, rate in zip(parts, (1e-4, 2.5e-3, 1e-3))
        ]
        self.E, self.G, self.D = [torch.compile(p) for p in parts] if compiled else parts
        batch, z = options.batch, sizes["z_size"]
        self.images = torch.rand(batch, 3, image, image, device=device)
        self.grids = (torch.rand(batch, cube, cube, cube, device=device) < 0.1).float()
        self.epsilon, self.prior = torch.randn(batch, z, device=device), torch.randn(batch, z, device=device)

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.process_time(), time.perf_counter()

    def move(self, loss, adams):
        parameters = [p for adam in adams for p in adam.param_groups[0]["params"]]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient

    def step(self):
        # PyTorch's default for convolutions: products of numbers with ten bits of their fraction.
        torch.backends.cudnn.allow_tf32 = self.tf32
        laps = [self.now()]
        mean, log_variance = self.E(self.images)
        seen = mean + (log_variance / 2).exp() * self.epsilon
        logits, imagined = self.G(torch.cat([seen, self.prior])).chunk(2)
        divergence = (-0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)).mean()
        fakes = imagined.sigmoid()
        laps.append(self.now())
        verdicts = self.D(self.grids), self.D(fakes.detach())
        loss_d = torch_parity.fooled(verdicts[0], 1.0) + torch_parity.fooled(verdicts[1], 0.0)
        laps.append(self.now())
        self.move(loss_d, self.adams[2:])
        laps.append(self.now())
        self.adams[2].step()
        laps.append(self.now())
        reconstruction = ((logits.sigmoid() - self.grids) ** 2).sum() / len(logits)
        # No gradient for the discriminator's own parameters.
        for parameter in self.model.D.parameters():
            parameter.requires_grad_(False)
        loss_g = torch_parity.fooled(self.D(fakes), 1.0)
        laps.append(self.now())
        self.move(reconstruction + divergence + loss_g, self.adams[:2])
        for parameter in self.model.D.parameters():
            parameter.requires_grad_(True)
        laps.append(self.now())
        for adam in self.adams[:2]:
            adam.step()
        laps.append(self.now())
        losses = [loss.item() for loss in (loss_d, loss_g, reconstruction, divergence)]
        end = self.now()
        spans = [[b - a for a, b in zip(*pair)] for pair in zip(laps, laps[1:])]
        whole = [b - a for a, b in zip(laps[0], end)]
        names = ("loss_d", "loss_g", "loss_recon", "loss_kl")
        return {"cpu_s": whole[0], "wall_s": whole[1], "parts": dict(zip(PARTS, spans))} | dict(zip(names, losses))


def middle(steps, of):
    return statistics.median(of(step) for step in steps)


def beside(options):
    """Ours and PyTorch's by turns on the CPU: the whole step, and its parts."""
    threads = options.threads
    torch.set_num_threads(threads)
    ours = Ours(options.binary, threads, arguments_of(options, "cpu"))
    sides = {"ours": ours, "torch": Theirs(options, "cpu")}
    steps = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name, side in sides.items():
            step = side.step()
            if turn > 0:
                steps[name].append(step)
    ours.end()
    print(f"{threads} threads, batch {options.batch}, {options.cube}^3, {options.image} px, {options.rounds} rounds, "
          f"torch {torch.__version__}; milliseconds of CPU, medians")
    print("| part | ours | torch | ratio |")
    print("|---|---|---|---|")
    for part in PARTS:
        report(part, *(middle(steps[name], lambda step: step["parts"][part][0]) for name in sides))
    report("whole step", *(middle(steps[name], lambda step: step["cpu_s"]) for name in sides))
    ratios = sorted(a["cpu_s"] / b["cpu_s"] for a, b in zip(steps["ours"], steps["torch"]))
    walls = [middle(steps[name], lambda step: step["wall_s"]) for name in sides]
    print(f"ratio of a round: {ratios[0]:.2f} to {ratios[-1]:.2f}; wall {walls[0]:.2f} s and {walls[1]:.2f} s")


def report(name, ours, theirs):
    print(f"| {name} | {ours * 1e3:.0f} | {theirs * 1e3:.0f} | {ours / theirs:.2f} |")


def arguments_of(options, device):
    words = ["--device", device, "--batch", options.batch, "--cube", options.cube, "--image", options.image]
    return [str(word) for word in words + ["--width", options.width]]


def views(options):
    """What a step costs with several views, all at once and one after the other, by turns."""
    print(f"batch {options.batch}, {options.cube}^3, {options.image} px, {options.device[0]}; seconds a step, "
          f"medians of {options.rounds} rounds; peak memory of the process")
    print("| views | folded, CPU s | one by one, CPU s | folded by one by one | wall s | wall s | MiB | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for count in options.views:
        words = arguments_of(options, options.device[0]) + ["--views", str(count)]
        sides = [Ours(options.binary, options.threads, words + more) for more in ([], ["--one-by-one"])]
        steps = [[], []]
        # On a card the first steps compile kernels, those of both sides at once.
        first = 1 if options.device == ["cpu"] else 3
        for side in sides:
            side.ask()
        for turn in range(options.rounds + first):
            for i, side in enumerate(sides):
                step = side.answer() if turn == 0 else side.step()
                if turn >= first:
                    steps[i].append(step)
        for side in sides:
            side.end()
        cpu = [middle(s, lambda step: step["cpu_s"]) for s in steps]
        wall = [middle(s, lambda step: step["wall_s"]) for s in steps]
        peak = [max(step["peak_mib"] for step in s) for s in steps]
        print(f"| {count} | {cpu[0]:.2f} | {cpu[1]:.2f} | {cpu[0] / cpu[1]:.2f} | {wall[0]:.3f} | {wall[1]:.3f} "
              f"| {peak[0]:.0f} | {peak[1]:.0f} |", flush=True)


def busy_percent(side, seconds=2.0):
    """Share of the time in which a kernel ran on the first card while `side` made steps; none without nvidia-smi."""
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    sampler = subprocess.Popen(query, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        side.step()
    sampler.terminate()
    samples = [int(line) for line in sampler.communicate()[0].split() if line.isdigit()]
    # A figure is of the time before it: the first ones are of before the steps.
    return statistics.mean(samples[len(samples) // 3:]) if len(samples) > 5 else None


def cell(walls, busy):
    if not walls:
        return "–"
    share = "" if busy is None else f" ({busy:.0f} %)"
    return f"{statistics.median(walls) * 1e3:.1f}{share}"


def side_of(options, name):
    """What makes the steps of a column."""
    match name:
        case "torch":
            return Theirs(options, "cuda")
        case "torch fp32":
            return Theirs(options, "cuda", tf32=False)
        case "torch.compile":
            return Theirs(options, "cuda", compiled=True)
        case _:
            return Ours(options.binary, options.threads, arguments_of(options, name))


def measured(options, names):
    """Walls and share of the card of each side, by turns; of one that fails none."""
    sides, walls, busy = {}, {name: [] for name in names}, {}
    for name in names:
        with failing(name, sides):
            sides[name] = side_of(options, name)
            if isinstance(sides[name], Ours):
                sides[name].ask()  # All compile at once.
    # The first steps choose and compile kernels.
    for turn in range(options.rounds + 3):
        for name, side in list(sides.items()):
            with failing(name, sides):
                is_asked = turn == 0 and isinstance(side, Ours)
                wall = (side.answer() if is_asked else side.step())["wall_s"]
                if turn > 2:
                    walls[name].append(wall)
    for name, side in list(sides.items()):
        with failing(name, sides):
            busy[name] = busy_percent(side)
            if isinstance(side, Ours):
                side.end()
    sides.clear()
    with contextlib.suppress(RuntimeError):
        torch.cuda.empty_cache()
    return walls, busy


@contextlib.contextmanager
def failing(name, sides):
    """A side that ends or finds no memory is left out from there on."""
    try:
        yield
    except (Ended, RuntimeError) as fault:
        print(f"{name}: {str(fault).splitlines()[0]}", flush=True)
        sides.pop(name, None)


def cards(options):
    """The step on devices that compute on their own, one size after the other."""
    has_cuda = torch.cuda.is_available()
    print(f"{torch.cuda.get_device_name() if has_cuda else 'no CUDA for PyTorch'}, torch {torch.__version__}, "
          f"{options.rounds} rounds; milliseconds of the wall a step, medians (share of the time in which the card was busy)")
    names = [*options.device, *(["torch", "torch fp32"] if has_cuda else [])]
    if has_cuda and options.compile:
        names.append("torch.compile")
    print("| grid | batch | " + " | ".join(names) + " |")
    print("|---|---|" + "---|" * len(names))
    for options.cube in options.cubes:
        for options.batch in options.batches:
            if options.apart:
                found = [measured(options, [name]) for name in names]
                walls = {name: of for one, _ in found for name, of in one.items()}
                busy = {name: of for _, one in found for name, of in one.items()}
            else:
                walls, busy = measured(options, names)
            cells = [cell(walls[name], busy.get(name)) for name in names]
            print(f"| {options.cube}^3 | {options.batch} | " + " | ".join(cells) + " |", flush=True)


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", metavar="TIME_STEP")
    parser.add_argument("--device", default=["cpu"], type=lambda text: text.split(","))
    parser.add_argument("--batch", dest="batches", default=[8], type=numbers)
    parser.add_argument("--cube", dest="cubes", default=[32], type=numbers)
    parser.add_argument("--image", default=224, type=int)
    parser.add_argument("--width", default=1, type=int, help="channels of the literature divided by this")
    parser.add_argument("--views", type=numbers)
    parser.add_argument("--rounds", default=7, type=int)
    parser.add_argument("--threads", default=os.cpu_count(), type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--apart", action="store_true", help="one side after the other, where a card cannot hold all")
    options = parser.parse_args()
    options.batch, options.cube = options.batches[0], options.cubes[0]
    if options.views:
        views(options)
    elif options.device == ["cpu"]:
        beside(options)
    else:
        cards(options)


if __name__ == "__main__":
    main()
