"""The examples run, on small models and for a short time."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Files go to the test's folder; nothing is downloaded, installed or reported."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HUB_OFFLINE", "YOLO_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("CI", "true")


def example(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scores(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def pruned_and_measured(result, printed, tool):
    """The example pruned a model that had learned, and the tool measures what the report says."""
    report = result.report
    assert report.macs.after <= 0.7 * report.macs.before
    assert report.accuracy.before > 50
    found = re.search(rf"{tool}: ([0-9.]+) % -> ([0-9.]+) %", printed)
    assert float(found[1]) == pytest.approx(report.accuracy.before, abs=0.006)
    assert float(found[2]) == pytest.approx(report.accuracy.after, abs=0.006)


def test_timm(tmp_path, capsys):
    pytest.importorskip("timm")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    result = example("timm_example").main(["--epochs", "6", "--effort", "fast", "--output", "out"])
    # The settings mean the same to onnx-prune and to timm.
    pruned_and_measured(result, capsys.readouterr().out, "timm's transforms")
    assert scores(tmp_path / "out" / "pruned.onnx", np.zeros((3, 3, 32, 32), np.float32)).shape == (3, 10)


def test_optimum(tmp_path, capsys):
    optimum = pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx is not installed")
    pytest.importorskip("transformers")
    result = example("optimum_example").main(["--epochs", "6", "--effort", "fast", "--output", "out"])
    pruned_and_measured(result, capsys.readouterr().out, "ORTModelForImageClassification")
    # The folder loads as the one that it was made from.
    loaded = optimum.ORTModelForImageClassification.from_pretrained(tmp_path / "out" / "pruned")
    assert loaded.config.id2label[3] == "3_dress"
    source = {path.name for path in (tmp_path / "out" / "dense").iterdir()}
    assert source <= {path.name for path in (tmp_path / "out" / "pruned").iterdir()}


def test_ultralytics(tmp_path):
    ultralytics = pytest.importorskip("ultralytics")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    result = example("ultralytics_example").main(["--epochs", "40", "--output", "out"])
    report = result.report
    assert report.macs.after <= 0.8 * report.macs.before
    assert report.metric.before > 0
    assert 0 <= report.metric.after <= 1
    # What Ultralytics wrote into its export is still there.
    loaded = ultralytics.YOLO(tmp_path / "out" / "pruned.onnx", task="detect")
    found = loaded.predict(str(ultralytics.utils.ASSETS / "bus.jpg"), imgsz=160, device="cpu", verbose=False)
    assert found[0].names == {0: "person", 1: "bus"}


def test_notebook(monkeypatch, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(EXAMPLES)
    path = EXAMPLES / "notebook.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    # It is kept without outputs.
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "image/svg+xml"} <= kinds
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs), json.dumps(outputs)
