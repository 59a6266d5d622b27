"""The ONNX Runtime of this environment, for the engine."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

_VARIABLE = "ORT_DYLIB_PATH"


def offer() -> None:
    """Names the library of the installed package ``onnxruntime`` to the engine, unless the user names one."""
    if os.environ.get(_VARIABLE):
        return
    spec = importlib.util.find_spec("onnxruntime")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        patterns = ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll")
        found = sorted(path for pattern in patterns for path in Path(folder, "capi").glob(pattern))
        if found:
            os.environ[_VARIABLE] = str(found[0])
            return
