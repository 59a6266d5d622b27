"""Measures the networks of this folder and writes MANIFEST.json.

    apt-get install dataset-fashion-mnist
    pip install onnx==1.18.0 onnxruntime==1.32.0 numpy pillow
    python3 manifest.py

Needs no torch: train.py calls it after each export.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from fashion_mnist import CLASSES, PACKAGE, pixels, read

HERE = Path(__file__).resolve().parent
ARCHITECTURES = {
    "fashion_plain": "plain net, 6 3x3 convolutions, BatchNormalization folded, Flatten head",
    "fashion_resnet": "residual net, 13 3x3 convolutions, 1x1 shortcuts, BatchNormalization kept",
}


def macs(model):
    """Multiply-accumulates of one image: Conv and Gemm, all that these networks hold."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    values = (*graph.value_info, *graph.output)
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
    # One filter (row of a Gemm) costs its elements once at each place of its output map.
    return sum(math.prod(weights[node.input[1]]) * math.prod(sizes[node.output[0]][2:])
               for node in graph.node if node.op_type in ("Conv", "Gemm"))


def evaluation_images():
    folders = [HERE.parent / "calibration" / "eval" / name for name in CLASSES]
    pairs = [(np.asarray(Image.open(path)), label) for label, folder in enumerate(folders)
             for path in sorted(folder.glob("*.png"))]
    return np.stack([image for image, _ in pairs]), np.array([label for _, label in pairs])


def top1(session, name, images, labels):
    right = 0
    for start in range(0, len(images), 500):
        logits = session.run(None, {"input": pixels(images[start:start + 500])})[0]
        right += int((logits.argmax(1) == labels[start:start + 500]).sum())
    return {"images": name, "n": len(images), "right": right, "percent": round(100 * right / len(images), 2),
            "runtime": f"onnxruntime {onnxruntime.__version__}, CPU"}


def describe(stem):
    path = HERE / f"{stem}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    data = path.read_bytes()
    floats = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    return {
        "file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data),
        "architecture": ARCHITECTURES[stem],
        "input": {"name": "input", "shape": ["batch", 1, 28, 28]},
        "output": {"name": "output", "shape": ["batch", 10], "meaning": "logits"},
        "opset": model.opset_import[0].version,
        "parameters": sum(math.prod(tensor.dims) for tensor in floats), "macs": macs(model),
        "preprocessing": {"colour": "grey", "size": [28, 28], "formula": "(v / 255 - mean) / std, v = 0..255",
                          "scale": 255, "mean": [0.0], "std": [1.0]},
        "top1": top1(session, "Fashion-MNIST test, all", *read("t10k")),
        "top1_eval": top1(session, "calibration/eval", *evaluation_images()),
        "licence": "MIT OR Apache-2.0 (the images: MIT, Zalando SE)",
        "source": f"trained by models/train.py on {PACKAGE}; "
                  f"exporter {model.producer_name} {model.producer_version}",
    }


def write():
    """Measures every network that is there and returns what was written."""
    models = [describe(stem) for stem in ARCHITECTURES if (HERE / f"{stem}.onnx").is_file()]
    (HERE / "MANIFEST.json").write_text(json.dumps({"classes": CLASSES, "models": models}, indent=1) + "\n")
    return models


if __name__ == "__main__":
    for entry in write():
        print(f"{entry['file']}: {entry['macs']} MACs, {entry['top1']['percent']} %, "
              f"calibration/eval {entry['top1_eval']['percent']} %")
