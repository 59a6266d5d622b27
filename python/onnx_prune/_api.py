"""The commands as functions."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from . import _native
from ._data import Input, place
from ._errors import InputError
from ._report import Checked, QuantizeSummary, Summary, Swept
from ._runtime import offer

#: ``(phase, done, total, line)``: a phase goes on, or the line that the command line would print.
ProgressFunction = Callable[[str, int, Optional[int], Optional[str]], object]
#: A path, the bytes of a file, an ``onnx.ModelProto``, or a :class:`Model`.
ModelLike = Union[str, "os.PathLike[str]", bytes, Any]


class Result:
    """A smaller model and what is known of it."""

    def __init__(self, path: Path, report: Any, folder: Optional[tempfile.TemporaryDirectory] = None) -> None:
        self.path = path
        self.report = report
        # The files live as long as the result does.
        self._folder = folder

    @property
    def model(self) -> Any:
        """The model as an ``onnx.ModelProto``. Needs the package ``onnx``."""
        import onnx

        return onnx.load(self.path)

    @property
    def plan(self) -> Optional[Dict[str, Any]]:
        """Which channels stay (``plan.json``), where a plan was made."""
        path = self.path.with_suffix(".plan.json")
        return json.loads(path.read_text()) if path.exists() else None

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Copies the file of the model. Weights in files of their own go with it."""
        target = Path(path)
        for own in self.path.parent.glob(self.path.name + ".*"):
            shutil.copyfile(own, target.parent / own.name)
        shutil.copyfile(self.path, target)

    def _rows(self) -> List[Sequence[str]]:
        report = self.report
        rows: List[Sequence[str]] = []
        for name, key, form in (
            ("MACs", "macs", ",.0f"),
            ("parameters", "params", ",.0f"),
            ("bytes", "bytes", ",.0f"),
            ("latency, ms", "latency_ms", ".4g"),
        ):
            change = getattr(report, key, None)
            before, after = getattr(change, "before", None), getattr(change, "after", None)
            if before and after is not None:
                rows.append((name, format(before, form), format(after, form), f"x{after / before:.3f}"))
        accuracy = getattr(report, "accuracy", None)
        if accuracy is not None:
            change = accuracy.after - accuracy.before
            rows.append(("top-1, %", f"{accuracy.before:.2f}", f"{accuracy.after:.2f}", f"{change:+.2f}"))
        return rows

    def __repr__(self) -> str:
        return f"Result({', '.join(f'{name} {ratio}' for name, _, _, ratio in self._rows())})"

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr><th>{}</th>{}</tr>".format(row[0], "".join(f"<td>{cell}</td>" for cell in row[1:])) for row in self._rows()
        )
        return f"<table><tr><th></th><th>before</th><th>after</th><th></th></tr>{cells}</table>"


def _flags(options: Mapping[str, Any]) -> List[str]:
    """Options as flags: ``target_macs=0.7``, ``no_timing=True``, ``mean=(0.5, 0.5, 0.5)``, ``dim={"batch": 1}``,
    ``ignore=["head", "stem"]``."""
    flags: List[str] = []
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            flags.append(flag)
        elif isinstance(value, Mapping):
            for key, own in value.items():
                flags += [flag, f"{key}={own}"]
        elif isinstance(value, (list, tuple)) and value and all(isinstance(own, str) for own in value):
            for own in value:
                flags += [flag, own]
        elif isinstance(value, (list, tuple)):
            flags += [flag, ("x" if name == "size" else ",").join(str(own) for own in value)]
        else:
            flags += [flag, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
    return flags


def _run(
    arguments: Sequence[str],
    progress: Optional[ProgressFunction] = None,
    metric: Optional[Callable[["os.PathLike[str]"], float]] = None,
    lower_is_better: bool = False,
) -> str:
    offer()
    return _native.run(list(arguments), progress, metric, lower_is_better)[1]


class _Work:
    """A folder for what a program holds in memory."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="onnx-prune-")
        self.path = Path(self.folder.name)

    def model(self, model: ModelLike, name: str = "model.onnx") -> str:
        if isinstance(model, (str, os.PathLike)):
            return os.fspath(model)
        path = self.path / name
        if isinstance(model, _native.Model):
            model.save(path)
        elif isinstance(model, (bytes, bytearray, memoryview)):
            path.write_bytes(model)
        elif hasattr(model, "SerializeToString"):
            path.write_bytes(model.SerializeToString())
        else:
            raise InputError(
                f"a model of type {type(model).__name__} cannot be read", help="give a path, bytes or an onnx.ModelProto"
            )
        return str(path)

    def data(self, data: Any, model: str, name: str, samples: Any) -> List[str]:
        if data is None:
            return []
        if isinstance(data, (str, os.PathLike)):
            return [f"--{name}", os.fspath(data)]
        inputs = [Input(*own) for own in _native.inputs(model)]
        return [f"--{name}", place(data, inputs, self.path / name, samples)]

    def both(self, data: Any, eval: Any, model: str, options: Mapping[str, Any]) -> List[str]:
        """Calibration data, and labelled data, of which all are taken unless options say otherwise."""
        first = self.data(data, model, "data", options.get("samples"))
        return first + self.data(eval, model, "eval", options.get("eval_samples", "all"))


def _config(options: Mapping[str, Any]) -> List[str]:
    """A program says what it wants: the settings file of the current folder is for people."""
    return [] if "config" in options else ["--config", "none"]


def prune(
    model: ModelLike,
    data: Any = None,
    *,
    eval: Any = None,
    output: Optional[Union[str, "os.PathLike[str]"]] = None,
    metric: Union[str, Callable[["os.PathLike[str]"], float], None] = None,
    metric_lower_is_better: bool = False,
    progress: Optional[ProgressFunction] = None,
    **options: Any,
) -> Result:
    """Removes channels, repairs what is left, proves and measures it: ``onnx-prune MODEL --data DATA``.

    Args:
        model: A path, the bytes of a file, or an ``onnx.ModelProto``.
        data: Calibration data. Arrays are what the model takes, preprocessed; pictures are paths. Of an iterable 500 samples
            are taken (``samples=N`` or ``"all"``).
        eval: Labelled data that the accuracy is measured on.
        output: The file of the smaller model; without it the files last as long as the result.
        metric: What a model is worth: a function of the path of its file, or a command line.
        metric_lower_is_better: Lower numbers of the metric are better.
        progress: Is called with ``(phase, done, total, line)``. What it raises ends the run.
        options: Flags of the command line, hyphens as underscores.

    Raises:
        InputError: If model, data or options are not usable.
        CheckFailed: If the smaller model does not compute what it should.
    """
    work = _Work()
    path = work.model(model)
    target = Path(output) if output is not None else work.path / "pruned.onnx"
    arguments = [path, *_config(options)]
    arguments += work.both(data, eval, path, options)
    if isinstance(metric, str):
        arguments += ["--metric", metric]
        arguments += ["--metric-lower-is-better"] if metric_lower_is_better else []
    arguments += ["--output", str(target), "--json", *_flags(options)]
    function = metric if callable(metric) else None
    report = Summary.from_json(json.loads(_run(arguments, progress, function, metric_lower_is_better)))
    return Result(target, report, work.folder if output is None else None)


def quantize(
    model: ModelLike,
    data: Any,
    *,
    eval: Any = None,
    output: Optional[Union[str, "os.PathLike[str]"]] = None,
    progress: Optional[ProgressFunction] = None,
    **options: Any,
) -> Result:
    """Writes a model in 8-bit integers or half precision: ``onnx-prune quantize``. Arguments as of :func:`prune`."""
    work = _Work()
    path = work.model(model)
    target = Path(output) if output is not None else work.path / "quantized.onnx"
    arguments = ["quantize", path, *_config(options)]
    arguments += work.both(data, eval, path, options)
    arguments += ["--output", str(target), "--json", *_flags(options)]
    report = QuantizeSummary.from_json(json.loads(_run(arguments, progress)))
    return Result(target, report, work.folder if output is None else None)


def sweep(
    model: ModelLike,
    data: Any = None,
    shares: Iterable[float] = (0.9, 0.8, 0.7, 0.6, 0.5),
    *,
    output: Union[str, "os.PathLike[str]"],
    eval: Any = None,
    progress: Optional[ProgressFunction] = None,
    **options: Any,
) -> Swept:
    """Many models, each with a share of the multiply-accumulates: ``onnx-prune --sweep``. Files go beside ``output``."""
    work = _Work()
    path = work.model(model)
    arguments = [path, *_config(options), "--sweep", ",".join(str(share) for share in shares)]
    arguments += work.both(data, eval, path, options)
    arguments += ["--output", os.fspath(output), "--json", *_flags(options)]
    return Swept.from_json(json.loads(_run(arguments, progress)))


def check(base: ModelLike, new: ModelLike, data: Any = None, **options: Any) -> Checked:
    """Compares a new model with a base: ``onnx-prune check``. ``.outcome`` says whether all bounds hold."""
    work = _Work()
    first, second = work.model(base, "base.onnx"), work.model(new, "new.onnx")
    arguments = ["check", first, second, *_config(options)]
    arguments += work.data(data, first, "data", options.get("samples"))
    return Checked.from_json(json.loads(_run([*arguments, "--json", *_flags(options)])))


def apply(model: ModelLike, plan: Union[str, "os.PathLike[str]", Mapping[str, Any]], output: Any, **options: Any) -> Path:
    """Applies a plan to the model that it was made for: ``onnx-prune apply``. The same plan gives the same bytes."""
    work = _Work()
    if isinstance(plan, Mapping):
        file = work.path / "plan.json"
        file.write_text(json.dumps(plan))
        plan = file
    target = os.fspath(output)
    _run(["apply", work.model(model), os.fspath(plan), *_config(options), "--output", target, *_flags(options)])
    return Path(target)


def score(model: ModelLike, data: Any = None, **options: Any) -> Dict[str, Any]:
    """The score of every channel: ``onnx-prune score``."""
    work = _Work()
    path = work.model(model)
    arguments = ["score", path, *_config(options), *work.data(data, path, "data", options.get("samples"))]
    return json.loads(_run([*arguments, *_flags(options)]))


def calibrate(
    model: ModelLike,
    data: Any,
    output: Union[str, "os.PathLike[str]"],
    *,
    progress: Optional[ProgressFunction] = None,
    **options: Any,
) -> Path:
    """Gathers the statistics of calibration data, or of a shard of them (``shard="0/8"``), in a file: ``onnx-prune calibrate``.
    ``prune(model, statistics=file)`` prunes with them."""
    work = _Work()
    path = work.model(model)
    arguments = ["calibrate", path, *_config(options), *work.data(data, path, "data", options.get("samples"))]
    _run([*arguments, "--output", os.fspath(output), "--quiet", *_flags(options)], progress)
    return Path(output)


def evaluate(
    models: Sequence[ModelLike], data: Any, *, progress: Optional[ProgressFunction] = None, **options: Any
) -> Dict[str, Any]:
    """What models answer on labelled data, counted: ``onnx-prune evaluate``. The others are compared with the first."""
    work = _Work()
    paths = [work.model(model, f"model{number}.onnx") for number, model in enumerate(models)]
    arguments = ["evaluate", *paths, *_config(options), *work.data(data, paths[0], "data", "all")]
    return json.loads(_run([*arguments, "--json", *_flags(options)], progress))


def merge(
    parts: Iterable[Union[str, "os.PathLike[str]"]], output: Union[str, "os.PathLike[str]"], **options: Any
) -> Path:
    """Puts the parts of :func:`calibrate`, or of evaluations, together: ``onnx-prune merge``."""
    files = [os.fspath(part) for part in parts]
    _run(["merge", *files, *_config(options), "--output", os.fspath(output), "--quiet", *_flags(options)])
    return Path(output)


def inspect(model: ModelLike, **options: Any) -> Dict[str, Any]:
    """Which channels go together, which can be cut, and who protects the others: ``onnx-prune inspect``."""
    work = _Work()
    return json.loads(_run(["inspect", work.model(model), *_config(options), "--json", *_flags(options)]))


def bench(model: ModelLike, other: Optional[ModelLike] = None, **options: Any) -> Dict[str, Any]:
    """Times a model, or two in turn: ``onnx-prune bench``."""
    work = _Work()
    models = [work.model(model, "a.onnx"), *([work.model(other, "b.onnx")] if other is not None else [])]
    return json.loads(_run(["bench", *models, *_config(options), "--json", *_flags(options)]))


def verify(a: ModelLike, b: ModelLike, **options: Any) -> str:
    """Compares the outputs of two models on random inputs: ``onnx-prune verify``.

    Raises:
        CheckFailed: If they differ.
    """
    work = _Work()
    return _run(["verify", work.model(a, "a.onnx"), work.model(b, "b.onnx"), *_config(options), *_flags(options)]).strip()


def setup(**options: Any) -> Dict[str, Any]:
    """Which engines and providers work: ``onnx-prune setup``."""
    return json.loads(_run(["setup", *_config(options), "--json", *_flags(options)]))
