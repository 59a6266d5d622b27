"""Trains a pruned model on, with the dense model as teacher (distillation), and writes it as ONNX again.

    python finetune.py dense.onnx pruned.onnx --data data_batch_*.bin --eval test_batch.bin --output tuned.onnx

The pruned model becomes a PyTorch module by ``onnx2torch``; the trained weights go back into the same graph, so that the file has the
nodes, names and interface of the pruned one. Where you have the training code, cut your own module with ``onnx_prune.torch.apply``.

Data: CIFAR-10's binary batches, or ``.npz`` files with pictures ``x [N, 3, H, W]`` (0 to 255) and labels ``y``. Pictures are shifted by
up to an eighth of their height and mirrored. The loss is the divergence of the student's scores from the teacher's at a temperature
(Hinton et al., arXiv 1503.02531), plus a share of cross entropy with the labels.

Needs torch, onnx, onnxruntime, onnx2torch.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch.nn import functional


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense", type=Path, help="the teacher")
    parser.add_argument("pruned", type=Path, help="the student")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="training pictures")
    parser.add_argument("--eval", type=Path, nargs="+", required=True, help="held-out pictures with labels")
    parser.add_argument("--output", type=Path, required=True, help="the trained student")
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.01, help="largest learning rate")
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--labels", type=float, default=0.1, help="share of cross entropy with the labels, 0 to 1")
    parser.add_argument("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406), help="of pictures from 0 to 1")
    parser.add_argument("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def pictures(paths: Sequence[Path]) -> Tuple[torch.Tensor, torch.Tensor]:
    """Pictures ``[N, 3, H, W]`` of bytes, and labels ``[N]``."""
    images: List[np.ndarray] = []
    labels: List[np.ndarray] = []
    for path in paths:
        if path.suffix == ".npz":
            with np.load(path) as file:
                images.append(file["x"].astype(np.uint8))
                labels.append(file["y"].astype(np.int64))
        else:
            rows = np.fromfile(path, np.uint8).reshape(-1, 3073)
            images.append(rows[:, 1:].reshape(-1, 3, 32, 32))
            labels.append(rows[:, 0].astype(np.int64))
    return torch.from_numpy(np.concatenate(images)), torch.from_numpy(np.concatenate(labels))


class Preprocess:
    """Bytes to what the model takes."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = torch.tensor(mean).view(1, 3, 1, 1) * 255
        self.scale = 1 / (torch.tensor(std).view(1, 3, 1, 1) * 255)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return (images.float() - self.mean) * self.scale


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shifted by up to an eighth of the height, each picture by its own, and half of them mirrored."""
    count, _, height, width = images.shape
    most = height // 8
    padded = functional.pad(images, (most, most, most, most))
    shifts = torch.randint(0, 2 * most + 1, (count, 2), generator=generator).tolist()
    mirrored = (torch.rand(count, generator=generator) < 0.5).tolist()
    moved = [padded[at, :, down : down + height, right : right + width] for at, (down, right) in enumerate(shifts)]
    return torch.stack([own.flip(-1) if flip else own for own, flip in zip(moved, mirrored)])


class Scores:
    """The scores of an ONNX model, by ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.session.run(None, {self.name: images.numpy()})[0])


def accuracy(path: Path, images: torch.Tensor, labels: torch.Tensor, preprocess: Preprocess) -> float:
    """Share of pictures whose highest score is that of their label, in percent, by ONNX Runtime."""
    scores = Scores(path)
    right = sum(
        int((scores(preprocess(own)).argmax(1) == label).sum()) for own, label in zip(images.split(250), labels.split(250))
    )
    return 100 * right / len(images)


class Student:
    """An ONNX model as a PyTorch module, and where the module's tensors are stored in the model."""

    def __init__(self, path: Path) -> None:
        from onnx2torch import convert

        self.model = onnx.load(str(path))
        self.module = convert(self.model)
        self.places = self._places()

    def _places(self) -> Dict[str, Tuple[int, bool]]:
        """For every tensor of the module the number of the initializer with its numbers, and whether it is transposed."""
        stored = [numpy_helper.to_array(own) for own in self.model.graph.initializer]
        free = list(range(len(stored)))
        places: Dict[str, Tuple[int, bool]] = {}
        for name, tensor in self.module.state_dict().items():
            own = tensor.numpy()
            forms = [(own, False), (own.T, True)] if own.ndim == 2 else [(own, False)]
            found = next(
                ((at, turned) for at in free for form, turned in forms if np.array_equal(stored[at], form)), None
            )
            if found is not None:
                free.remove(found[0])
                places[name] = found
        lost = [name for name, _ in self.module.named_parameters() if name not in places]
        if lost:
            raise SystemExit(f"parameters that are no initializers of the model: {', '.join(lost)}")
        return places

    def save(self, path: Path) -> None:
        """Writes the model with the module's weights."""
        state = self.module.state_dict()
        for name, (at, turned) in self.places.items():
            old = self.model.graph.initializer[at]
            values = state[name].numpy().T if turned else state[name].numpy()
            old.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), old.name))
        onnx.save(self.model, str(path))


def loss_of(
    scores: torch.Tensor, wanted: torch.Tensor, labels: torch.Tensor, temperature: float, share: float
) -> torch.Tensor:
    """Divergence from the teacher's scores at a temperature, and cross entropy with the labels."""
    ours = functional.log_softmax(scores / temperature, 1)
    theirs = functional.log_softmax(wanted / temperature, 1)
    divergence = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2
    return (1 - share) * divergence + share * functional.cross_entropy(scores, labels)


def train(student: Student, teacher: Scores, data: Tuple[torch.Tensor, torch.Tensor], options: argparse.Namespace) -> None:
    images, labels = data
    preprocess = Preprocess(options.mean, options.std)
    generator = torch.Generator().manual_seed(options.seed)
    module = student.module.train()
    steps = math.ceil(options.epochs * len(images) / options.batch)
    optimizer = torch.optim.SGD(module.parameters(), options.rate, momentum=0.9, nesterov=True, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=steps, pct_start=0.15)
    order = torch.empty(0, dtype=torch.int64)
    begin, mean = time.monotonic(), 0.0
    for step in range(steps):
        if len(order) < options.batch:
            order = torch.randperm(len(images), generator=generator)
        taken, order = order[: options.batch], order[options.batch :]
        batch = preprocess(augmented(images[taken], generator))
        loss = loss_of(module(batch), teacher(batch), labels[taken], options.temperature, options.labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step + 1, 100)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(f"step {step + 1} of {steps}, loss {mean:.4f}, {time.monotonic() - begin:.0f} s", flush=True)
    module.eval()


def main() -> None:
    options = arguments()
    torch.manual_seed(options.seed)
    held_out = pictures(options.eval)
    preprocess = Preprocess(options.mean, options.std)
    before = accuracy(options.pruned, *held_out, preprocess)
    print(f"top-1: dense {accuracy(options.dense, *held_out, preprocess):.2f} %, pruned {before:.2f} %", flush=True)
    student = Student(options.pruned)
    train(student, Scores(options.dense), pictures(options.data), options)
    student.save(options.output)
    after = accuracy(options.output, *held_out, preprocess)
    print(f"top-1: {before:.2f} % -> {after:.2f} %, written to {options.output}")


if __name__ == "__main__":
    main()
