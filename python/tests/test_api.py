"""The functions, on models and data in every form that a program holds them in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import onnx_prune

FAST = {"no_timing": True, "effort": "fast", "target_macs": 0.6}


def pruned(model, data, **options):
    """The bytes of the smaller model's file, which lasts as long as the result."""
    result = onnx_prune.prune(model, data, **{**FAST, **options})
    return result.path.read_bytes()


def scores(path, x):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def test_the_same_bytes_as_the_command(small, pictures, tmp_path):
    result = onnx_prune.prune(small, pictures, target_macs=0.5, seed=3, no_timing=True, effort="fast")
    target = tmp_path / "command.onnx"
    command = [sys.executable, "-m", "onnx_prune", small, "--data", pictures, "--target-macs", "0.5", "--seed", "3"]
    command += ["--no-timing", "--effort", "fast", "-o", target, "--quiet"]
    subprocess.run(list(map(str, command)), check=True, cwd=tmp_path)
    assert target.read_bytes() == result.path.read_bytes()
    assert result.report.macs.after < 0.55 * result.report.macs.before
    assert json.loads(target.with_suffix(".plan.json").read_text()) == result.plan


def test_a_model_in_memory(model, images, tmp_path):
    result = onnx_prune.prune(model, images, **FAST)
    assert result.report.macs.after <= 0.65 * result.report.macs.before
    assert len(result.model.graph.node) == len(model.graph.node)
    result.save(tmp_path / "saved.onnx")
    assert np.isfinite(scores(tmp_path / "saved.onnx", images)).all()
    assert "MACs" in repr(result) and "<table>" in result._repr_html_()
    assert f"<td>{result.report.macs.before:,.0f}</td>" in result._repr_html_()
    same = onnx_prune.prune(model.SerializeToString(), {"x": images}, **FAST)
    assert same.path.read_bytes() == result.path.read_bytes()
    written = onnx_prune.apply(model, result.plan, tmp_path / "applied.onnx")
    assert written.exists()


def test_a_sweep_makes_a_model_for_every_share(model, images, tmp_path):
    swept = onnx_prune.sweep(
        model, images, [0.6, 0.8], output=tmp_path / "made.onnx", effort="fast", no_timing=True
    )
    assert [own.share for own in swept.models] == [0.8, 0.6]
    assert (tmp_path / "made.x0.80.onnx").exists() and (tmp_path / "made.sweep.csv").exists()


def test_forms_of_data_are_one(model, images):
    class Reader:
        """As ``CalibrationDataReader`` of onnxruntime.quantization."""

        def __init__(self):
            self.left = iter(images)

        def get_next(self):
            image = next(self.left, None)
            return None if image is None else {"x": image[None]}

    forms = {
        "array": images,
        "by name": {"x": images},
        "samples": iter(images),
        "batches": ({"x": images[at : at + 8]} for at in range(0, len(images), 8)),
        "reader": Reader(),
    }
    files = {name: pruned(model, data) for name, data in forms.items()}
    assert len(set(files.values())) == 1, {name: len(file) for name, file in files.items()}


def test_an_input_may_have_any_name(model, images):
    for name in ("file", "args", "in/x:0"):
        other = type(model)()
        other.CopyFrom(model)
        other.graph.input[0].name = name
        other.graph.node[0].input[0] = name
        assert pruned(other, {name: images}) == pruned(other, iter(images))


def test_labels_come_with_the_samples(model, images, tmp_path):
    model_path = tmp_path / "model.onnx"
    model_path.write_bytes(model.SerializeToString())
    labels = scores(model_path, images).argmax(1)
    result = onnx_prune.prune(model, zip(images, labels), eval=zip(images, labels), **FAST)
    assert result.report.accuracy.before == 100.0
    assert result.report.accuracy.images == len(images)


def test_a_torch_loader(model, images, tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    labels = scores(tmp_path / "model.onnx", images).argmax(1)
    data = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    result = onnx_prune.prune(model, torch.utils.data.DataLoader(data, batch_size=8), **FAST)
    assert result.report.calibration.images == len(images)


def test_what_a_generator_raises_comes_through(model, images):
    def broken():
        yield images[0]
        raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        onnx_prune.prune(model, broken(), **FAST)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros((8, 4, 8, 8), np.float32), "(4, 8, 8)"),
        ([np.array([object()])], "object"),
        ([], "empty"),
        (7, "int"),
        ({"x": np.zeros((8, 3, 8), np.float32)}, "(1, 3, 8)"),
        ({"x": np.zeros((8, 3, 8, 8), np.float32), "z": "text"}, "`z`"),
    ],
)
def test_wrong_data_are_said(model, data, says):
    with pytest.raises(onnx_prune.InputError) as raised:
        onnx_prune.prune(model, data, **FAST)
    assert says in str(raised.value)
    assert raised.value.help


def test_wrong_options_are_said(model, images):
    with pytest.raises(onnx_prune.InputError, match="unexpected argument '--target-mac'") as raised:
        onnx_prune.prune(model, images, target_mac=0.5)
    assert raised.value.help == "a similar argument exists: '--target-macs'"
    with pytest.raises(onnx_prune.InputError) as raised:
        onnx_prune.prune("nowhere.onnx", images)
    assert "nowhere.onnx" in str(raised.value)


def test_a_metric_is_called_and_bounds_the_loss(model, images):
    seen = []
    dense = []

    def near(path):
        found = scores(path, images)
        dense.append(found) if not dense else None
        seen.append(float(-np.abs(found - dense[0]).max()))
        return seen[-1]

    result = onnx_prune.prune(model, images, metric=near, max_drop=1e9, no_timing=True, effort="fast")
    assert len(seen) >= 2 and seen[0] == 0.0
    assert result.report.metric.before == 0.0
    assert result.report.metric.after in seen

    def fails(path):
        raise RuntimeError("no judge today")

    with pytest.raises(RuntimeError, match="no judge today"):
        onnx_prune.prune(model, images, metric=fails, **FAST)


def test_progress_is_told_and_may_end_the_run(model, images):
    phases = set()
    onnx_prune.prune(model, images, progress=lambda phase, done, total, line: phases.add(phase), **FAST)
    assert "calibrate" in phases or len(phases) >= 2, phases

    def stop(phase, done, total, line):
        raise TimeoutError("long enough")

    with pytest.raises(TimeoutError, match="long enough"):
        onnx_prune.prune(model, images, progress=stop, **FAST)


def test_two_threads_at_once(model, images):
    alone = pruned(model, images)
    found = {}

    def work(name):
        found[name] = pruned(model, images)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: alone, 1: alone}


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_shards_of_statistics_and_evaluations_are_merged(model, images, tmp_path):
    parts = []
    for index in range(2):
        parts.append(onnx_prune.calibrate(model, images, tmp_path / f"{index}.stats", shard=f"{index}/2"))
    merged = onnx_prune.merge(parts, tmp_path / "all.stats")
    result = onnx_prune.prune(model, statistics=merged, **FAST)
    whole = onnx_prune.prune(model, images, samples="all", **FAST)
    assert [own.width_after for own in result.report.groups] == [own.width_after for own in whole.report.groups]
    with pytest.raises(onnx_prune.InputError, match="1 of 2 shards"):
        onnx_prune.merge(parts[:1], tmp_path / "some.stats")


def test_an_interrupt_ends_the_run(small, pictures, tmp_path):
    target = tmp_path / "pruned.onnx"
    code = (
        "import onnx_prune, sys\n"
        f"onnx_prune.prune({str(small)!r}, {str(pictures)!r}, output={str(target)!r}, "
        "progress=lambda *a: print('on', flush=True))"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    run.stdout.readline()
    run.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, stderr = run.communicate(timeout=60)
    assert "KeyboardInterrupt" in stderr and time.monotonic() - begun < 20
    assert not target.exists()


def test_quantize_check_and_inspect(model, images, tmp_path):
    result = onnx_prune.quantize(model, images, no_timing=True, output=tmp_path / "small.onnx")
    assert result.path.stat().st_size < len(model.SerializeToString())
    assert result.report.quantized.products == 3
    checked = onnx_prune.check(model, model, no_timing=True)
    assert checked.outcome == "passed"
    found = onnx_prune.inspect(model)
    assert found["groups"]
    assert onnx_prune.verify(model, model).startswith("equal")
    with pytest.raises(onnx_prune.CheckFailed):
        other = type(model)()
        other.CopyFrom(model)
        other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
        onnx_prune.verify(model, other)


def test_models_are_timed_on_a_device(small, pictures, tmp_path, monkeypatch):
    # Where `onnx_prune` is the package that is installed, for the agent too.
    monkeypatch.chdir(tmp_path)
    agent = f"exec:{sys.executable} -m onnx_prune agent"
    result = onnx_prune.prune(small, pictures, effort="fast", target_latency=0.9, device=agent)
    there = result.report.device
    assert there.device == agent and there.engine.threads >= 1
    assert 0 < there.sent_bytes < 3 * (result.report.bytes.before + result.report.bytes.after)
    with pytest.raises(onnx_prune.InputError, match="failed"):
        onnx_prune.bench(small, device="exec:false")
