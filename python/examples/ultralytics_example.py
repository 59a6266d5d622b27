#!/usr/bin/env python3
"""A YOLO detector of Ultralytics: export, prune with its own validation as the metric.

Needs ``pip install onnx-prune onnxruntime onnx ultralytics``.

With your own weights and data set::

    python ultralytics_example.py --model best.pt --data data.yaml --imgsz 640 --max-drop 0.01

Where ``--model`` is a .yaml, the network is first trained for some epochs on the data set; without ``--data`` the data set is the
two pictures that Ultralytics ships, with boxes written here. That shows how the parts fit together, not how good a model is.

What a model is worth is mAP50-95 by ``YOLO(path).val(...)``: of the dense model, of the pruned one, and of every candidate
where ``--max-drop`` bounds the loss. Calibration images are those of ``train`` in the data set, letterboxed as Ultralytics
does it; they need no labels.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Iterator, Optional, Sequence, Union

import cv2
import numpy as np

# Neither packages are installed nor weights asked for in passing. Set before ultralytics is imported.
os.environ.setdefault("YOLO_AUTOINSTALL", "false")
from ultralytics import YOLO  # noqa: E402
from ultralytics.data.augment import LetterBox  # noqa: E402
from ultralytics.data.utils import check_det_dataset  # noqa: E402
from ultralytics.utils import ASSETS  # noqa: E402

import onnx_prune  # noqa: E402

#: Boxes of the pictures in the package: class, left, top, right, bottom.
BOXES = {
    "bus.jpg": [(1, 22, 231, 805, 757), (0, 48, 398, 246, 903), (0, 669, 392, 810, 877), (0, 221, 405, 345, 858)],
    "zidane.jpg": [(0, 123, 193, 715, 720), (0, 743, 48, 1142, 720)],
}


def small_data_set(folder: Path) -> Path:
    """The two pictures with labels, eight times for training and once for validation."""
    for part, copies in (("train", 8), ("val", 1)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        for name, boxes in BOXES.items():
            picture = cv2.imread(str(ASSETS / name))
            height, width = picture.shape[:2]
            lines = [
                f"{kind} {(a + c) / 2 / width:.6f} {(b + d) / 2 / height:.6f} {(c - a) / width:.6f} {(d - b) / height:.6f}"
                for kind, a, b, c, d in boxes
            ]
            for copy in range(copies):
                own = f"{copy}_{Path(name).stem}"
                cv2.imwrite(str(folder / "images" / part / f"{own}.jpg"), picture)
                (folder / "labels" / part / f"{own}.txt").write_text("\n".join(lines) + "\n")
    path = folder / "data.yaml"
    path.write_text(f"path: {folder.resolve()}\ntrain: images/train\nval: images/val\nnames: [person, bus]\n")
    return path


def train(model: YOLO, data: Path, size: int, epochs: int, folder: Path) -> YOLO:
    """A short training, so that there is something to lose."""
    augmentation = {"mosaic": 0, "scale": 0.1, "translate": 0.05, "erasing": 0}
    settings = {"batch": 4, "workers": 0, "optimizer": "AdamW", "lr0": 0.003, "cos_lr": True, "seed": 0, "device": "cpu"}
    quiet = {"plots": False, "val": False, "verbose": False, "exist_ok": True}
    model.train(
        data=str(data), epochs=epochs, imgsz=size, project=str(folder.resolve()), name="training",
        **settings, **augmentation, **quiet,
    )  # fmt: skip
    return YOLO(folder / "training" / "weights" / "last.pt")


def letterboxed(data: Path, size: int) -> Iterator[np.ndarray]:
    """The training images as the exported model takes them: RGB, 0 to 1, [1, 3, size, size]."""
    box = LetterBox((size, size))
    given: Union[str, Sequence[str]] = check_det_dataset(str(data))["train"]
    for folder in [given] if isinstance(given, str) else given:
        own = Path(folder)
        paths = [Path(line) for line in own.read_text().split()] if own.is_file() else sorted(own.rglob("*.*"))
        for path in paths:
            picture = cv2.imread(str(path))
            if picture is not None:
                rgb = box(image=picture)[..., ::-1]
                yield np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32) / 255


def main(arguments: Optional[Sequence[str]] = None) -> onnx_prune.Result:
    parser = argparse.ArgumentParser(description="Export and prune a YOLO detector, with its validation as the metric.")
    parser.add_argument("--model", default="yolov8n.yaml", help="weights (.pt), or a .yaml that is trained first [%(default)s]")
    parser.add_argument("--data", type=Path, help="data.yaml [two pictures that Ultralytics ships]")
    parser.add_argument("--imgsz", type=int, default=160, help="side of the images [%(default)s]")
    parser.add_argument("--epochs", type=int, default=50, help="of the training, where there is one [%(default)s]")
    parser.add_argument("--target-macs", type=float, help="share of the multiply-accumulates [0.8, or as --max-drop says]")
    parser.add_argument("--max-drop", type=float, help="find the smallest model that loses at most so much mAP50-95")
    effort = "time for the repair: fast takes seconds, default minutes, and keeps more of the metric [%(default)s]"
    parser.add_argument("--effort", default="fast", choices=["fast", "default", "max"], help=effort)
    parser.add_argument("--output", type=Path, default=Path("yolo_pruned"), help="folder of the results [%(default)s]")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)

    data = given.data or small_data_set(given.output / "dataset")
    model = YOLO(given.model)
    if given.model.endswith(".yaml"):
        model = train(model, data, given.imgsz, given.epochs, given.output)
    dense = Path(model.export(format="onnx", imgsz=given.imgsz, simplify=False))
    pruned = given.output / "pruned.onnx"

    def mean_ap(path: "os.PathLike[str]") -> float:
        found = YOLO(path, task="detect").val(
            data=str(data), imgsz=given.imgsz, batch=1, workers=0, device="cpu", plots=False, verbose=False,
            project=str(given.output.resolve()), name="validation", exist_ok=True,
        )  # fmt: skip
        return float(found.box.map)

    target = given.target_macs if given.target_macs or given.max_drop is not None else 0.8
    result = onnx_prune.prune(
        dense,
        letterboxed(data, given.imgsz),
        metric=mean_ap,
        max_drop=given.max_drop,
        target_macs=target,
        effort=given.effort,
        output=pruned,
        force=True,
    )
    print(result)
    metric = result.report.metric
    print(f"mAP50-95: {metric.before:.3f} -> {metric.after:.3f}")
    # Names of the classes, image size and stride stay in the file: Ultralytics loads it as it does its own exports.
    found = YOLO(pruned, task="detect").predict(str(ASSETS / "bus.jpg"), imgsz=given.imgsz, device="cpu", verbose=False)
    print(f"{len(found[0].boxes)} objects in bus.jpg; the pruned model is {pruned}")
    return result


if __name__ == "__main__":
    main()
