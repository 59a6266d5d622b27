"""Fashion-MNIST as the Debian package dataset-fashion-mnist installs it."""

import gzip
import struct
from pathlib import Path

import numpy as np

DATA = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "Debian dataset-fashion-mnist 0.0~git20200523.55506a9-1"
# Alphabetical order is the order of the outputs, as the reader of class folders expects.
CLASSES = ["0_tshirt_top", "1_trouser", "2_pullover", "3_dress", "4_coat",
           "5_sandal", "6_shirt", "7_sneaker", "8_bag", "9_ankle_boot"]


def read(split):
    """Images [N, 28, 28] and labels [N], both uint8, of the split `train` or `t10k`."""
    return idx(f"{split}-images-idx3-ubyte.gz"), idx(f"{split}-labels-idx1-ubyte.gz")


def idx(name):
    with gzip.open(DATA / name) as file:
        raw = file.read()
    rank = raw[3]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(struct.unpack(f">{rank}I", raw[4:4 + 4 * rank]))


def pixels(images):
    """What the networks read: [N, 1, 28, 28] float32, v / 255."""
    return images[:, None].astype(np.float32) / 255
