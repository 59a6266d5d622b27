"""Structured pruning of ONNX models without training.

The functions are the commands of ``onnx-prune``; keyword arguments are its flags with underscores for hyphens
(``target_macs=0.7`` is ``--target-macs 0.7``). Same options and seed, same bytes.

>>> import onnx_prune
>>> result = onnx_prune.prune("model.onnx", "calib/", target_macs=0.7)   # doctest: +SKIP
>>> result.report.macs.after / result.report.macs.before                  # doctest: +SKIP
>>> result.save("smaller.onnx")                                           # doctest: +SKIP

:class:`Channels`, :class:`Cut`, :func:`slice` and :func:`mask` cut channels of one's own choice; ``onnx_prune.surgery`` edits graphs,
``onnx_prune.torch`` cuts a PyTorch module by a plan.
"""

from ._api import (
    Result,
    apply,
    bench,
    calibrate,
    check,
    evaluate,
    inspect,
    merge,
    prune,
    quantize,
    score,
    setup,
    sweep,
    verify,
)
from ._errors import CheckFailed, Error, InputError
from ._native import Block, Channels, Cut, Group, Model, Protected, Slices, __version__, mask, slice

__all__ = [
    "Block",
    "Channels",
    "CheckFailed",
    "Cut",
    "Error",
    "Group",
    "InputError",
    "Model",
    "Protected",
    "Result",
    "Slices",
    "__version__",
    "apply",
    "bench",
    "calibrate",
    "check",
    "evaluate",
    "inspect",
    "mask",
    "merge",
    "prune",
    "quantize",
    "score",
    "setup",
    "slice",
    "sweep",
    "verify",
]
