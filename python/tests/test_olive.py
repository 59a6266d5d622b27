"""The pass for Olive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import onnx_prune

SCRIPT = """
import numpy as np
import onnxruntime
import torch

from olive.data.registry import Registry


class Pictures(torch.utils.data.Dataset):
    def __init__(self, name, model):
        random = np.random.default_rng(1)
        self.values = random.standard_normal((48, 3, 8, 8)).astype(np.float32)
        self.name, self.labels = name, None
        if model:
            # The classes that a model sees.
            self.labels = onnxruntime.InferenceSession(model).run(None, {"x": self.values})[0].argmax(1)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        values = {self.name: torch.from_numpy(self.values[index])}
        return values if self.labels is None else (values, self.labels[index])


@Registry.register_dataset()
def pictures_of_noise(name="x", model=None, **ignored):
    return Pictures(name, model)
"""


@pytest.fixture
def olive(monkeypatch, tmp_path):
    """Olive, which reports nothing to anybody and keeps its files where the test has its own."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("OLIVE_DISABLE_TELEMETRY", "1")
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("olive.workflows", reason="olive-ai is not installed")


@pytest.fixture
def stored(model, tmp_path) -> Path:
    """The small network of ``conftest.py`` as a file in the current folder."""
    path = tmp_path / "network.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def data_config(folder: Path, **parameters) -> dict:
    script = folder / "noise.py"
    script.write_text(SCRIPT)
    dataset = {"type": "pictures_of_noise", "params": parameters}
    return {
        "name": "noise",
        "user_script": str(script),
        "load_dataset_config": dataset,
        "dataloader_config": {"params": {"batch_size": 12}},
    }


def run(olive, folder: Path, model: Path, passes: dict, **others):
    from onnx_prune.olive import package_config

    workflow = {
        "input_model": {"type": "ONNXModel", "model_path": str(model)},
        "passes": passes,
        "output_dir": str(folder / "out"),
        "cache_dir": str(folder / "cache"),
        **others,
    }
    path = folder / "workflow.json"
    path.write_text(json.dumps(workflow))
    return olive.run(str(path), package_config=package_config())


def test_without_olive_the_error_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['olive'] = None; import onnx_prune.olive"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 1
    last = found.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: onnx_prune.olive needs Olive") and "pip install olive-ai" in last


@pytest.mark.parametrize("labels", [True, False])
def test_a_workflow_prunes_on_the_data_of_a_data_config(olive, stored, tmp_path, labels):
    own = {"type": "OnnxPrune", "target_macs": 0.6, "effort": "fast", "data_config": "noise", "options": {"no_timing": True}}
    # Then a pass of Olive's own.
    passes = {"prune": own, "halve": {"type": "OnnxFloatToFloat16"}}
    output = run(olive, tmp_path, stored, passes, data_configs=[data_config(tmp_path, model=str(stored) if labels else None)])
    best = output.get_best_candidate()
    told = best.model_config["model_attributes"]["onnx_prune"]
    assert told["macs"]["after"] <= 0.6 * told["macs"]["before"]
    folder = tmp_path / "out"
    assert {"model.onnx", "plan.json"} <= {path.name for path in folder.iterdir()}
    # The plan makes the same network again.
    plan = json.loads((folder / "plan.json").read_text())
    cut = onnx_prune.apply(stored, plan, tmp_path / "cut.onnx")
    import onnx
    import onnxruntime

    shapes = [[list(own.dims) for own in onnx.load(path).graph.initializer] for path in (folder / "model.onnx", cut)]
    assert sorted(shapes[0]) == sorted(shapes[1])
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    kind = np.float16 if "16" in session.get_inputs()[0].type else np.float32
    assert session.run(None, {"x": np.zeros((2, 3, 8, 8), kind)})[0].shape == (2, 5)


def test_data_may_be_files(olive, small, pictures, tmp_path):
    own = {
        "type": "OnnxPrune",
        "target_macs": 0.8,
        "effort": "fast",
        "samples": 100,
        "data": str(pictures),
        "eval": str(pictures.parent / "eval"),
        "options": {"no_timing": True, "eval_samples": 200},
    }
    output = run(olive, tmp_path, small, {"prune": own})
    told = output.get_best_candidate().model_config["model_attributes"]["onnx_prune"]
    assert told["accuracy"]["before"] > 80
    expected = onnx_prune.prune(
        small, pictures, eval=pictures.parent / "eval", target_macs=0.8, effort="fast", samples=100, no_timing=True,
        eval_samples=200, output=tmp_path / "expected.onnx",
    )  # fmt: skip
    assert told["accuracy"]["after"] == expected.report.accuracy.after
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (tmp_path / "expected.onnx").read_bytes()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"data_config": "noise", "data": "folder"}, "both `data_config` and `data`"),
        ({"options": {"target_macs": 0.5}}, "`target_macs` is a parameter of the pass"),
        ({"options": {"output": "x.onnx"}}, "`output` cannot be among the `options`"),
        ({"criterion": "guess"}, "guess"),
        ({"options": {"no_such_flag": 1}}, "no-such-flag"),
    ],
)
def test_what_is_wrong_is_said(olive, stored, tmp_path, parameters, message):
    with pytest.raises(onnx_prune.InputError, match=message):
        run(olive, tmp_path, stored, {"prune": {"type": "OnnxPrune", **parameters}}, data_configs=[data_config(tmp_path)])


def test_data_under_another_name_are_refused(olive, stored, tmp_path):
    own = {"type": "OnnxPrune", "data_config": "noise", "options": {"no_timing": True}}
    with pytest.raises(onnx_prune.InputError, match="batch 0 of the data config `noise` has no `x`") as error:
        run(olive, tmp_path, stored, {"prune": own}, data_configs=[data_config(tmp_path, name="pixels")])
    assert "pixels" in error.value.why


def test_shares_are_searched_only_where_no_other_budget_is_given(olive):
    from olive.hardware import DEFAULT_CPU_ACCELERATOR

    from onnx_prune.olive import OnnxPrune

    def searched(**config):
        return OnnxPrune.get_config_params(DEFAULT_CPU_ACCELERATOR, config)[2]

    assert searched()["target_macs"].get_support() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert searched(target_macs=[0.8, 0.4])["target_macs"].get_support() == [0.8, 0.4]
    for config in ({"target_macs": 0.7}, {"target_latency": "5ms"}, {"max_drop": 1.0}):
        assert not searched(**config)


def test_the_package_configuration_is_written(olive, tmp_path):
    path = tmp_path / "package.json"
    subprocess.run([sys.executable, "-m", "onnx_prune.olive", str(path)], check=True)
    from olive.package_config import OlivePackageConfig

    config = OlivePackageConfig.parse_file_or_obj(str(path))
    assert config.import_pass_module("OnnxPrune").__name__ == "OnnxPrune"
    assert config.import_pass_module("OnnxFloatToFloat16").__name__ == "OnnxFloatToFloat16"
