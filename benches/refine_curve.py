#!/usr/bin/env python3
"""How far the refinement comes with so many images and seconds: a table, and the picture in docs/images.

    cargo bench --bench refine --no-run
    python3 benches/refine_curve.py DENSE.onnx PRUNED.onnx CIFAR10_DIR --bench target/release/deps/refine-... \\
        --images 1000 10000 50000 --seconds 10 40 160 --svg docs/images/refinement.svg

PRUNED.onnx is repaired layer by layer (`--refine 0`). Every run starts from it anew, on so many training images of CIFAR-10
(equally many of each class, drawn by seed 0), and takes as many rounds as the seconds hold. The error is that of the held-out
fifth of its images; top-1 is of the 10,000 test images, by ONNX Runtime. Needs numpy, onnxruntime and matplotlib.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


def records(*files):
    """Labels and preprocessed images of CIFAR-10's binary form."""
    all_bytes = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
    return all_bytes[:, 0], all_bytes[:, 1:].reshape(-1, 3, 32, 32)


def preprocessed(images):
    return (images.astype(np.float32) / 255 - MEAN) / STD


def answers(model, images):
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: images[at : at + 500]})[0] for at in range(0, len(images), 500)])


def top1(model, labels, images):
    return 100 * float((answers(model, images).argmax(1) == labels).mean())


def refined(bench, dense, pruned, images, seconds, out):
    """The error of the held-out images before and after."""
    command = [bench, dense, pruned, images, out, "0", "25", "64", str(seconds)]
    printed = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    errors = [float(own) for own in re.search(r"held-out: \[(.*)\]", printed)[1].split(",")]
    return errors[0], errors[-1]


def drawn(path, rows, start, dense):
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "refinement", "svg.fonttype": "none", "font.size": 9})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for count in sorted({row[0] for row in rows}):
        own = [row for row in rows if row[0] == count]
        seconds = [row[1] for row in own]
        left.plot(seconds, [row[3] for row in own], marker="o", label=f"{count:,} images")
        right.plot(seconds, [row[4] for row in own], marker="o", label=f"{count:,} images")
    all_seconds = sorted({row[1] for row in rows})
    for level, text in [(dense, "dense model"), (start, "before the refinement")]:
        right.axhline(level, color="grey", linestyle=":")
        right.annotate(text, (all_seconds[0], level), xytext=(0, 3), textcoords="offset points", color="dimgrey")
    right.set_ylim(top=dense + 0.5)
    for axes, title in [(left, "error on held-out images"), (right, "top-1 of the test images, %")]:
        axes.set(xscale="log", xlabel="seconds of refinement", title=title)
        axes.set_xticks(all_seconds, labels=list(map(str, all_seconds)))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense", type=Path)
    parser.add_argument("pruned", type=Path)
    parser.add_argument("data", type=Path, help="folder with data_batch_*.bin and test_batch.bin")
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 40, 160])
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    labels, images = records(*sorted(given.data.glob("data_batch_*.bin")))
    test_labels, test_images = records(given.data / "test_batch.bin")
    test_images = preprocessed(test_images)
    dense, start = (top1(model, test_labels, test_images) for model in (given.dense, given.pruned))
    print(f"dense {dense:.2f} %, before {start:.2f} %")
    rng, rows = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        out, stored = Path(folder, "out.onnx"), Path(folder, "images.npy")
        for count in given.images:
            chosen = [rng.choice(np.flatnonzero(labels == own), count // 10, replace=False) for own in range(10)]
            np.save(stored, preprocessed(images[np.concatenate(chosen)]))
            for seconds in given.seconds:
                before, after = refined(given.bench, given.dense, given.pruned, stored, seconds, out)
                rows.append((count, seconds, before, after, top1(out, test_labels, test_images)))
                print("| {:,} | {} | {:.4f} | {:.4f} | {:.2f} |".format(*rows[-1]), flush=True)
    if given.svg:
        given.svg.parent.mkdir(parents=True, exist_ok=True)
        drawn(given.svg, rows, start, dense)


if __name__ == "__main__":
    main()
