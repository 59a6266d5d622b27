#!/usr/bin/env python3
"""A model folder of Hugging Face Optimum: prune it, load it again with ``ORTModelForImageClassification``.

Needs ``pip install onnx-prune onnx "optimum-onnx[onnxruntime]" torch torchvision pillow``.

With a folder that ``optimum-cli export onnx`` wrote (``model.onnx``, ``config.json``, ``preprocessor_config.json``) and images in
folders of one class each::

    python optimum_example.py --folder vit_onnx --data calib --eval eval --output vit_pruned

``preprocessor_config.json`` is what the images are prepared by, in onnx-prune as in Optimum. Class folders are
outputs by ``label2id`` of ``config.json`` where it has their names, else in alphabetical order.

Without ``--folder`` a small ResNet of transformers is trained on ``--data`` for some epochs and exported; without ``--data`` on the
500 pictures of clothes in this repository. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import torch
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForImageClassification
from PIL import Image
from transformers import AutoImageProcessor, ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification

import onnx_prune

CALIBRATION = Path(__file__).resolve().parents[2] / "calibration"


def outputs(label2id: Mapping[str, int], data: Path) -> Dict[str, int]:
    """Which output each class folder is: by ``label2id`` of ``config.json``, else in alphabetical order."""
    names = sorted(own.name for own in data.iterdir() if own.is_dir())
    known = all(name in label2id for name in names)
    return {name: label2id[name] if known else number for number, name in enumerate(names)}


def prepared(data: Path, processor: Any, classes: Mapping[str, int]) -> Tuple[torch.Tensor, torch.Tensor]:
    """All images in folders of one class each, as the processor prepares them, and their classes."""
    images, labels = [], []
    for folder in sorted(own for own in data.iterdir() if own.is_dir()):
        for path in sorted(folder.iterdir()):
            images.append(processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"][0])
            labels.append(classes[folder.name])
    return torch.stack(images), torch.tensor(labels)


def small_model(data: Path, epochs: int, folder: Path) -> None:
    """Trains a small ResNet and writes it as ``save_pretrained`` does, then as Optimum's export does."""
    names = sorted(own.name for own in data.iterdir() if own.is_dir())
    config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64],
        depths=[2, 2, 2],
        layer_type="basic",
        downsample_in_first_stage=False,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
    model = ResNetForImageClassification(config)
    processor = ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=1.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    images, labels = prepared(data, processor, config.label2id)
    model.train()
    for _ in range(epochs):
        for part in torch.randperm(len(labels)).split(50):
            optimizer.zero_grad()
            model(pixel_values=images[part], labels=labels[part]).loss.backward()
            optimizer.step()
        schedule.step()
    trained = folder / "trained"
    model.save_pretrained(trained)
    processor.save_pretrained(trained)
    # The same as `optimum-cli export onnx --model trained --task image-classification dense`.
    main_export(str(trained), folder / "dense", task="image-classification")


def top1(folder: Path, data: Path) -> float:
    """Percent right, by Optimum's own class."""
    model = ORTModelForImageClassification.from_pretrained(folder)
    # That with Pillow, as most models were trained with.
    processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    images, labels = prepared(data, processor, outputs(model.config.label2id, data))
    found = torch.cat([model(pixel_values=part).logits.argmax(-1) for part in images.split(50)])
    return 100 * float((found == labels).float().mean())


def prune_folder(source: Path, target: Path, data: Path, **options: Any) -> onnx_prune.Result:
    """Writes a folder like ``source`` whose model is smaller."""
    target.mkdir(parents=True, exist_ok=True)
    label2id = json.loads((source / "config.json").read_text()).get("label2id", {})
    classes = target / "classes.json"
    classes.write_text(json.dumps(outputs(label2id, data)))
    for own in source.iterdir():
        if own.is_file() and ".onnx" not in own.name:
            shutil.copyfile(own, target / own.name)
    return onnx_prune.prune(
        source / "model.onnx",
        data,
        preprocess=source / "preprocessor_config.json",
        classes=classes,
        output=target / "model.onnx",
        force=True,
        **options,
    )


def main(arguments: Optional[Sequence[str]] = None) -> onnx_prune.Result:
    parser = argparse.ArgumentParser(description="Prune a model folder of Hugging Face Optimum.")
    parser.add_argument("--folder", type=Path, help="with model.onnx and its settings [a small ResNet is trained]")
    parser.add_argument("--data", type=Path, default=CALIBRATION / "train", help="calibration images in class folders")
    parser.add_argument("--eval", type=Path, default=CALIBRATION / "eval", help="held-out images in class folders")
    parser.add_argument("--epochs", type=int, default=12, help="of the training, where there is one [%(default)s]")
    parser.add_argument("--target-macs", type=float, default=0.7, help="share of the multiply-accumulates [%(default)s]")
    parser.add_argument("--effort", default="default", choices=["fast", "default", "max"])
    parser.add_argument("--output", type=Path, default=Path("optimum_pruned"), help="folder of the results [%(default)s]")
    given = parser.parse_args(arguments)
    torch.manual_seed(0)

    source, target = given.folder, given.output
    if source is None:
        source, target = given.output / "dense", given.output / "pruned"
        print(f"a small ResNet is trained on {given.data} for {given.epochs} epochs")
        small_model(given.data, given.epochs, given.output)
    result = prune_folder(
        source,
        target,
        given.data,
        eval=given.eval,
        target_macs=given.target_macs,
        effort=given.effort,
    )
    print(result)
    before, after = (top1(folder, given.eval) for folder in (source, target))
    print(f"top-1 with ORTModelForImageClassification: {before:.2f} % -> {after:.2f} %")
    print(f"the pruned folder is {target}")
    return result


if __name__ == "__main__":
    main()
