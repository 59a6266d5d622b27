"""Trains the two small classifiers of this folder on Fashion-MNIST and exports them to ONNX.

    apt-get install dataset-fashion-mnist
    pip install torch==2.8.0 onnx==1.18.0 onnxruntime==1.32.0 numpy pillow
    python3 train.py [--only fashion_resnet|fashion_plain] [--epochs 14]

Ten to twenty minutes a network on one core. Pixels go in as v / 255, nothing else: the tool's default for grey images.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import manifest
from fashion_mnist import pixels, read

HERE = Path(__file__).resolve().parent


def conv(inputs, outputs, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Basic block; the shortcut of a stage change is a 1x1 convolution."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.a, self.b = conv(inputs, outputs, 3, stride), conv(outputs, outputs)
        self.shortcut = conv(inputs, outputs, 1, stride) if inputs != outputs or stride != 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.b(F.relu(self.a(x))) + self.shortcut(x))


class Residual(nn.Module):
    """Stem and three stages of two blocks, 24, 48 and 96 channels."""

    def __init__(self):
        super().__init__()
        self.stem = conv(1, 24, 3, 2)
        widths, layers = [24, 24, 48, 48, 96, 96], []
        for before, after in zip([24, *widths], widths):
            layers.append(Block(before, after, 1 if before == after else 2))
        self.blocks, self.head = nn.Sequential(*layers), nn.Linear(96, 10)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class Plain(nn.Module):
    """Six convolutions with pools; the head reads a flattened 3x3 map."""

    def __init__(self):
        super().__init__()
        def layer(i, o):
            return [conv(i, o), nn.ReLU()]
        self.body = nn.Sequential(
            *layer(1, 16), *layer(16, 24), nn.MaxPool2d(2), *layer(24, 48), *layer(48, 48), nn.MaxPool2d(2),
            *layer(48, 96), *layer(96, 96), nn.MaxPool2d(2), nn.Flatten())
        self.hidden, self.head = nn.Linear(96 * 9, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(F.dropout(F.relu(self.hidden(self.body(x))), 0.3, self.training))


def augment(x):
    """Mirror half of the batch, shift all by up to two pixels."""
    mirrored = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
    dy, dx = torch.randint(-2, 3, (2,)).tolist()
    return torch.roll(F.pad(mirrored, (2, 2, 2, 2)), (dy, dx), (2, 3))[:, :, 2:-2, 2:-2]


def train(net, epochs, seed):
    torch.manual_seed(seed)
    images, labels = read("train")
    x, y = torch.from_numpy(pixels(images)), torch.from_numpy(labels.astype(np.int64))
    batch = 256
    steps = len(x) // batch * epochs
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=steps + 1, pct_start=0.25)
    for epoch in range(epochs):
        net.train()
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            index = order[start:start + batch]
            loss = F.cross_entropy(net(augment(x[index])), y[index], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: {accuracy(net):.2f} %", flush=True)
    return net.eval()


@torch.no_grad()
def accuracy(net):
    """Top-1 on the test images, in percent: printed, not used to pick an epoch: the last one is exported."""
    net.eval()
    images, labels = read("t10k")
    right = 0
    for start in range(0, len(images), 1000):
        logits = net(torch.from_numpy(pixels(images[start:start + 1000]))).numpy()
        right += int((logits.argmax(1) == labels[start:start + 1000]).sum())
    return 100 * right / len(images)


def export(net, name, keep_bn):
    training = torch.onnx.TrainingMode.PRESERVE if keep_bn else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), str(HERE / f"{name}.onnx"), opset_version=17,
                      dynamo=False, training=training, do_constant_folding=not keep_bn, input_names=["input"], output_names=["output"],
                      dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}})


NETS = {"fashion_resnet": (Residual, True), "fashion_plain": (Plain, False)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=NETS)
    parser.add_argument("--epochs", type=int, default=14)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed, (name, (kind, keep_bn)) in enumerate(NETS.items()):
        if options.only in (None, name):
            torch.manual_seed(seed)
            export(train(kind(), options.epochs, seed), name, keep_bn)
            entry = next(entry for entry in manifest.write() if entry["file"] == f"{name}.onnx")
            print(json.dumps(entry["top1"]), flush=True)


if __name__ == "__main__":
    main()
