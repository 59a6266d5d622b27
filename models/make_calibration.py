"""Writes ../calibration: Fashion-MNIST images as class folders of PNG.

    apt-get install dataset-fashion-mnist
    pip install pillow numpy
    python3 make_calibration.py

train: the first 50 images of each class of the training split; eval: the first 100 of each class of the test split.
"""

from pathlib import Path

from PIL import Image

from fashion_mnist import CLASSES, read

ROOT = Path(__file__).resolve().parent.parent

for folder, split, count in (("train", "train", 50), ("eval", "t10k", 100)):
    images, labels = read(split)
    for number, name in enumerate(CLASSES):
        target = ROOT / "calibration" / folder / name
        target.mkdir(parents=True, exist_ok=True)
        for index in (labels == number).nonzero()[0][:count]:
            Image.fromarray(images[index]).save(target / f"{index:05}.png", optimize=True)
