"""The networks of operators/models in PyTorch, written from the tables of their layers, and what they answer.

    torch_parity.py                    writes the fixtures of operators/models/tests/data/torch
    torch_parity.py --full PARITY      compares at the sizes of the literature, answers and ten training steps;
                                       PARITY is the built example:
                                       cargo build --release -p voxflow-models --example parity
    torch_parity.py --full PARITY --steps NAME...
                                       the training steps of these cases alone, such as "pose Concat"

A case is a safetensors file: `weight.*` before anything ran, `input.*`, then `eval.*` (running statistics),
`train.*` (batch statistics), `grad.*` of `train.loss` and `after.*`, running statistics after that pass. Its
metadata say which network it is and how it is configured, in the words of the Rust configuration. A case of
training steps has `setting.*`, `input.batch_0.*` and `input.batch_1.*` by turns, `input.STEP.*` drawn anew in each,
and `loss.*`, one number a step.
"""

import argparse
import copy
import json
import pathlib
import subprocess
import tempfile

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

FOLDER = pathlib.Path(__file__).parents[2] / "operators/models/tests/data/torch"
# Of grids, only every so many numbers are kept in a fixture; of parameters, only small gradients.
GRID_STRIDE = 11
LARGEST_GRADIENT = 300


def norms(dims, channels):
    return nn.ModuleList([{2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](c) for c in channels])


def doublings(cube):
    return {16: 2, 32: 3, 64: 4}[cube]


class Generator(nn.Module):
    """Table 1.1: five transposed convolutions, four for 16^3."""

    def __init__(self, c):
        super().__init__()
        cube, channels = c["cube_len"], c["generator_channels"]
        widths = [c["z_size"]] + [channels << i for i in reversed(range(3 if cube == 16 else 4))] + [1]
        stem = 0 if cube == 64 else 1
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose3d(a, b, 4, 2, stem if i == 0 else 1, bias=c["bias"])
            for i, (a, b) in enumerate(zip(widths, widths[1:]))
        )
        self.normalisations = norms(3, widths[1:-1])

    def forward(self, z):
        x = z.reshape(*z.shape, 1, 1, 1)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.relu(norm(convolution(x)))
        return self.convolutions[-1](x).squeeze(1)


class Discriminator(nn.Module):
    """Table 1.1, its mirror."""

    def __init__(self, c):
        super().__init__()
        cube, channels = c["cube_len"], c["discriminator_channels"]
        widths = [1] + [channels << i for i in range(3 if cube == 16 else 4)] + [1]
        last = len(widths) - 2
        self.convolutions = nn.ModuleList(
            nn.Conv3d(a, b, 4, 2, 0 if cube == 64 and i == last else 1, bias=c["bias"])
            for i, (a, b) in enumerate(zip(widths, widths[1:]))
        )
        self.normalisations = norms(3, widths[1:-1])

    def forward(self, grids):
        x = grids.unsqueeze(1)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.leaky_relu(norm(convolution(x)), 0.2)
        return self.convolutions[-1](x).flatten()


class CodedEncoder(nn.Module):
    """Table 1.2: kernels of 5 and two linear layers."""

    def __init__(self, c):
        super().__init__()
        widths, edge = [3] + c["encoder_channels"], c["image_size"]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 5, 2, 2) for a, b in zip(widths, widths[1:]))
        self.normalisations = norms(2, widths[1:])
        for _ in widths[1:]:
            edge = (edge - 1) // 2 + 1
        self.mean, self.log_variance = (nn.Linear(widths[-1] * edge**2, c["z_size"]) for _ in range(2))
        self.scrambled = c["scrambled_pictures"]

    def forward(self, x):
        if self.scrambled:
            x = (x * 255).permute(0, 2, 3, 1).contiguous().view(x.shape)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.relu(norm(convolution(x)))
        x = x.flatten(1)
        return self.mean(x), self.log_variance(x)


class PaperEncoder(nn.Module):
    """Table 1.2, paper style: kernels 11, 5, 5, 5 and what is left, strides 4, 2, 2, 2, 1."""

    def __init__(self, c):
        super().__init__()
        widths, edge = [3] + c["encoder_channels"], c["image_size"]
        for stride in (4, 2, 2, 2):
            edge = (edge - 1) // stride + 1
        shapes = [(11, 4, 5), (5, 2, 2), (5, 2, 2), (5, 2, 2), (edge, 1, 0)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, *shape) for a, b, shape in zip(widths, widths[1:], shapes)
        )
        self.normalisations = norms(2, widths[1:])
        self.rectified = c["rectified_codes"]

    def forward(self, x):
        for i, (convolution, norm) in enumerate(zip(self.convolutions, self.normalisations)):
            x = norm(convolution(x))
            if i < 4 or self.rectified:
                x = F.relu(x)
        return x.flatten(1).chunk(2, 1)


class PoseBranch(nn.Module):
    def __init__(self, fusion, channels, sizes):
        super().__init__()
        self.first, self.second = nn.Linear(12, sizes[0]), nn.Linear(sizes[0], sizes[1])
        if fusion == "Film":
            self.film = nn.Linear(sizes[1], 2 * channels)
        if fusion == "Attention":
            self.query = nn.Linear(sizes[1], sizes[1])
            self.key, self.value = nn.Linear(channels, sizes[1]), nn.Linear(channels, sizes[1])
        self.fusion = fusion

    def forward(self, x, poses):
        pose = F.relu(self.second(F.relu(self.first(poses))))
        if self.fusion == "Film":
            scale, shift = self.film(pose)[:, :, None, None].chunk(2, 1)
            return (x * (1 + scale) + shift).flatten(1)
        if self.fusion == "Attention":
            places = x.flatten(2).transpose(1, 2)
            scores = torch.einsum("bs,bps->bp", self.query(pose), self.key(places)) / pose.shape[1] ** 0.5
            pose = pose + torch.einsum("bp,bps->bs", scores.softmax(1), self.value(places))
        return torch.cat([x.flatten(1), pose], 1)


class PoseEncoder(nn.Module):
    """Table 1.4: kernels of 4, leaky ReLU, a pose of 12 numbers."""

    def __init__(self, c):
        super().__init__()
        widths, sizes = [3] + c["encoder_channels"], c["pose_sizes"]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:]))
        self.normalisations = norms(2, widths[1:])
        features = widths[-1] * (c["image_size"] >> len(c["encoder_channels"])) ** 2
        if c["fusion"] != "None":
            self.pose = PoseBranch(c["fusion"], widths[-1], sizes)
        features += sizes[1] if c["fusion"] in ("Concat", "Attention") else 0
        self.mean, self.log_variance = nn.Linear(features, c["z_size"]), nn.Linear(features, c["z_size"])
        if c["unused_view_weights"]:
            self.view_weights = nn.Parameter(torch.ones(4))

    def forward(self, x, poses):
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.leaky_relu(norm(convolution(x)), 0.2)
        x = self.pose(x, poses) if hasattr(self, "pose") else x.flatten(1)
        return self.mean(x), self.log_variance(x)


class PoseGenerator(nn.Module):
    """Table 1.4: linear, then normalisation, ReLU and a transposed convolution, again and again."""

    def __init__(self, c):
        super().__init__()
        widths = [c["generator_channels"] << i for i in reversed(range(doublings(c["cube_len"]) + 1))]
        self.stem = nn.Linear(c["z_size"], widths[0] * 64)
        self.normalisations = norms(3, widths)
        self.convolutions = nn.ModuleList(
            [nn.ConvTranspose3d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:])]
            + [nn.ConvTranspose3d(widths[-1], 1, 3, 1, 1)]
        )

    def forward(self, z):
        x = self.stem(z).view(len(z), -1, 4, 4, 4)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = convolution(F.relu(norm(x)))
        return x.squeeze(1)


class PoseDiscriminator(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [1] + [c["discriminator_channels"] << i for i in range(doublings(c["cube_len"]))]
        self.convolutions = nn.ModuleList(
            [nn.Conv3d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:])] + [nn.Conv3d(widths[-1], 1, 4)]
        )
        self.normalisations = norms(3, widths[1:])

    def forward(self, grids):
        x = grids.unsqueeze(1)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.leaky_relu(norm(convolution(x)), 0.2)
        return self.convolutions[-1](x).flatten()


class Attention(nn.Module):
    """Table 1.5: one linear layer for queries, keys and values."""

    def __init__(self, channels, heads, causal):
        super().__init__()
        self.project, self.output = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.heads, self.causal = heads, causal

    def forward(self, x):
        b, c, h, w = x.shape
        rows = self.project(x.flatten(2).transpose(1, 2))
        q, k, v = (part.view(b, h * w, self.heads, -1).transpose(1, 2) for part in rows.chunk(3, 2))
        if h * w > 4096 and not self.causal:
            seen = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
            if self.causal:
                scores = scores + torch.triu(torch.full_like(scores, -1e4), 1)
            seen = scores.softmax(3) @ v
        return self.output(seen.transpose(1, 2).reshape(b, h * w, c)).transpose(1, 2).reshape(x.shape)


class AttentionEncoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [1] + c["encoder_channels"]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, 1, 1) for a, b in zip(widths, widths[1:]))
        self.attentions = nn.ModuleList(Attention(w, h, c["causal"]) for w, h in zip(widths[1:], c["heads"]))
        sizes = [widths[-1] * (c["image_height"] // 32) * (c["image_width"] // 32)] + c["hidden"]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.mean, self.log_deviation = (nn.Linear(sizes[-1], c["z_size"]) for _ in range(2))

    def forward(self, x):
        for i, (convolution, pool) in enumerate(zip(self.convolutions, (2, 4, 4))):
            x = F.relu(F.max_pool2d(convolution(x), pool))
            if i < 2:
                x = x + self.attentions[i](x)
        x = x.flatten(1)
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.mean(x), 2 * self.log_deviation(x)


class AttentionGenerator(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [c["generator_channels"] << i for i in reversed(range(doublings(c["cube_len"])))] + [1]
        self.stem = nn.Linear(c["z_size"], widths[0] * 64)
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose3d(a, b, 4, 2, 1) for a, b in zip(widths, widths[1:])
        )
        self.normalisations = norms(3, widths[1:-1])

    def forward(self, z):
        x = self.stem(z).view(len(z), -1, 4, 4, 4)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.relu(norm(convolution(x)))
        return self.convolutions[-1](x).squeeze(1)


class AttentionDiscriminator(nn.Module):
    def __init__(self, c):
        super().__init__()
        widths = [1] + [c["discriminator_channels"] << i for i in range(doublings(c["cube_len"]))]
        self.convolutions = nn.ModuleList(
            nn.Conv3d(a, b, 4, 2, 1, bias=False) for a, b in zip(widths, widths[1:])
        )
        self.normalisations = norms(3, widths[1:])
        self.head = nn.Linear(widths[-1] * 64, 1)

    def forward(self, grids):
        x = grids.unsqueeze(1)
        for convolution, norm in zip(self.convolutions, self.normalisations):
            x = F.leaky_relu(norm(convolution(x)), 0.2)
        return self.head(x.flatten(1)).flatten()


class Net(nn.Module):
    """Encoder E, generator G, discriminator D, and one forward pass of a system."""

    def __init__(self, network, c):
        super().__init__()
        self.network, self.c = network, c
        sizes = c["single"] if network == "multi_view" else c
        if network in ("vae_gan", "multi_view"):
            self.E = (PaperEncoder if sizes["encoder_kind"] == "Paper" else CodedEncoder)(sizes)
        if network in ("gan", "vae_gan", "multi_view"):
            self.G, self.D = Generator(sizes), Discriminator(sizes)
        if network == "pose":
            self.E, self.G, self.D = PoseEncoder(c), PoseGenerator(c), PoseDiscriminator(c)
        if network == "attention":
            self.E, self.G, self.D = AttentionEncoder(c), AttentionGenerator(c), AttentionDiscriminator(c)

    def encode(self, inputs):
        given = [inputs["images"]] + ([inputs["poses"]] if self.network == "pose" else [])
        counts = inputs["counts"].tolist() if "counts" in inputs else None
        if counts is None or self.c["statistics"] == "Joint":
            return self.E(*given)
        first = [sum(counts[:i]) for i in range(len(counts))]
        rows = [[f + v for f, n in zip(first, counts) if v < n] for v in range(max(counts))]
        parts = [self.E(*(x[r] for x in given)) for r in rows]
        back = torch.argsort(torch.tensor(sum(rows, [])))
        return tuple(torch.cat(part)[back] for part in zip(*parts))

    def combine(self, codes, inputs):
        if "counts" not in inputs:
            return codes
        parts = codes.split(inputs["counts"].tolist())
        return torch.stack([p.mean(0) if self.c["combine"] == "Mean" else p.max(0).values for p in parts])

    def occupancies(self, logits):
        stretched = self.c.get("stretched_occupancies")
        return (1.2 * logits.sigmoid()).clamp(0, 1) if stretched else logits.sigmoid()

    def divergence(self, mean, log_variance, inputs):
        if self.c.get("swapped_divergence"):
            mean, log_variance = log_variance, mean
        if self.c.get("divergence_without_halves"):
            rows = (log_variance.exp() + mean**2 - log_variance / 2 - 0.5).sum(1)
        else:
            rows = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        if "counts" in inputs:
            rows = torch.stack([p.mean() for p in rows.split(inputs["counts"].tolist())])
        return rows.sum() if self.c.get("summed_divergence") else rows.mean()

    def answer(self, inputs):
        """Evaluation: nothing random, running statistics."""
        if self.network == "gan":
            grids = self.G(inputs["codes"]).sigmoid()
            return {"grids": grids, "verdict": self.D(grids)}
        mean, log_variance = self.E(*[inputs[n] for n in ("images", "poses") if n in inputs])
        grids = self.occupancies(self.G(self.combine(mean, inputs)))
        return {"mean": mean, "log_variance": log_variance, "grids": grids, "verdict": self.D(grids)}

    def learn(self, inputs, reconstruction):
        """Training: batch statistics, and one loss that moves everything."""
        target = inputs["target"].to(next(self.parameters()).dtype)
        if self.network == "gan":
            logits = self.G(inputs["codes"])
            verdict = self.D(logits.sigmoid())
            loss = reconstructed(reconstruction, logits.sigmoid(), target) + fooled(verdict, 1.0)
            return {"logits": logits, "verdict": verdict, "loss": loss}
        mean, log_variance = self.encode(inputs)
        seen = self.combine(mean + (log_variance / 2).exp() * inputs["epsilon"], inputs)
        logits, imagined = self.G(torch.cat([seen, inputs["prior"]])).split([len(seen), len(inputs["prior"])])
        grids, fakes = self.occupancies(logits), self.occupancies(imagined)
        verdict = self.D(grids)
        loss = reconstructed(reconstruction, grids, target) + self.divergence(mean, log_variance, inputs)
        loss = loss + fooled(verdict, 1.0) + fooled(self.D(fakes), 0.25)
        return {"mean": mean, "log_variance": log_variance, "logits": logits, "verdict": verdict, "loss": loss}


def fooled(verdict, label):
    return F.binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, label))


def reconstructed(name, p, t):
    """Losses of operators/models/src/losses.rs, on occupancies."""
    both, shared = p.sum((1, 2, 3)) + t.sum((1, 2, 3)), (p * t).sum((1, 2, 3))
    if name == "focal":
        right, alpha = p * t + (1 - p) * (1 - t), 0.25 * t + 0.75 * (1 - t)
        return (alpha * (1 - right) ** 2 * F.binary_cross_entropy(p, t, reduction="none")).mean()
    return {
        "sse": lambda: ((p - t) ** 2).sum() / len(p),
        "mse": lambda: F.mse_loss(p, t),
        "bce": lambda: F.binary_cross_entropy(p, t),
        "dice": lambda: (1 - (2 * shared + 1) / (both + 1)).mean(),
        "iou": lambda: (1 - (shared + 1) / (both - shared + 1)).mean(),
    }[name]()


def grown(model):
    """Running statistics and scales as if the network had learnt for a while."""
    for name, tensor in model.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.3)
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    for name, tensor in model.named_parameters():
        if "normalisations" in name:
            tensor.data.add_(torch.randn_like(tensor), alpha=0.1)
    return model


def inputs_of(network, c, samples, counts):
    sizes = c["single"] if network == "multi_view" else c
    cube, z = sizes["cube_len"], sizes["z_size"]
    views = sum(counts) if counts else samples
    target = (torch.rand(samples, cube, cube, cube) < 0.2).to(torch.uint8)
    if network == "gan":
        return {"codes": torch.randn(samples, z), "target": target}
    given = {"epsilon": torch.randn(views, z), "prior": torch.randn(samples, z), "target": target}
    if network == "attention":
        return given | {"images": torch.rand(views, 1, c["image_height"], c["image_width"])}
    given["images"] = torch.rand(views, 3, sizes["image_size"], sizes["image_size"])
    if network == "pose":
        given["poses"] = torch.randn(views, 12)
    return given | ({"counts": torch.tensor(counts)} if counts else {})


def case_of(network, c, reconstruction="bce", samples=2, counts=None, seed=0):
    """Model, inputs and metadata of one case."""
    torch.manual_seed(seed)
    model, inputs = grown(Net(network, c)), inputs_of(network, c, samples, counts)
    metadata = {"network": network, "config": json.dumps(c), "reconstruction": reconstruction, "stride": "1"}
    return model, inputs, metadata


def tensors_of(model, inputs, reconstruction):
    """Weights, inputs and answers of a case, all numbers kept."""
    tensors = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()}
    tensors |= {f"input.{k}": v for k, v in inputs.items()}
    with torch.no_grad():
        tensors |= {f"eval.{k}": v for k, v in model.eval().answer(inputs).items()}
    learnt = model.train().learn(inputs, reconstruction)
    learnt["loss"].backward()
    tensors |= {f"train.{k}": v.detach().reshape(v.shape or (1,)) for k, v in learnt.items()}
    for name, parameter in model.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        tensors[f"grad.{name}"] = gradient
    tensors |= {f"after.{k}": v for k, v in model.named_buffers() if "running" in k}
    return {k: v.contiguous() for k, v in tensors.items()}


# Learning rates of encoder, generator and discriminator, betas, weights of reconstruction and divergence.
SETTINGS = {"rates": [1e-4, 2.5e-3, 1e-3], "betas": [0.5, 0.5], "weights": [1.0, 1.0], "d_thresh": [0.8]}
OF_POSE = {"rates": [1e-4, 1e-4, 1e-5], "betas": [0.5, 0.999], "weights": [50.0, 1e-2], "d_thresh": [0.8]}
STEPS = 10


def steps_case(network, c, reconstruction="sse", samples=3, counts=None, settings=None, seed=0):
    """Model, inputs and metadata of ten steps: two batches by turns, random numbers anew in each."""
    settings = settings or SETTINGS
    model, first, metadata = case_of(network, c, reconstruction, samples, counts, seed)
    inputs = {f"setting.{k}": torch.tensor(v, dtype=torch.float64) for k, v in settings.items()}
    if "counts" in first:
        inputs["input.counts"] = first["counts"]
    for batch in range(2):
        given = inputs_of(network, c, samples, counts)
        inputs |= {f"input.batch_{batch}.{k}": given[k] for k in ("images", "poses", "target") if k in given}
    for step in range(STEPS):
        given = inputs_of(network, c, samples, counts)
        drawn = {k: given[k] for k in ("epsilon", "prior", "codes") if k in given}
        if network == "gan":
            drawn["codes_again"] = torch.randn_like(given["codes"])
        drawn["true_labels"] = torch.empty(samples).uniform_(0.7, 1.0)
        drawn["imagined_labels"] = torch.empty(samples).uniform_(0.0, 0.3)
        inputs |= {f"input.{step}.{k}": v for k, v in drawn.items()}
    metadata["steps"] = str(STEPS)
    return model, inputs, metadata


class Learner:
    """A network, its optimisers, and steps: "gradient of loss L for the parameters P"."""

    def __init__(self, model, settings, reconstruction):
        self.model, self.reconstruction = model.train(), reconstruction
        self.weights, self.d_thresh = settings["weights"], settings["d_thresh"][0]
        parts = {"E": 0, "G": 1, "D": 2}
        self.sets = {p: list(getattr(model, p).parameters()) for p in parts if hasattr(model, p)}
        self.optimisers = {
            p: torch.optim.Adam(self.sets[p], settings["rates"][parts[p]], settings["betas"], eps=1e-8)
            for p in self.sets
        }

    def move(self, loss, parts):
        parameters = [x for p in parts if p in self.sets for x in self.sets[p]]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            parameter.grad = gradient
        for part in parts:
            if part in self.optimisers:
                self.optimisers[part].step()

    def imagine(self, inputs):
        """Grids made up for D, again for G, reconstructions, and the divergence."""
        model = self.model
        if model.network == "gan":
            return model.G(inputs["codes"]).sigmoid(), model.G(inputs["codes_again"]).sigmoid(), None, None
        mean, log_variance = model.encode(inputs)
        seen = model.combine(mean + (log_variance / 2).exp() * inputs["epsilon"], inputs)
        logits = model.G(torch.cat([seen, inputs["prior"]]))
        grids, fakes = model.occupancies(logits).split([len(seen), len(inputs["prior"])])
        return fakes, fakes, grids, model.divergence(mean, log_variance, inputs)

    def step(self, inputs):
        target = inputs["target"].to(next(self.model.parameters()).dtype)
        fakes, again, grids, divergence = self.imagine(inputs)
        of_true, of_fakes = self.model.D(target), self.model.D(fakes.detach())
        accuracy = ((of_true >= 0).double().mean() + (of_fakes <= 0).double().mean()).item() / 2
        loss = F.binary_cross_entropy_with_logits(of_true, inputs["true_labels"].to(target.dtype))
        loss = loss + F.binary_cross_entropy_with_logits(of_fakes, inputs["imagined_labels"].to(target.dtype))
        is_open = accuracy <= self.d_thresh
        if is_open:
            self.move(loss, "D")
        fooling = fooled(self.model.D(again), 1.0)
        losses = {"d": loss, "accuracy": accuracy, "d_stepped": float(is_open), "g": fooling}
        total = fooling
        if grids is not None:
            found = reconstructed(self.reconstruction, grids, target)
            losses |= {"reconstruction": found, "divergence": divergence}
            total = total + self.weights[0] * found + self.weights[1] * divergence
        self.move(total, "EG")
        return {k: v.item() if isinstance(v, torch.Tensor) else v for k, v in losses.items()}


def trained(model, inputs, metadata, dtype=torch.float32):
    """Weights and inputs of a case of steps, and the losses of the steps."""
    tensors = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()} | inputs
    settings = {k.removeprefix("setting."): v.tolist() for k, v in inputs.items() if k.startswith("setting.")}
    learner, losses = Learner(model, settings, metadata["reconstruction"]), {}
    for step in range(STEPS):
        given = {k.removeprefix(f"input.{step}."): v for k, v in inputs.items() if k.startswith(f"input.{step}.")}
        batch = f"input.batch_{step % 2}."
        given |= {k.removeprefix(batch): v for k, v in inputs.items() if k.startswith(batch)}
        if "input.counts" in inputs:
            given["counts"] = inputs["input.counts"]
        given = {k: v.to(dtype) if v.dtype.is_floating_point else v for k, v in given.items()}
        for name, value in learner.step(given).items():
            losses.setdefault(f"loss.{name}", []).append(value)
    return tensors | {k: torch.tensor(v) for k, v in losses.items()}


def vae(cube, image, z, channels, g, d, kind="Coded", rectified=False, scrambled=False):
    return {
        "cube_len": cube, "image_size": image, "z_size": z, "encoder_channels": channels,
        "generator_channels": g, "discriminator_channels": d, "bias": False, "initial_log_variance": 0.0,
        "encoder_kind": kind, "rectified_codes": rectified, "scrambled_pictures": scrambled,
    }


def pose(cube, image, z, channels, g, d, sizes, fusion, combine="Mean", reference=False):
    return {
        "cube_len": cube, "image_size": image, "z_size": z, "encoder_channels": channels,
        "generator_channels": g, "discriminator_channels": d, "fusion": fusion, "pose_sizes": sizes,
        "combine": combine, "statistics": "PerView" if reference else "Joint",
        "stretched_occupancies": reference, "summed_divergence": reference, "unused_view_weights": reference,
    }


def attention(cube, height, width, z, channels, g, d, heads, hidden, reference=False):
    return {
        "cube_len": cube, "image_height": height, "image_width": width, "z_size": z,
        "encoder_channels": channels, "generator_channels": g, "discriminator_channels": d, "heads": heads,
        "hidden": hidden, "query_block": 100, "dropout": 0.0, "causal": reference,
        "divergence_without_halves": reference,
        # Of the first draw of weights, which this script replaces by its own.
        "initial_log_variance": 0.0, "fading_weights": reference,
    }


def several(single, combine, reference=False):
    statistics = "PerView" if reference else "Joint"
    return {"single": single, "combine": combine, "statistics": statistics, "swapped_divergence": reference}


def gan(cube, z, g, d, bias=False):
    return {
        "cube_len": cube, "z_size": z, "generator_channels": g, "discriminator_channels": d, "bias": bias, "leak": 0.2,
    }


def small_cases():
    coded = vae(16, 17, 3, [3, 4], 1, 1)
    paper = [3, 4, 4, 4, 6]
    sized = lambda fusion, **more: pose(16, 16, 3, [3, 4], 2, 2, [6, 5], fusion, **more)
    seen = lambda **more: attention(16, 32, 64, 4, [4, 4, 3], 2, 2, [2, 4], [6, 5, 4], **more)
    return {
        "gan": case_of("gan", gan(16, 3, 2, 2, bias=True)),
        "vae_gan": case_of("vae_gan", coded, "sse"),
        "vae_gan_scrambled": case_of("vae_gan", coded | {"scrambled_pictures": True}),
        "vae_gan_paper": case_of("vae_gan", vae(16, 34, 3, paper, 1, 1, "Paper"), "dice", samples=3),
        "vae_gan_paper_rectified": case_of("vae_gan", vae(16, 34, 3, paper, 1, 1, "Paper", True), samples=3),
        "multi_view_mean": case_of("multi_view", several(coded, "Mean"), counts=[1, 3]),
        "multi_view_max": case_of("multi_view", several(coded, "Max"), "iou", counts=[2, 1]),
        "multi_view_reference": case_of("multi_view", several(coded, "Max", True), counts=[2, 2]),
        "pose_none": case_of("pose", sized("None"), counts=[1, 2]),
        "pose_concat": case_of("pose", sized("Concat"), "focal", counts=[1, 2]),
        "pose_film": case_of("pose", sized("Film"), counts=[1, 2]),
        "pose_attention": case_of("pose", sized("Attention"), counts=[1, 2]),
        "pose_reference": case_of("pose", sized("Concat", combine="Max", reference=True), "mse", counts=[2, 2]),
        "attention": case_of("attention", seen()),
        "attention_reference": case_of("attention", seen(reference=True)),
    }


def small_steps():
    coded, sizes = vae(16, 17, 3, [3, 4], 1, 1), [6, 5]
    posed = pose(16, 16, 3, [3, 4], 2, 2, sizes, "Concat")
    seen = attention(16, 32, 64, 4, [4, 4, 3], 2, 2, [2, 4], [6, 5, 4])
    return {
        "steps_gan": steps_case("gan", gan(16, 3, 2, 2)),
        "steps_vae_gan": steps_case("vae_gan", coded),
        "steps_multi_view": steps_case("multi_view", several(coded, "Mean"), samples=2, counts=[1, 2]),
        "steps_pose": steps_case("pose", posed, "mse", samples=2, counts=[1, 2], settings=OF_POSE),
        "steps_attention": steps_case("attention", seen, samples=2),
    }


def full_steps():
    """Makers of ten steps at the sizes of the literature."""
    channels, seen = [64, 128, 256, 512, 400], [32, 64, 128, 256, 512]
    coded = vae(32, 224, 200, channels, 32, 32)
    yield "gan 32", lambda: steps_case("gan", gan(32, 200, 32, 32), samples=4)
    yield "vae_gan coded", lambda: steps_case("vae_gan", coded, samples=4)
    mean = several(coded, "Mean")
    yield "multi_view mean", lambda: steps_case("multi_view", mean, samples=3, counts=[1, 2, 1])
    sizes = pose(32, 224, 128, seen, 64, 32, [128, 64], "Concat")
    yield "pose Concat", lambda: steps_case("pose", sizes, "mse", samples=3, counts=[1, 2, 1], settings=OF_POSE)
    large = attention(64, 192, 256, 1024, [32, 64, 128], 8, 64, [4, 8], [1024, 512, 256])
    yield "attention", lambda: steps_case("attention", large)


def full_cases():
    """Makers of cases at the sizes of the literature, one at a time: they are large."""
    channels, seen = [64, 128, 256, 512, 400], [32, 64, 128, 256, 512]
    coded = vae(32, 224, 200, channels, 32, 32)
    yield "gan 32", lambda: case_of("gan", gan(32, 200, 32, 32), samples=4)
    yield "gan 64", lambda: case_of("gan", gan(64, 200, 64, 64), samples=4)
    yield "vae_gan coded", lambda: case_of("vae_gan", coded, samples=4)
    paper = vae(32, 256, 200, channels, 32, 32, "Paper")
    yield "vae_gan paper", lambda: case_of("vae_gan", paper, samples=4)
    yield "multi_view mean", lambda: case_of("multi_view", several(coded, "Mean"), counts=[1, 3])
    reference = several(coded, "Max", True)
    yield "multi_view reference", lambda: case_of("multi_view", reference, counts=[2, 2])
    for fusion in ("Concat", "Film", "Attention"):
        sizes = pose(32, 224, 128, seen, 64, 32, [128, 64], fusion)
        yield f"pose {fusion}", lambda sizes=sizes: case_of("pose", sizes, "mse", counts=[1, 3])
    sizes = attention(64, 192, 256, 1024, [32, 64, 128], 8, 64, [4, 8], [1024, 512, 256])
    yield "attention", lambda: case_of("attention", sizes)


def write_fixtures():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (model, inputs, metadata) in small_cases().items():
        kept = {}
        for key, tensor in tensors_of(model, inputs, metadata["reconstruction"]).items():
            if key.startswith("grad.") and tensor.numel() > LARGEST_GRADIENT:
                continue
            if key.endswith("num_batches_tracked"):
                continue
            is_grid = key in ("eval.grids", "train.logits")
            kept[key] = tensor.flatten()[::GRID_STRIDE].contiguous() if is_grid else tensor
        metadata["stride"] = str(GRID_STRIDE)
        save_file(kept, FOLDER / f"{name}.safetensors", metadata)
    for name, (model, inputs, metadata) in small_steps().items():
        kept = trained(model, inputs, metadata)
        kept = {k: v.contiguous() for k, v in kept.items() if not k.endswith("num_batches_tracked")}
        save_file(kept, FOLDER / f"{name}.safetensors", metadata)
    total = sum(file.stat().st_size for file in FOLDER.glob("*.safetensors"))
    print(f"{total / 1e6:.2f} MB in {FOLDER}, torch {torch.__version__}")


def difference(key, expected, found):
    """Largest difference as a share of the tensor's largest number; of answers at least 1.

    The gradient of a bias before a normalisation is 0 but for rounding: for a bias, the gradients of the weights
    beside it count too.
    """
    theirs, ours = expected[key].double().flatten(), found[key].double().flatten()
    assert theirs.shape == ours.shape and ours.isfinite().all(), key
    scale = theirs.abs().max().item()
    if not key.startswith("grad."):
        scale = max(scale, 1.0)
    elif key.endswith(".bias"):
        beside = expected.get(key.removesuffix("bias") + "weight")
        scale = max(scale, 0 if beside is None else beside.abs().max().item())
    return (theirs - ours).abs().max().item() / max(scale, 1e-30)


def worst(expected, found, prefix):
    shares = {key: difference(key, expected, found) for key in expected if key.startswith(prefix)}
    key = max(shares, key=shares.get)
    return f"{shares[key]:.1e} | {key}"


def compare(parity):
    """Ours beside PyTorch's, and both beside PyTorch's in double precision."""
    print("| case | pass | ours - torch | in | torch - double | in | ours - double | in |")
    print("|---|---|---|---|---|---|---|---|")
    for name, make in full_cases():
        model, inputs, metadata = make()
        exact = copy.deepcopy(model).double()
        torch32 = tensors_of(model, inputs, metadata["reconstruction"])
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = pathlib.Path(folder) / "asked", pathlib.Path(folder) / "answered"
            save_file(torch32, asked, metadata)
            subprocess.run([parity, asked, answered], check=True)
            with safe_open(answered, "pt") as file:
                ours = {key: file.get_tensor(key) for key in file.keys()}
        inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
        double = tensors_of(exact, inputs, metadata["reconstruction"])
        for prefix in ("eval.", "train.", "grad.", "after."):
            pairs = [(torch32, ours), (double, torch32), (double, ours)]
            columns = " | ".join(worst(expected, found, prefix) for expected, found in pairs)
            print(f"| {name} | {prefix[:-1]} | {columns} |", flush=True)


def compare_steps(parity, names):
    """The losses of ten steps: largest difference as a share of a loss, and how many steps stay within 1e-3."""
    print("| case | loss | ours - torch | steps | torch - double | steps | ours - double | steps |")
    print("|---|---|---|---|---|---|---|---|")
    for name, make in full_steps():
        if names and name not in names:
            continue
        model, inputs, metadata = make()
        exact = copy.deepcopy(model).double()
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = pathlib.Path(folder) / "asked", pathlib.Path(folder) / "answered"
            kept = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()} | inputs
            save_file({k: v.contiguous() for k, v in kept.items()}, asked, metadata)
            subprocess.run([parity, asked, answered], check=True)
            with safe_open(answered, "pt") as file:
                ours = {key: file.get_tensor(key) for key in file.keys()}
        torch32 = trained(model, inputs, metadata)
        double = trained(exact, inputs, metadata, torch.float64)
        for key in sorted(ours.keys() - {"loss.accuracy", "loss.d_stepped"}):
            pairs = [(ours, torch32), (torch32, double), (ours, double)]
            columns = " | ".join(largest_share(a[key], b[key]) for a, b in pairs)
            print(f"| {name} | {key.removeprefix('loss.')} | {columns} |", flush=True)


def largest_share(found, expected):
    shares = (found.double() - expected.double()).abs() / expected.double().abs().clamp(min=1e-30)
    beyond = (shares > 1e-3).nonzero()
    return f"{shares.max().item():.1e} | {beyond[0].item() if len(beyond) else len(shares)}"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--full", metavar="PARITY", help="compare at the sizes of the literature")
    arguments.add_argument("--steps", metavar="NAME", nargs="+", help="of --full, only the steps of these cases")
    arguments = arguments.parse_args()
    unknown = set(arguments.steps or []) - {name for name, _ in full_steps()}
    if unknown or (arguments.steps and not arguments.full):
        raise SystemExit(f"no case of --full: {', '.join(sorted(unknown or arguments.steps))}")
    if arguments.full and not arguments.steps:
        compare(arguments.full)
    if arguments.full:
        compare_steps(arguments.full, arguments.steps)
    else:
        write_fixtures()
