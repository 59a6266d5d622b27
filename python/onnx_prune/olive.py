"""A pass for Olive (``pip install olive-ai``): ``OnnxPrune`` prunes an ONNX model within a workflow.

Olive finds a pass by its package configuration. ``package_config()`` is Olive's own with this pass::

    from olive.workflows import run
    from onnx_prune.olive import package_config

    run("workflow.json", package_config=package_config())

``python -m onnx_prune.olive FILE`` writes it to a file for ``olive run --package-config FILE``.
"""

from __future__ import annotations

import json
import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, Union

import numpy as np

from ._api import Result, prune
from ._errors import CheckFailed, InputError

try:
    from olive.common.config_utils import ParamCategory, validate_config
    from olive.common.utils import format_data
    from olive.data.config import DataConfig
    from olive.hardware import AcceleratorSpec
    from olive.model import ONNXModelHandler
    from olive.model.utils import resolve_onnx_path
    from olive.package_config import OlivePackageConfig
    from olive.passes import Pass
    from olive.passes.pass_config import BasePassConfig, PassConfigParam
    from olive.search.search_parameter import Categorical, Conditional
except ImportError as error:
    raise ImportError(f"onnx_prune.olive needs Olive ({error}): pip install olive-ai") from error

#: Parameters that are flags of the command line under the same name.
_FLAGS = ("target_macs", "target_latency", "max_drop", "criterion", "effort", "seed", "samples")
#: What the pass itself decides.
_OWN = ("output", "plan", "force", "json", "data", "eval", "progress", "sweep")
#: Name of the file between passes. Olive takes the name in a model's configuration for a path where the current folder has a
#: file of that name, and would go on with that: so it is none that users give.
_NAME = "onnx-prune.output.onnx"
#: The key of a model's attributes under which the pass tells what it did.
ATTRIBUTE = "onnx_prune"


def _parameter(kind: Any, description: str, **more: Any) -> PassConfigParam:
    """A parameter that may be left out."""
    return PassConfigParam(type_=kind, default_value=None, description=description, **more)


class OnnxPrune(Pass):
    """Removes channels of an ONNX model without training and repairs what is left (``onnx_prune.prune``)."""

    @classmethod
    def _default_config(cls, accelerator_spec: AcceleratorSpec) -> Dict[str, PassConfigParam]:
        return {
            "target_macs": _parameter(
                Union[float, str],
                "Multiply-accumulates kept: a share, or a number such as '1.5G'. 0.5 where no budget is given.",
                # With another budget there is nothing to search.
                search_defaults=Conditional(
                    parents=("target_latency", "max_drop"),
                    support={(None, None): Categorical([0.9, 0.8, 0.7, 0.6, 0.5])},
                    default=Categorical([None]),
                ),
            ),
            "target_latency": _parameter(
                Union[float, str], "Measured time of a run: a share of the dense model's, or a time such as '5ms'."
            ),
            "max_drop": _parameter(
                float,
                "Look for the smallest model that loses at most so many points of accuracy on labelled data:"
                " `eval_data_config` or `eval`, else a part of the calibration data.",
            ),
            "criterion": _parameter(str, "What channels are scored by, such as 'stlp-obs' or 'l2'."),
            "effort": _parameter(str, "Time that may go into a better model: 'fast', 'default' or 'max'."),
            "seed": PassConfigParam(type_=int, default_value=0, description="Seed of every random choice."),
            "samples": _parameter(
                Union[int, str], "Calibration samples to use: a number or 'all'. 500 where nothing is given."
            ),
            "data_config": _parameter(
                Union[DataConfig, Dict],
                "Calibration data: batches of the model's inputs by name, with or without labels.",
            ),
            "eval_data_config": _parameter(Union[DataConfig, Dict], "Labelled data that the accuracy is measured on."),
            "data": _parameter(
                Union[Path, str],
                "Calibration data as files, in place of `data_config`: class folders or a folder of images,"
                " .npz or .npy files, CIFAR-10 binary batches.",
                category=ParamCategory.PATH,
            ),
            "eval": _parameter(
                Union[Path, str], "Labelled data as files, in place of `eval_data_config`.", category=ParamCategory.PATH
            ),
            "options": _parameter(
                Dict[str, Any],
                "Other flags of the command line, hyphens as underscores, such as"
                " {'preprocess': 'preprocessor_config.json', 'no_timing': true, 'ignore': ['head']}.",
            ),
        }

    @classmethod
    def validate_config(cls, config: Type[BasePassConfig], accelerator_spec: AcceleratorSpec) -> bool:
        """Refuses what contradicts itself.

        Raises:
            InputError: If data are given twice, or ``options`` holds what is a parameter or what the pass decides.
        """
        if not super().validate_config(config, accelerator_spec):
            return False
        values = config.model_dump()
        for config_name, path_name in (("data_config", "data"), ("eval_data_config", "eval")):
            if values[config_name] is not None and values[path_name] is not None:
                raise InputError(
                    f"the pass OnnxPrune has both `{config_name}` and `{path_name}`", help="give one of them"
                )
        for name in values["options"] or {}:
            if name in _FLAGS:
                raise InputError(f"`{name}` is a parameter of the pass OnnxPrune", help="give it beside `options`")
            if name in _OWN:
                raise InputError(f"`{name}` cannot be among the `options` of the pass OnnxPrune", why="Olive decides it")
        return True

    def _run_for_config(
        self, model: ONNXModelHandler, config: Type[BasePassConfig], output_model_path: str
    ) -> ONNXModelHandler:
        if not isinstance(model, ONNXModelHandler):
            raise InputError(
                f"the pass OnnxPrune was given a model of type {type(model).__name__}",
                why="it prunes ONNX models",
                help="put a pass before it that exports one, such as OnnxConversion",
            )
        values = config.model_dump()
        target = Path(resolve_onnx_path(output_model_path, _NAME))
        plan = target.parent / "plan.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        result = prune(
            model.model_path,
            _batches(values["data_config"], model) or values["data"],
            eval=_batches(values["eval_data_config"], model) or values["eval"],
            output=target,
            plan=plan,
            # A run that was stopped may have left files in the cache.
            force=True,
            **{name: values[name] for name in _FLAGS},
            **(values["options"] or {}),
        )
        made = ONNXModelHandler(
            model_path=str(target.parent),
            onnx_file_name=target.name,
            inference_settings=deepcopy(model.inference_settings),
            use_ort_extensions=model.use_ort_extensions,
        )
        attributes = deepcopy(model.model_attributes) or {}
        attributes[ATTRIBUTE] = _told(result)
        if plan.exists():
            attributes["additional_files"] = sorted({*(attributes.get("additional_files") or []), str(plan)})
        made.model_attributes = attributes
        return made


class _Batches:
    """What a dataloader of Olive gives, as arrays by the names of the inputs, with labels where it has them."""

    def __init__(self, config: DataConfig, io_config: Mapping[str, Any]) -> None:
        self._config = config
        self._io_config = io_config

    def __iter__(self) -> Iterator[Union[Dict[str, Any], Tuple[Dict[str, Any], Any]]]:
        names = self._io_config["input_names"]
        for number, batch in enumerate(self._config.to_data_container().create_dataloader()):
            values, label = batch if isinstance(batch, (list, tuple)) and len(batch) == 2 else (batch, None)
            arrays = format_data(dict(values) if isinstance(values, Mapping) else values, self._io_config)
            missing = [name for name in names if name not in arrays]
            if missing:
                found = ", ".join(values) if isinstance(values, Mapping) else "no names"
                raise InputError(
                    f"batch {number} of the data config `{self._config.name}` has no `{missing[0]}`",
                    why=f"the model takes {', '.join(names)}, and the batch has {found}",
                    help="let the pre- or post-processing of the data config name the arrays as the model does",
                )
            labels = _classes(label, len(next(iter(arrays.values()))))
            yield arrays if labels is None else (arrays, labels)


def _classes(label: Any, count: int) -> Optional[np.ndarray]:
    """Labels of a batch where they are classes: one whole number for each sample."""
    found = np.asarray(label.detach().cpu().numpy() if hasattr(label, "detach") else label)
    return found.reshape(-1) if found.dtype.kind in "iu" and found.size == count else None


def _batches(config: Union[DataConfig, Mapping[str, Any], None], model: ONNXModelHandler) -> Optional[_Batches]:
    if config is None:
        return None
    return _Batches(validate_config(config, DataConfig), model.io_config)


def _told(result: Result) -> Dict[str, Any]:
    """The figures of a run, for the attributes of the model."""
    told: Dict[str, Any] = {}
    for name in ("macs", "params", "bytes", "latency_ms", "accuracy"):
        change = getattr(result.report, name, None)
        before, after = getattr(change, "before", None), getattr(change, "after", None)
        if before is not None and after is not None:
            told[name] = {"before": before, "after": after}
    return told


def package_config(base: Union[str, "os.PathLike[str]", Mapping[str, Any], None] = None) -> Dict[str, Any]:
    """A package configuration of Olive with the pass ``OnnxPrune``.

    Args:
        base: The configuration that the pass is added to, as a file or a dictionary; without it Olive's own.
    """
    if base is None:
        base = OlivePackageConfig.get_default_config_path()
    config: Dict[str, Any] = deepcopy(dict(base)) if isinstance(base, Mapping) else json.loads(Path(base).read_text())
    config.setdefault("passes", {})["OnnxPrune"] = {
        "module_path": "onnx_prune.olive.OnnxPrune",
        "supported_providers": ["*"],
        "supported_accelerators": ["*"],
        "supported_precisions": ["*"],
        "supported_algorithms": [],
        "supported_quantization_encodings": [],
        "module_dependencies": ["onnx-prune", "onnxruntime"],
        "dataset": "dataset_optional",
    }
    return config


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Writes the package configuration to the file that is named, or to standard output."""
    given: List[str] = list(sys.argv[1:] if arguments is None else arguments)
    text = json.dumps(package_config(), indent=2) + "\n"
    if not given:
        sys.stdout.write(text)
    elif len(given) == 1 and not given[0].startswith("-"):
        Path(given[0]).write_text(text)
    else:
        sys.stderr.write("usage: python -m onnx_prune.olive [FILE]\n")
        return 2
    return 0


__all__ = ["ATTRIBUTE", "CheckFailed", "InputError", "OnnxPrune", "package_config"]

if __name__ == "__main__":
    sys.exit(main())
