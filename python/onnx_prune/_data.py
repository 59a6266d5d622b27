"""Calibration data of a program as files that the commands read."""

from __future__ import annotations

import itertools
import os
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ._errors import InputError

#: Samples that are taken of an iterable unless ``samples`` says otherwise, as on the command line.
SAMPLES = 500

_LABELS = ("y", "labels", "arr_1")


class Input(NamedTuple):
    """An input of the model."""

    name: str
    rank: int


def place(data: Any, inputs: Sequence[Input], folder: Path, samples: Optional[object] = None) -> str:
    """A path for ``--data``: that of the data, or of files in ``folder`` that they are written to.

    Args:
        data: A path; an array; arrays by the inputs' names, first axis samples; an iterable of samples or batches, each an
            array, a tensor, ``(array, label)`` or arrays by name; an object with ``get_next()``.
        inputs: Inputs of the model.
        folder: Where files may be written.
        samples: How many samples are taken of an iterable; ``"all"``: all.

    Raises:
        InputError: If an item is not of such a form.
    """
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(data, np.ndarray) or _is_tensor(data):
        data = {_only(inputs): data}
    if isinstance(data, Mapping):
        path = folder / "data.npz"
        _save(path, {str(name): _array(values, f"`{name}`") for name, values in data.items()})
        return str(path)
    if not hasattr(data, "__iter__") and not hasattr(data, "get_next"):
        raise InputError(
            f"data of type {type(data).__name__} cannot be read",
            help="give a path, arrays, an iterable of them, or an object with get_next()",
        )
    limit = None if samples == "all" else int(str(samples)) if samples is not None else SAMPLES
    count = 0
    for number, item in enumerate(_items(data)):
        count += _write(folder / f"{number:06}.npz", item, inputs, number)
        if limit is not None and count >= limit:
            break
    if count == 0:
        raise InputError("the data are empty", help="give at least one sample")
    return str(folder)


def _items(data: Any) -> Iterator[Any]:
    if hasattr(data, "get_next"):
        return itertools.takewhile(lambda item: item is not None, iter(data.get_next, _NOTHING))
    return iter(data)


_NOTHING = object()


def _write(path: Path, item: Any, inputs: Sequence[Input], number: int) -> int:
    """Writes one item, a sample or a batch, and gives its number of samples."""
    where = f"item {number} of the data"
    values, label = (item[0], item[1]) if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
    if isinstance(values, (tuple, list)) and len(values) == 1:
        values = values[0]
    named = values if isinstance(values, Mapping) else {_only(inputs): values}
    ranks = {own.name: own.rank for own in inputs}
    arrays: Dict[str, np.ndarray] = {}
    for name, own in named.items():
        if own is None:
            continue
        array = _array(own, where)
        # A sample without the axis of the batch.
        arrays[str(name)] = array[None] if array.ndim + 1 == ranks.get(str(name), array.ndim) else array
    if not arrays:
        raise InputError(f"{where} holds no array", help="give arrays by the names of the inputs")
    if label is not None:
        key = next(key for key in _LABELS if key not in ranks)
        arrays[key] = np.atleast_1d(_array(label, where)).astype(np.int64)
    _save(path, arrays)
    first = next(iter(arrays.values()))
    return int(first.shape[0]) if first.ndim else 1


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """As ``numpy.savez``, whose own arguments are names that an input may not have."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _only(inputs: Sequence[Input]) -> str:
    if len(inputs) != 1:
        names = ", ".join(own.name for own in inputs)
        raise InputError(f"the model has {len(inputs)} inputs, and the data name none", help=f"give arrays by name: {names}")
    return inputs[0].name


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "numpy")


def _array(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value.detach().cpu().numpy() if _is_tensor(value) else value)
    if array.dtype == object or array.dtype.kind in "USV":
        raise InputError(
            f"an array of type {array.dtype} holds no numbers",
            where=where,
            why="its elements are Python objects or rows of unequal length" if array.dtype == object else None,
            help="give arrays of numbers, all samples of one shape",
        )
    return array
