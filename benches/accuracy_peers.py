#!/usr/bin/env python3
"""Accuracy of onnx-prune beside its peers, at equal MACs or equal latency, on the same model and images.

    python3 benches/accuracy_peers.py MODEL.onnx --calibrate DIR --eval DIR [--classes FILE] --macs 0.7 0.5
    python3 benches/accuracy_peers.py MODEL.onnx --calibrate DIR --eval DIR --latency 0.7 --screen 1000
    python3 benches/accuracy_peers.py --install                     # the peers, into the Python that runs this

Peers: onnxsim 0.8.1 (`simplify`, then `apply_structured_wanda_pruning`, its calibrated criterion, then
`apply_pruning_finetune`) and Torch-Pruning 1.6.1 (L1 and L2 group norm, FPGM, LAMP, Taylor, random; BN re-estimated on
the calibration images where the file has BN). Scopes: local, the same share of every group; inner, of all but residual
streams; global, one threshold over all. Torch-Pruning prunes modules: the file is read into one, layers tied to a padding of
channels keep their width (it fails on those), and the result is exported. What a peer cannot do is a row with its error.

Every peer's own ratio is found by bisection: the largest share at or below the target, of MACs (of Conv, Gemm and MatMul in
the written graph) or of latency (ONNX Runtime, CPU, one thread, batch 1: medians, in turn with the dense model, A B B A, by
the clock of the thread, which other processes move little). All get the same calibration images, equally many of each class,
drawn by the seed. The best row of a peer, and so its `round_to` by latency, is chosen on the evaluation images, which
favours the peers; `--screen N` chooses on N of them, the best is repeated on all. Seconds are those of the run at the ratio
found. The file's name gives the preprocessing; images have the model's size.
"""

import argparse
import copy
import functools
import io
import itertools
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["numpy", "pillow", "onnx==1.18.0", "onnxruntime", "onnxsim==0.8.1", "ml_dtypes", "torch==2.8.0",
            "torch-pruning==1.6.1"]  # onnxsim imports ml_dtypes and does not say so
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
from torch.nn import functional

warnings.simplefilter("ignore")  # torch's exporter
torch.set_num_threads(1)
# Part of the file name: scale, mean and deviation per channel, colour order.
PREPROCESSING = {
    "cifar10": (255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "rgb"),
    "mobilenet_v2": (1, [128] * 3, [128] * 3, "rgb"),
    "efficientnet_lite0": (1, [127] * 3, [128] * 3, "rgb"),
    "resnet50": (1, [103.939, 116.779, 123.68], [1] * 3, "bgr"),
}


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def blank(model):
    """The model's input by name, empty, batch 1."""
    stored = {own.name for own in model.graph.initializer}
    own = next(own for own in model.graph.input if own.name not in stored)
    return {own.name: np.zeros([1, *(dim.dim_value for dim in own.type.tensor_type.shape.dim[1:])], np.float32)}


def values(model, names):
    """What the tensors hold for the empty input."""
    probe = copy.deepcopy(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return dict(zip(names, session(probe).run(names, blank(model)))) if names else {}


def macs(model):
    known = blank(model) | {own.name: numpy_helper.to_array(own) for own in model.graph.initializer}
    counted = [own for own in model.graph.node if own.op_type in ("Conv", "Gemm", "MatMul")]
    wanted = {name for own in counted for name in (*own.input[:2], own.output[0])} - set(known)
    shapes = {name: own.shape for name, own in (known | values(model, sorted(wanted))).items()}
    return sum(math.prod(shapes[own.output[0]]) * (math.prod(shapes[own.input[1]][1:]) if own.op_type == "Conv"
                                                   else shapes[own.input[0]][-1]) for own in counted)


class Images:
    """Images of class folders as bytes, labels as the model's outputs number them."""

    def __init__(self, folder, classes=None, count=None, seed=0):
        folders, draw, found = sorted(own.name for own in folder.iterdir()), np.random.default_rng(seed), []
        names = [line.split()[0] for line in classes.read_text().splitlines()] if classes else folders
        for name in folders:
            files = draw.permutation(sorted((folder / name).iterdir()))
            found += [(Path(file), names.index(name)) for file in files[: count and count // len(folders)]]
        found = [found[at] for at in draw.permutation(len(found))]  # mixed, so that a batch holds all classes
        self.files, self.labels = [file for file, _ in found], np.array([label for _, label in found])
        self.pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in self.files])

    def batches(self, preprocessing, size, limit=None):
        scale, mean, deviation, order = preprocessing
        chosen = np.arange(len(self.labels))[:limit]
        for at in np.array_split(chosen, math.ceil(len(chosen) / size)):
            pixels = self.pixels[at][..., ::-1 if order == "bgr" else 1] / np.float32(scale)
            pixels = (pixels - np.float32(mean)) / np.float32(deviation)
            yield np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), self.labels[at]


class Job:
    """One model, target and seed: what every peer gets."""

    def __init__(self, options, path, target, seed, images, evaluation):
        self.options, self.path, self.target, self.seed = options, path, target, seed
        self.images, self.evaluation, self.dense = images, evaluation, onnx.load(str(path))
        self.preprocessing = next(own for part, own in PREPROCESSING.items() if part in path.name)
        self.feed, self.blank = next(iter(blank(self.dense).items()))
        self.batch = 100 if self.blank.shape[-1] < 64 else 20
        self.macs, self.known = macs(self.dense), {}

    def search(self, build):
        """The ratio for which build(ratio) has the largest share at or below the target, to one per cent of it."""
        low, high, best = 0.0, 0.95, None
        for _ in range(7 if self.options.latency else 12):
            ratio = (low + high) / 2
            try:
                own = build(ratio)
                key = str([len(own.graph.node), *(tuple(tensor.dims) for tensor in own.graph.initializer)])
                if key not in self.known:
                    self.known[key] = self.latency(own, 50) if self.options.latency else macs(own) / self.macs
                share = self.known[key]
            except Exception:  # a peer that breaks the network has cut too much of it
                if best is None and ratio < 0.02:
                    raise
                share = 0.0
            if 0 < share <= self.target and (best is None or share >= best[0]):
                best = share, ratio
            if 0.99 * self.target <= share <= self.target:
                return ratio
            low, high = (ratio, high) if share > self.target else (low, ratio)
        if best:
            return best[1]
        raise ValueError(f"no ratio brings it to {self.target}")

    def latency(self, pruned, rounds=100):
        """Median time of the pruned model over that of the dense one, in rounds A B B A, by the clock of the thread."""
        runs, times = [functools.partial(session(own).run, None, blank(own)) for own in (self.dense, pruned)], ([], [])
        for which in [0, 1, 1, 0] * rounds:
            begin = time.thread_time()
            runs[which]()
            times[which].append(time.thread_time() - begin)
        return np.median(times[1]) / np.median(times[0])

    def calibration(self, limit=None):
        return [{self.feed: own} for own, _ in self.images.batches(self.preprocessing, self.batch, limit)]

    def top1(self, model, limit=None):
        run, right = session(model), []
        for pixels, labels in self.evaluation.batches(self.preprocessing, self.batch, limit):
            right += list(run.run(None, {self.feed: pixels})[0].argmax(1) == labels)
        return float(100 * np.mean(right)), len(right)


def timed(work):
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin


def onnx_prune_rows(job):
    """Ours, by the binary; by latency through its own flag where --flags has it, else a search over --target-macs."""
    flags, classes = job.options.flags, job.options.classes
    scale, mean, deviation, colour = job.preprocessing

    def run(kept, *more):
        with tempfile.TemporaryDirectory() as folder:
            for file in job.images.files:
                Path(folder, "data", file.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, Path(folder, "data", file.parent.name))
            command = [job.options.onnx_prune, job.path, "-o", f"{folder}/pruned.onnx", "--data", f"{folder}/data",
                       "--samples", len(job.images.files), "--seed", job.seed, "--scale", scale, "--color", colour,
                       "--mean=" + ",".join(map(str, mean)), "--std=" + ",".join(map(str, deviation)), "--quiet",
                       *(["--classes", classes] if classes else []),
                       *([] if "--target" in flags else ["--target-macs", kept]), *flags.split(), *more]
            done = subprocess.run(list(map(str, command)), stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            return onnx.load(f"{folder}/pruned.onnx")

    def make():
        ratio = 1 - job.target
        if job.options.latency and "--target" not in flags:  # all criteria get the same widths: the search takes a cheap one
            ratio = job.search(lambda own: run(1 - own, "--criterion=l2", "--compensate=none", "--no-verify", "--no-timing"))
        return *timed(lambda: run(1 - ratio)), ratio

    yield flags or "defaults", make


def onnxsim_rows(job):
    @functools.cache
    def model():  # its pruning leaves Conv + BN alone, which its simplifier folds, and Clip with a Constant beside it
        own = onnxsim.simplify(job.dense)[0]
        for node in [node for node in own.graph.node if node.op_type == "Constant"]:
            own.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(node.attribute[0].t), node.output[0]))
            own.graph.node.remove(node)
        return own

    def calibrated(pooled, ratio, limit=None):
        data = job.calibration(limit)
        return onnxsim.apply_structured_wanda_pruning(model(), data, sparsity=ratio, global_sparsity=pooled)

    @functools.cache
    def pruned(pooled):  # without the pool the widths follow from the ratio alone: the search calibrates on one batch
        ratio = job.search(functools.partial(calibrated, pooled, limit=None if pooled else job.batch))
        return *timed(lambda: calibrated(pooled, ratio)), ratio

    def tuned(pooled):
        before, seconds, ratio = pruned(pooled)
        own, more = timed(lambda: onnxsim.apply_pruning_finetune(model(), before, job.calibration()))
        return own, seconds + more, ratio

    for scope in set(job.options.scopes) - {"inner"}:
        yield f"calibrated {scope}", functools.partial(pruned, scope == "global")
        yield f"calibrated {scope}, finetune", functools.partial(tuned, scope == "global")


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
            shape = weight.shape[1] * group, weight.shape[0], weight.shape[2:], step
            more = has.get("dilations", 1), group, len(arrays) > 1
            return padded(lambda around: filled(nn.Conv2d(*shape, around, *more)), 0.0)
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
            sides = [int(side) for axis in weight.reshape(2, -1).T[:0:-1] for side in axis]
            return lambda x: functional.pad(x, sides if any(sides[-2:]) else sides[:-2])
    return {"Relu": torch.relu, "Add": torch.add, "Flatten": lambda x: torch.flatten(x, 1),
            "GlobalAveragePool": lambda x: functional.adaptive_avg_pool2d(x, 1)}[op]


class Network(nn.Module):
    """The ONNX network as a torch module; `frozen` by scope: layers tied to a padding of channels, for inner to an Add."""

    def __init__(self, model):
        super().__init__()
        stored, live = {own.name: numpy_helper.to_array(own) for own in model.graph.initializer}, set(blank(model))
        for node in model.graph.node:
            if node.op_type != "Shape" and live & set(node.input):
                live.update(node.output)
        stored |= values(model, [name for node in model.graph.node for name in node.output if name not in live])
        self.feed, self.last, self.layers = *blank(model), model.graph.output[0].name, nn.ModuleList()
        self.steps, tied, padded, added = [], {}, set(), set()
        for node in (own for own in model.graph.node if live & set(own.output)):
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
            if node.op_type == "Pad" and constants[0].reshape(2, -1)[:, 1].any():
                padded.add(output)
            if node.op_type == "Add":
                added.add(output)
        layers = [(layer, tied[output]) for layer, (_, _, output) in zip(self.layers, self.steps)]
        self.frozen = {scope: [own for own, names in layers if names & held or isinstance(own, nn.Linear)]
                       for scope, held in (("local", padded), ("global", padded), ("inner", padded | added))}

    def forward(self, image):
        seen = {self.feed: image}
        for layer, (function, inputs, output) in zip(self.layers, self.steps):
            seen[output] = (function or layer)(*(seen[name] for name in inputs))
        return seen[self.last]


def torch_pruning_rows(job):
    options, importance, image = job.options, torch_pruning.importance, torch.tensor(job.blank)
    criteria = {
        "l1": importance.GroupMagnitudeImportance(p=1), "l2": importance.GroupMagnitudeImportance(p=2),
        "fpgm": importance.FPGMImportance(), "lamp": importance.LAMPImportance(),
        "taylor": importance.GroupTaylorImportance(), "random": importance.RandomImportance(),
    }
    dense = functools.cache(lambda: Network(job.dense).eval())

    def batches():
        return (map(torch.tensor, own) for own in job.images.batches(job.preprocessing, job.batch, options.torch_images))

    @functools.cache
    def gradient():
        network, begin = copy.deepcopy(dense()), time.perf_counter()
        for pixels, labels in batches():
            functional.cross_entropy(network(pixels), labels).backward()
        return [own.grad for own in network.parameters()], time.perf_counter() - begin

    def prune(criterion, scope, round_to, ratio):
        network = copy.deepcopy(dense())
        if criterion == "taylor":
            for own, slope in zip(network.parameters(), gradient()[0]):
                own.grad = slope.clone()
        # One ratio for all moves many widths at once, past the target: each layer's is shifted by half a step at most.
        layers = [own for own in network.modules() if isinstance(own, nn.Conv2d)]
        narrow = [own for own in layers if own.out_channels < 2 * round_to]
        shifts = [(at * 0.618 % 1 - 0.5) * round_to / own.out_channels for at, own in enumerate(layers)]
        shifted = {own: min(max(ratio + by, 0.0), 1 - round_to / own.out_channels) for own, by in zip(layers, shifts)}
        torch.manual_seed(job.seed)
        torch_pruning.pruner.BasePruner(
            network, image, importance=criteria[criterion], global_pruning=scope == "global", pruning_ratio=ratio,
            pruning_ratio_dict={} if scope == "global" else shifted, ignored_layers=network.frozen[scope] + narrow,
            round_to=round_to).step()
        return network

    def estimate(network):
        norms = [own for own in network.modules() if isinstance(own, nn.BatchNorm2d)]
        for own in norms:
            own.reset_running_stats()
            own.momentum = None  # the plain mean over the batches
        with torch.no_grad():
            for pixels, _ in batches() if norms else []:
                network.train()(pixels)
        return network

    def export(network):
        file, names = io.BytesIO(), [job.feed, "output"]
        torch.onnx.export(network.eval(), image, file, opset_version=17, dynamo=False, input_names=names[:1],
                          output_names=names[1:], dynamic_axes={name: {0: "batch"} for name in names})
        return onnx.load_from_string(file.getvalue())

    @functools.cache
    def searched(*setting):
        return job.search(lambda own: export(prune(*setting, own)))

    def make(criterion, scope, round_to):  # where the ratio alone says the widths, all criteria share one search
        ratio = searched(criterion if scope == "global" else "l2", scope, round_to)
        model, seconds = timed(lambda: export(estimate(prune(criterion, scope, round_to, ratio))))
        return model, seconds + (gradient()[1] if criterion == "taylor" else 0), ratio

    steps = options.round_to if options.latency else [1]
    for criterion, scope, round_to in itertools.product(options.criteria, options.scopes, steps):
        name = f"{criterion} {scope}" + f" /{round_to}" * bool(options.latency)
        yield name, functools.partial(make, criterion, scope, round_to)


# Each yields rows: the setting, and what makes (model, seconds, ratio).
PEERS = {"onnx-prune": onnx_prune_rows, "onnxsim": onnxsim_rows, "torch-pruning": torch_pruning_rows}
COLUMNS = {"model": 30, "peer": 14, "setting": 28, "seed": 5, "target": 7, "macs": 6, "latency": 8, "top1": 7, "dense": 7,
           "n": 6, "seconds": 8}


def report(options, row):
    cells = {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in row.items()}
    print(*(f"{cells.get(name, '-'):>{width}}" for name, width in COLUMNS.items()), row.get("error", ""), flush=True)
    if options.json:
        with options.json.open("a") as file:
            print(json.dumps(row), file=file)


def measure(job, peer, dense):
    """All rows of one peer, and once more the best, on all images."""
    by, found = "latency" if job.options.latency else "macs", []
    for setting, make in PEERS[peer](job):
        row = {"model": job.path.stem, "peer": peer, "setting": setting, "seed": job.seed, "by": by, "target": job.target}
        try:
            model, seconds, ratio = make()
            top1, count = job.top1(model, job.options.screen)
            row |= {"ratio": ratio, "macs": macs(model) / job.macs, "latency": job.latency(model), "seconds": seconds}
            row |= {"top1": top1, "dense": dense, "n": count}
            found.append((row, model))
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        report(job.options, row)
    if found:
        row, model = max(found, key=lambda own: own[0]["top1"])
        top1, count = job.top1(model)
        report(job.options, row | {"setting": "best: " + row["setting"], "best": True, "top1": top1, "n": count})


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
    parser.add_argument("--screen", type=int, help="evaluation images to choose on; the best is repeated on all")
    parser.add_argument("--criteria", nargs="+", default=["l1", "l2", "fpgm", "lamp", "taylor", "random"])
    parser.add_argument("--scopes", nargs="+", default=["local", "inner", "global"], help="[default: all three]")
    parser.add_argument("--round-to", type=int, nargs="+", default=[1, 4, 8, 16, 32], help="to try by latency")
    parser.add_argument("--torch-images", type=int, help="for Taylor and BN [default: all that calibrate]")
    parser.add_argument("--onnx-prune", type=Path, default=ROOT / "target/release/onnx-prune")
    parser.add_argument("--flags", default="", help="more flags for onnx-prune, in one string")
    parser.add_argument("--json", type=Path, help="append one line per row")
    parser.add_argument("--install", action="store_true", help="install the peers by pip, and stop")
    options = parser.parse_args()
    print(*(f"{name:>{width}}" for name, width in COLUMNS.items()))
    evaluation = Images(options.eval, options.classes)
    for path in options.model:
        dense = None
        for seed in options.seeds:
            images = Images(options.calibrate, options.classes, options.images, seed)
            for share in options.latency or options.macs:
                job = Job(options, path, share, seed, images, evaluation)
                dense = dense or job.top1(job.dense)[0]
                for peer in options.peers:
                    measure(job, peer, dense)


if __name__ == "__main__":
    main()
