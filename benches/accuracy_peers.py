#!/usr/bin/env python3
"""Accuracy of onnx-prune beside its peers, at equal MACs or equal latency, on the same model and images.

    python3 benches/accuracy_peers.py MODEL.onnx --calibrate DIR --eval DIR [--classes FILE] --macs 0.7 0.5
    python3 benches/accuracy_peers.py MODEL.onnx --calibrate DIR --eval DIR --latency 0.7 --screen 1000
    python3 benches/accuracy_peers.py --install                     # the peers, into the Python that runs this

Peers: onnxsim 0.8.1 (`simplify`, then `apply_structured_wanda_pruning`, its calibrated criterion, then
`apply_pruning_finetune`) and Torch-Pruning 1.6.1 (L1 and L2 group norm, FPGM, LAMP, Taylor, random; the same share of every
group, or one threshold over all; BN re-estimated on the calibration images where the file has BN). Torch-Pruning prunes
modules: the file is read into one, its channel-padding shortcuts keep their width (Torch-Pruning follows none), and the
result is exported. What a peer cannot do is a row with the first line of its error.

Every peer's own ratio is found by bisection: the largest share at or below the target, of MACs (convolutions, Gemm, MatMul;
counted on the written graph) or of latency (ONNX Runtime, CPU, one thread, batch 1). Latency is timed in turn with the dense
model (A B B A), by the clock of the thread, and is the ratio of the medians. All get the same calibration images, drawn by the seed, equally many of each
class; the best row of a peer, and its `round_to` by latency, are chosen on the evaluation images, which favours the peers.
`--screen N` chooses on N of them and repeats the best on all. Seconds are those of the run at the ratio found, without the
search. Rows that no seed changes come once.
"""

import argparse
import copy
import functools
import io
import itertools
import json
import math
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["numpy", "pillow", "onnx==1.18.0", "onnxruntime", "onnxsim==0.8.1", "ml_dtypes", "torch==2.8.0", "torch-pruning==1.6.1"]
if "--install" in sys.argv:
    sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *PACKAGES]).returncode)

import numpy as np
import onnx
import onnxruntime
import onnxsim
import torch
import torch_pruning
from onnx import helper, numpy_helper
from PIL import Image
from torch import nn
from torch.nn import functional as F

# Part of the model's file name: scale, mean and standard deviation per channel, colour order.
PREPROCESSING = {
    "cifar10": (255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "rgb"),
    "mobilenet_v2": (1, [128] * 3, [128] * 3, "rgb"),
    "efficientnet_lite0": (1, [127] * 3, [128] * 3, "rgb"),
    "resnet50": (1, [103.939, 116.779, 123.68], [1] * 3, "bgr"),
}
ROUND_TO = [1, 4, 8, 16, 32]


def session(model, threads=1):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feed_name(model):
    stored = {own.name for own in model.graph.initializer}
    return next(own.name for own in model.graph.input if own.name not in stored)


def one_image(model):
    dims = next(own for own in model.graph.input if own.name == feed_name(model)).type.tensor_type.shape.dim
    return np.zeros([1, *(own.dim_value for own in dims[1:])], np.float32)


def values(model, names):
    """What the tensors hold in one run on an empty image."""
    if not names:
        return {}
    probe = copy.deepcopy(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return dict(zip(names, session(probe).run(names, {feed_name(model): one_image(model)})))


def macs(model):
    stored = {own.name: tuple(own.dims) for own in model.graph.initializer}
    counted = [own for own in model.graph.node if own.op_type in ("Conv", "Gemm", "MatMul")]
    wanted = {name for own in counted for name in (own.input[0], own.input[1], own.output[0])}
    found = values(model, [name for name in sorted(wanted) if name not in stored and name != feed_name(model)])
    shape = {feed_name(model): one_image(model).shape, **stored, **{name: own.shape for name, own in found.items()}}
    return sum(math.prod(shape[own.output[0]]) * (math.prod(shape[own.input[1]][1:]) if own.op_type == "Conv"
                                                  else shape[own.input[0]][-1]) for own in counted)


def latency_share(dense, pruned, rounds):
    """Median time of the pruned model over that of the dense one, in rounds A B B A, by the clock of the thread."""
    runs = [functools.partial(session(own).run, None, {feed_name(own): one_image(own)}) for own in (dense, pruned)]
    times = ([], [])
    for which in [0, 1, 1, 0] * (rounds + 2):
        begin = time.thread_time()
        runs[which]()
        times[which].append(time.thread_time() - begin)
    times = [own[4:] for own in times]  # the first two rounds warm up
    return statistics.median(times[1]) / statistics.median(times[0])


class Images:
    """Images of class folders as bytes, labels as the model's outputs number them."""

    def __init__(self, folder, size, classes=None, per_class=None, seed=0):
        names = [line.split()[0] for line in classes.read_text().splitlines()] if classes else None
        folders = sorted(own for own in folder.iterdir() if own.is_dir())
        draw, self.files, self.labels = np.random.default_rng(seed), [], []
        for index, own in enumerate(folders):
            files = sorted(own.iterdir())
            if per_class and per_class < len(files):
                files = [files[at] for at in sorted(draw.permutation(len(files))[:per_class])]
            self.files += files
            self.labels += [names.index(own.name) if names else index] * len(files)
        if per_class:  # mixed, so that a batch holds all classes
            order = draw.permutation(len(self.files))
            self.files, self.labels = [self.files[at] for at in order], [self.labels[at] for at in order]
        self.pixels, self.labels = np.stack([self.read(own, size) for own in self.files]), np.array(self.labels)

    @staticmethod
    def read(file, size):
        image = Image.open(file).convert("RGB")
        if image.size != (size, size):
            scale = 256 / 224 * size / min(image.size)
            image = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
            left, top = (image.width - size) // 2, (image.height - size) // 2
            image = image.crop((left, top, left + size, top + size))
        return np.asarray(image)

    def batches(self, preprocessing, size, only=None):
        scale, mean, deviation, order = preprocessing
        chosen = np.arange(len(self.labels)) if only is None else only
        for at in np.array_split(chosen, math.ceil(len(chosen) / size)):
            pixels = self.pixels[at][..., ::-1 if order == "bgr" else 1].astype(np.float32) / np.float32(scale)
            pixels = (pixels - np.float32(mean)) / np.float32(deviation)
            yield np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), self.labels[at]


class Job:
    """One model, target and seed: what every peer gets."""

    def __init__(self, options, path, target, seed, images, evaluation):
        self.options, self.path, self.target, self.seed = options, path, target, seed
        self.images, self.evaluation, self.dense = images, evaluation, onnx.load(str(path))
        self.preprocessing = next((own for part, own in PREPROCESSING.items() if part in path.name), PREPROCESSING["cifar10"])
        self.batch = 100 if one_image(self.dense).shape[-1] < 64 else 20
        self.macs, self.known = macs(self.dense), {}

    def share(self, model, rounds):
        return latency_share(self.dense, model, rounds) if self.options.latency else macs(model) / self.macs

    def search(self, build, shapes, export):
        """The ratio with the largest share at or below the target, to one per cent of it, of build(ratio)."""
        low, high, best = 0.0, 0.95, None
        for _ in range(7 if self.options.latency else 12):
            ratio = (low + high) / 2
            try:
                built = build(ratio)
                if (key := shapes(built)) not in self.known:
                    self.known[key] = self.share(export(built), self.options.rounds // 4)
                share = self.known[key]
            except Exception:  # a peer that breaks the network has cut too much of it
                if best is None and ratio < 0.02:
                    raise
                share = 0.0
            if 0 < share <= self.target and (best is None or share >= best[0]):
                best = share, ratio
            if 0.99 * self.target <= share <= self.target:
                break
            low, high = (ratio, high) if share > self.target else (low, ratio)
        if best is None:
            raise ValueError(f"no ratio brings it to {self.target}")
        return best[1]

    def calibration(self):
        name = feed_name(self.dense)
        return [{name: pixels} for pixels, _ in self.images.batches(self.preprocessing, self.batch)]

    def top1(self, model, limit=None):
        count = len(self.evaluation.labels)
        only = None if not limit or limit >= count else np.linspace(0, count - 1, limit).astype(int)
        run, name, right, seen = session(model, self.options.threads), feed_name(model), 0, 0
        for pixels, labels in self.evaluation.batches(self.preprocessing, self.batch, only):
            right += int((run.run(None, {name: pixels})[0].argmax(1) == labels).sum())
            seen += len(labels)
        return right / seen, seen


def timed(work):
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin


def onnx_shapes(model):
    return tuple((own.name, tuple(own.dims)) for own in model.graph.initializer)


# A peer yields rows: its setting, whether the seed matters, and what makes (model, ratio, seconds).


def onnx_prune_rows(job):
    """Ours, by the binary; by latency through its own flag where --flags has it, else a search over --target-macs."""
    scale, mean, deviation, colour = job.preprocessing
    budget = [flag for flag in shlex.split(job.options.flags) if flag.startswith("--target")]

    def run(kept, *more):
        with tempfile.TemporaryDirectory() as folder:
            for file in job.images.files:
                own = Path(folder, "data", file.parent.name)
                own.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, own)
            command = [job.options.onnx_prune, job.path, "-o", f"{folder}/pruned.onnx", "--data", f"{folder}/data",
                       "--samples", len(job.images.files), "--seed", job.seed, "--scale", scale, "--color", colour,
                       "--mean=" + ",".join(map(str, mean)), "--std=" + ",".join(map(str, deviation)), "--quiet",
                       *(["--classes", job.options.classes] if job.options.classes else []),
                       *([] if budget else ["--target-macs", kept]), *shlex.split(job.options.flags), *more]
            done = subprocess.run([str(own) for own in command], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr.strip())
            return onnx.load(f"{folder}/pruned.onnx")

    def make():
        ratio = 1 - job.target
        if job.options.latency and not budget:  # widths are the same for every criterion: the search takes a cheap one
            cheap = ["--criterion", "l2", "--compensate", "none", "--no-timing", "--no-verify"]
            ratio = job.search(lambda own: run(1 - own, *cheap), onnx_shapes, lambda own: own)
        model, seconds = timed(lambda: run(1 - ratio))
        return model, ratio, seconds

    yield job.options.flags or "defaults", True, make


def onnxsim_rows(job):
    # Its pruning leaves Conv + BN alone; its own simplifier folds them and the constants of Pad and Slice.
    model = functools.cache(lambda: onnxsim.simplify(job.dense)[0])
    for scope in job.options.scopes:
        pooled, name = scope == "global", "calibrated" + " global" * (scope == "global")

        def calibrated(ratio, pooled=pooled):
            return onnxsim.apply_structured_wanda_pruning(model(), job.calibration(), sparsity=ratio, global_sparsity=pooled)

        @functools.cache
        def pruned(calibrated=calibrated, pooled=pooled):
            # Without the pool the widths follow from the ratio alone: the search needs no calibration.
            plain = functools.partial(onnxsim.apply_structured_pruning, model())
            ratio = job.search(calibrated if pooled else lambda own: plain(sparsity=own), onnx_shapes, lambda own: own)
            own, seconds = timed(lambda: calibrated(ratio))
            return own, ratio, seconds

        def tuned(pruned=pruned):
            own, ratio, seconds = pruned()
            own, more = timed(lambda: onnxsim.apply_pruning_finetune(model(), own, job.calibration()))
            return own, ratio, seconds + more

        yield name, True, pruned
        yield f"{name}, finetune", True, tuned


def operator(op, has, constants):
    """A layer with its weights, or a function of the tensors that the image reaches."""

    def filled(layer):
        stored = [*layer.parameters(), *(own for own in layer.buffers() if own.dim())]
        for tensor, array in zip(stored, arrays):
            tensor.data.copy_(torch.tensor(array))
        return layer

    def padded(make, value):
        top, left, bottom, right = has.get("pads", [0] * 4)
        if (top, left) == (bottom, right):
            return make((top, left))
        return nn.Sequential(nn.ConstantPad2d((left, right, top, bottom), value), make(0))

    arrays = [own.T if op == "Gemm" and not at and not has.get("transB") else own for at, own in enumerate(constants)]
    weight, step = arrays[0] if arrays else None, has.get("strides", 1)
    match op:
        case "Conv":
            group = has.get("group", 1)
            return padded(lambda around: filled(nn.Conv2d(
                weight.shape[1] * group, weight.shape[0], weight.shape[2:], step, around, has.get("dilations", 1), group,
                len(arrays) > 1)), 0.0)
        case "Gemm":
            return filled(nn.Linear(weight.shape[1], weight.shape[0], len(arrays) > 1))
        case "BatchNormalization":
            return filled(nn.BatchNorm2d(len(weight), has.get("epsilon", 1e-5)))
        case "MaxPool":
            return padded(lambda around: nn.MaxPool2d(has["kernel_shape"], step, around), -math.inf)
        case "Clip":
            return lambda x: torch.clamp(x, *map(float, arrays))
        case "Slice":
            at = {int(axis): slice(int(start), min(int(end), 2**31), int(by)) for start, end, axis, by in zip(*arrays)}
            return lambda x: x[tuple(at.get(axis, slice(None)) for axis in range(x.dim()))]
        case "Pad":
            half = len(weight) // 2
            sides = [int(weight[at]) for axis in range(half - 1, 0, -1) for at in (axis, axis + half)]
            return lambda x: F.pad(x, sides if any(sides[-2:]) else sides[:-2])
    return {"Relu": torch.relu, "Add": torch.add, "Flatten": lambda x: torch.flatten(x, 1),
            "GlobalAveragePool": lambda x: F.adaptive_avg_pool2d(x, 1)}[op]


class Network(nn.Module):
    """The ONNX network as a torch module; `frozen` are the layers whose channels are tied to a padding of channels."""

    def __init__(self, model):
        super().__init__()
        stored, live = {own.name: numpy_helper.to_array(own) for own in model.graph.initializer}, {feed_name(model)}
        for node in model.graph.node:
            if node.op_type != "Shape" and live & set(node.input):
                live.update(node.output)
        stored |= values(model, [name for node in model.graph.node for name in node.output if name not in live])
        self.feed, self.last, self.layers = feed_name(model), model.graph.output[0].name, nn.ModuleList()
        self.steps, tied, padded = [], {}, set()
        for node in model.graph.node:
            if not live & set(node.output):
                continue
            inputs, output = [name for name in node.input if name in live], node.output[0]
            constants = [stored[name] for name in node.input if name in stored]
            has = {own.name: helper.get_attribute_value(own) for own in node.attribute}
            made = operator(node.op_type, has, constants)
            self.layers.append(made if isinstance(made, nn.Module) else nn.Identity())
            self.steps.append((None if isinstance(made, nn.Module) else made, inputs, output))
            # Tensors with the same channels: all that one node joins, but for the two sides of a convolution or Gemm.
            joined = [output] if node.op_type in ("Conv", "Gemm") else [*inputs, output]
            group = set().union(*(tied.get(name, {name}) for name in joined))
            tied.update(dict.fromkeys(group, group))
            if node.op_type == "Pad" and any(constants[0][[1, len(constants[0]) // 2 + 1]]):
                padded.add(output)
        self.frozen = [at for at, (_, _, output) in enumerate(self.steps)
                       if tied[output] & padded or isinstance(self.layers[at], nn.Linear)]

    def forward(self, image):
        seen = {self.feed: image}
        for layer, (function, inputs, output) in zip(self.layers, self.steps):
            seen[output] = (function or layer)(*(seen[name] for name in inputs))
        return seen[self.last]


def torch_pruning_rows(job):
    options, importance, image = job.options, torch_pruning.importance, torch.tensor(one_image(job.dense))
    torch.set_num_threads(options.threads)
    criteria = {
        "l1": importance.GroupMagnitudeImportance(p=1), "l2": importance.GroupMagnitudeImportance(p=2),
        "fpgm": importance.FPGMImportance(), "lamp": importance.LAMPImportance(),
        "taylor": importance.GroupTaylorImportance(), "random": importance.RandomImportance(),
    }
    dense = functools.cache(lambda: Network(job.dense).eval())

    def batches():
        few = np.arange(len(job.images.labels))[: options.torch_images]
        for pixels, labels in job.images.batches(job.preprocessing, job.batch, few):
            yield torch.tensor(pixels), torch.tensor(labels)

    @functools.cache
    def gradient():
        def work():
            network = copy.deepcopy(dense())
            for pixels, labels in batches():
                F.cross_entropy(network(pixels), labels).backward()
            return [own.grad for own in network.parameters()]

        return timed(work)

    def prune(criterion, scope, round_to, ratio):
        network = copy.deepcopy(dense())
        if criterion == "taylor":
            for own, slope in zip(network.parameters(), gradient()[0]):
                own.grad = slope.clone()
        # One ratio for all moves many widths at once, past the target: each layer's is shifted by half a step at most.
        convolutions, shifted = [own for own in network.modules() if isinstance(own, nn.Conv2d)], {}
        for at, own in enumerate(convolutions if scope == "local" else []):
            shift = (at * 0.618 % 1 - 0.5) * round_to / own.out_channels
            shifted[own] = min(max(ratio + shift, 0.0), 1.0)
        torch.manual_seed(job.seed)
        torch_pruning.pruner.BasePruner(
            network, image, importance=criteria[criterion], global_pruning=scope == "global", pruning_ratio=ratio,
            pruning_ratio_dict=shifted, ignored_layers=[network.layers[at] for at in network.frozen],
            round_to=round_to if round_to > 1 else None).step()
        return network

    def estimate(network):
        norms = [own for own in network.modules() if isinstance(own, nn.BatchNorm2d)]
        for own in norms:
            own.reset_running_stats()
            own.momentum = None  # the plain mean over the batches
        network.train()
        with torch.no_grad():
            for pixels, _ in batches() if norms else []:
                network(pixels)
        return network.eval()

    def export(network):
        file, axes = io.BytesIO(), {"input": {0: "batch"}, "output": {0: "batch"}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, image, file, opset_version=17, dynamo=False, input_names=["input"],
                              output_names=["output"], dynamic_axes=axes)
        return onnx.load_from_string(file.getvalue())

    def make(*setting):
        ratio = job.search(lambda own: prune(*setting, own), lambda own: str([one.shape for one in own.parameters()]), export)
        model, seconds = timed(lambda: export(estimate(prune(*setting, ratio))))
        return model, ratio, seconds + (gradient()[1] if "taylor" in setting else 0)

    normalised = any(node.op_type == "BatchNormalization" for node in job.dense.graph.node)
    for criterion, scope in itertools.product(options.criteria, options.scopes):
        for round_to in options.round_to if options.latency else [1]:
            name = criterion + " global" * (scope == "global") + f" /{round_to}" * (options.latency is not None)
            seeded = normalised or criterion in ("taylor", "random")
            yield name, seeded, functools.partial(make, criterion, scope, round_to)


PEERS = {"onnx-prune": onnx_prune_rows, "onnxsim": onnxsim_rows, "torch-pruning": torch_pruning_rows}
COLUMNS = [("model", 26), ("peer", 14), ("setting", 28), ("seed", 5), ("target", 7), ("macs", 6), ("latency", 8), ("top1", 7),
           ("dense", 7), ("n", 6), ("seconds", 8)]


def cell(value):
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def report(options, row, end="\n"):
    print(" ".join(f"{cell(row.get(name)):>{width}}" for name, width in COLUMNS) + f"  {row.get('error', '')}", flush=True)
    if options.json:
        with options.json.open("a") as file:
            file.write(json.dumps(row) + "\n")


def measure(job, peer, dense):
    """All rows of one peer, and once more the best, on all images."""
    options, best = job.options, None
    common = {"model": job.path.stem, "peer": peer, "seed": job.seed, "target": job.target,
              "by": "latency" if options.latency else "macs"}
    for setting, seeded, make in PEERS[peer](job):
        if not seeded and job.seed != options.seeds[0]:
            continue
        row = {**common, "setting": setting}
        try:
            model, ratio, seconds = make()
            top1, count = job.top1(model, options.screen)
            row |= {"ratio": ratio, "macs": macs(model) / job.macs, "top1": 100 * top1, "dense": 100 * dense, "n": count,
                    "latency": latency_share(job.dense, model, options.rounds), "seconds": seconds}
            if best is None or top1 > best[0]["top1"] / 100:
                best = row, model
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            row["error"] = f"{type(error).__name__}: {lines[0]}"
        report(options, row)
    if best:
        row, model = best
        if options.screen:
            top1, count = job.top1(model)
            row = row | {"top1": 100 * top1, "n": count, "latency": latency_share(job.dense, model, options.rounds)}
        report(options, row | {"setting": "best: " + row["setting"], "best": True})
        if options.keep:
            onnx.save(model, str(options.keep / f"{job.path.stem}.{peer}.{job.target}.{job.seed}.onnx"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="+", help="file names say the preprocessing, see PREPROCESSING")
    parser.add_argument("--calibrate", type=Path, required=True, help="class folders")
    parser.add_argument("--eval", type=Path, required=True, help="class folders")
    parser.add_argument("--classes", type=Path, help="line i starts with the folder of output i")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--macs", type=float, nargs="+", help="shares to keep")
    target.add_argument("--latency", type=float, nargs="+", help="shares to keep")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, default=1000, help="to calibrate with")
    parser.add_argument("--limit", type=int, help="evaluation images, for a trial")
    parser.add_argument("--screen", type=int, help="evaluation images to choose on; the best is repeated on all")
    parser.add_argument("--criteria", nargs="+", default=["l1", "l2", "fpgm", "lamp", "taylor", "random"])
    parser.add_argument("--scopes", nargs="+", choices=["local", "global"], default=["local", "global"])
    parser.add_argument("--round-to", type=int, nargs="+", default=ROUND_TO, help="to try by latency")
    parser.add_argument("--torch-images", type=int, help="for Taylor and BN [default: all that calibrate]")
    parser.add_argument("--onnx-prune", type=Path, default=ROOT / "target/release/onnx-prune")
    parser.add_argument("--flags", default="", help="more flags for onnx-prune, in one string")
    parser.add_argument("--rounds", type=int, default=100, help="of timing, A B B A each")
    parser.add_argument("--threads", type=int, default=1, help="for all but the timing")
    parser.add_argument("--json", type=Path, help="append one line per row")
    parser.add_argument("--keep", type=Path, help="folder for the best models")
    parser.add_argument("--install", action="store_true", help="install the peers by pip, and stop")
    options = parser.parse_args()
    print(" ".join(f"{name:>{width}}" for name, width in COLUMNS))
    for path in options.model:
        size = one_image(onnx.load(str(path))).shape[-1]
        evaluation = Images(options.eval, size, options.classes, options.limit and options.limit // 10)
        dense = None
        for seed in options.seeds:
            classes = sum(own.is_dir() for own in options.calibrate.iterdir())
            images = Images(options.calibrate, size, options.classes, options.images // classes, seed)
            for share in options.latency or options.macs:
                job = Job(options, path, share, seed, images, evaluation)
                dense = job.top1(job.dense)[0] if dense is None else dense
                for peer in options.peers:
                    measure(job, peer, dense)


if __name__ == "__main__":
    main()
