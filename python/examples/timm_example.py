#!/usr/bin/env python3
"""A model of timm: export, prune, evaluate.

Needs ``pip install onnx-prune onnxruntime onnx timm`` (timm brings torch and torchvision).

With your own model and images, in folders of one class each::

    python timm_example.py --model resnet50 --checkpoint resnet50.pth --data imagenet/train --eval imagenet/val

``--pretrained`` takes timm's weights, which are downloaded. Without ``--checkpoint`` or ``--pretrained`` the model is first
trained on the images of ``--data`` for a few epochs; without ``--data`` those are the 500 pictures of clothes in this
repository.

The preprocessing is the model's own (``timm.data.resolve_model_data_config``): the same file of settings goes to onnx-prune,
which reads the folders itself. Accuracy is measured twice, by onnx-prune and with timm's dataset and transforms.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import onnxruntime
import timm
import torch
from timm.data import create_dataset, create_transform, resolve_model_data_config

import onnx_prune

CALIBRATION = Path(__file__).resolve().parents[2] / "calibration"


def images(folder: Path, transform: Any, shuffle: bool = False) -> "torch.utils.data.DataLoader":
    """Batches of the images in folders of one class each."""
    dataset = create_dataset("", root=str(folder))
    dataset.transform = transform
    return torch.utils.data.DataLoader(dataset, batch_size=50, shuffle=shuffle)


def train(module: torch.nn.Module, folder: Path, config: Dict[str, Any], epochs: int) -> None:
    """A short training, so that there is something to lose."""
    batches = images(folder, create_transform(**config), shuffle=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=epochs * len(batches))
    module.train()
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
            schedule.step()
    module.eval()


def export(module: torch.nn.Module, config: Dict[str, Any], path: Path) -> None:
    """The model as ONNX, with a batch of any size."""
    x = torch.randn(1, *config["input_size"])
    axes = {"images": {0: "batch"}, "scores": {0: "batch"}}
    names: Dict[str, Any] = {"input_names": ["images"], "output_names": ["scores"], "dynamic_axes": axes}
    torch.onnx.export(module.eval(), (x,), str(path), opset_version=17, dynamo=False, **names)


def top1(path: Path, folder: Path, config: Dict[str, Any]) -> float:
    """Percent of the images whose best score is that of their class."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    right = count = 0
    for x, y in images(folder, create_transform(**config)):
        scores = session.run(None, {"images": x.numpy()})[0]
        right += int((scores.argmax(1) == y.numpy()).sum())
        count += len(y)
    return 100 * right / count


def main(arguments: Optional[Sequence[str]] = None) -> onnx_prune.Result:
    parser = argparse.ArgumentParser(description="Export, prune and evaluate a model of timm.")
    parser.add_argument("--model", default="test_resnet", help="a name of timm.list_models() [%(default)s, a small one]")
    parser.add_argument("--checkpoint", type=Path, help="weights of your own for that model")
    parser.add_argument("--pretrained", action="store_true", help="timm's weights, which are downloaded")
    parser.add_argument("--data", type=Path, default=CALIBRATION / "train", help="calibration images in class folders")
    parser.add_argument("--eval", type=Path, default=CALIBRATION / "eval", help="held-out images in class folders")
    parser.add_argument("--size", type=int, help="side of the images [the model's; 32 where it is trained here]")
    parser.add_argument("--epochs", type=int, default=12, help="of the training, where there is one [%(default)s]")
    parser.add_argument("--target-macs", type=float, default=0.7, help="share of the multiply-accumulates [%(default)s]")
    parser.add_argument("--effort", default="default", choices=["fast", "default", "max"])
    parser.add_argument("--output", type=Path, default=Path("timm_pruned"), help="folder of the results [%(default)s]")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    trained = given.pretrained or given.checkpoint is not None
    options: Dict[str, Any] = {}
    if not trained:
        options["num_classes"] = sum(own.is_dir() for own in given.data.iterdir())
    module = timm.create_model(
        given.model, pretrained=given.pretrained, checkpoint_path=str(given.checkpoint or ""), exportable=True, **options
    ).eval()
    config = resolve_model_data_config(module)
    size = given.size or (None if trained else 32)
    if size:
        config["input_size"] = (config["input_size"][0], size, size)
    if not trained:
        print(f"{given.model} is trained on {given.data} for {given.epochs} epochs")
        train(module, given.data, config, given.epochs)

    dense, pruned, settings = (given.output / name for name in ("dense.onnx", "pruned.onnx", "preprocess.json"))
    export(module, config, dense)
    # onnx-prune reads the settings of timm.
    settings.write_text(json.dumps(config))
    result = onnx_prune.prune(
        dense,
        given.data,
        eval=given.eval,
        preprocess=settings,
        target_macs=given.target_macs,
        effort=given.effort,
        output=pruned,
        force=True,
    )
    print(result)
    before, after = (top1(path, given.eval, config) for path in (dense, pruned))
    print(f"top-1 with timm's transforms: {before:.2f} % -> {after:.2f} %")
    print(f"the pruned model is {pruned}")
    return result


if __name__ == "__main__":
    main()
