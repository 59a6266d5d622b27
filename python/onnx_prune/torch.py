"""A plan applied to the PyTorch module that the ONNX model came of, to be trained on in one's own code.

Layers are found by their weights: a stored tensor of the ONNX model is a tensor of the ``state_dict``, as it is, transposed, or
with the batch normalisation behind it folded in. Names do not matter.
"""

from __future__ import annotations

import copy
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn

from . import _native
from ._api import ModelLike, Result, _Work
from ._api import apply as apply_plan
from ._errors import InputError

__all__ = ["apply"]

#: Difference of weights relative to the largest of them up to which they are the same; export folds in single precision.
TOLERANCE = 1e-4

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_NORMS = (nn.LayerNorm, nn.PReLU)
_OPERATORS = {"Conv": _CONVOLUTIONS, "ConvTranspose": _TRANSPOSED, "Gemm": (nn.Linear,), "MatMul": (nn.Linear,)}


class _Node(NamedTuple):
    """A node with a stored weight."""

    operator: str
    output: str
    #: Stored inputs, by number.
    values: Dict[int, np.ndarray]
    #: What stays of them, axis by axis.
    kept: Dict[int, List[List[int]]]
    #: Name of the weight.
    name: str
    #: ``group`` of the smaller model's node.
    groups: int

    @property
    def cut(self) -> bool:
        return any(
            len(own) != size for number, kept in self.kept.items() for own, size in zip(kept, self.values[number].shape)
        )


def apply(
    plan: Union[Result, Mapping[str, Any], str, "os.PathLike[str]"], module: nn.Module, model: ModelLike
) -> nn.Module:
    """A copy of ``module`` without the channels that the plan removes. Weights that stay are those of ``module``.

    Args:
        plan: A result, what ``plan.json`` holds, or its path.
        module: The module that ``model`` was exported from.
        model: The dense ONNX model that the plan was made for.

    Raises:
        InputError: If a layer of the module has no counterpart in the model, or one of the model that is cut has none in the
            module, by name; if the plan removes whole blocks.
    """
    work = _Work()
    nodes = _nodes(work.model(model), _plan_file(plan, work.path), work.path)
    cut = copy.deepcopy(module)
    layers = [(name, layer) for name, layer in cut.named_modules() if _is_layer(layer)]
    taken: Dict[str, _Node] = {}
    scales: List[Tuple[np.ndarray, List[int]]] = []
    for name, layer in layers:
        if isinstance(layer, _BATCH_NORMS + _NORMS):
            continue
        node, axis, scale = _counterpart(name, layer, nodes, taken)
        taken[node.output] = node
        if scale is not None:
            scales.append((scale, node.kept[1][axis]))
        _cut_layer(layer, node, axis)
    for name, layer in layers:
        if isinstance(layer, _BATCH_NORMS + _NORMS):
            _cut_norm(name, layer, nodes, taken, scales)
    missing = [node for node in nodes if node.cut and node.output not in taken]
    if missing:
        raise InputError(
            f"the weight `{missing[0].name}` of the model is in no layer of the module",
            where=f"the {missing[0].operator} that makes `{missing[0].output}`",
            help="give the module that this model was exported from; weights outside of layers are not cut",
        )
    return cut


def _plan_file(plan: Any, folder: Path) -> Path:
    if isinstance(plan, Result):
        plan = plan.plan
    if isinstance(plan, (str, os.PathLike)):
        return Path(plan)
    if plan is None:
        raise InputError("the result has no plan", help="prune without `plan=\"none\"`")
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    return path


def _nodes(model: str, plan: Path, folder: Path) -> List[_Node]:
    import onnx
    from onnx import numpy_helper

    if any(block for block in json.loads(plan.read_text()).get("blocks", [])):
        raise InputError("the plan removes whole blocks", help="prune with depth=\"off\" to cut a module by the plan")
    found = _native.kept(model, str(plan))
    smaller = onnx.load(apply_plan(model, plan, folder / "smaller.onnx"))
    groups = {
        node.output[0]: next((own.i for own in node.attribute if own.name == "group"), 1) for node in smaller.graph.node
    }
    dense = onnx.load(model)
    stored = {own.name: own for own in dense.graph.initializer}
    for node in dense.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            stored[node.output[0]] = node.attribute[0].t
    operators = {node.output[0]: node.op_type for node in dense.graph.node}
    inputs: Dict[str, Dict[int, Tuple[str, List[List[int]]]]] = {}
    for output, number, name, kept in found:
        if name in stored:
            inputs.setdefault(output, {})[number] = (name, kept)
    nodes = []
    for output, own in inputs.items():
        operator = operators[output]
        if 1 not in own or operator not in (*_OPERATORS, "BatchNormalization", "LayerNormalization", "PRelu"):
            continue
        values = {number: numpy_helper.to_array(stored[name]).astype(np.float64) for number, (name, _) in own.items()}
        left = {number: axes for number, (_, axes) in own.items()}
        nodes.append(_Node(operator, output, values, left, own[1][0], groups.get(output, 1)))
    return nodes


def _is_layer(layer: nn.Module) -> bool:
    kinds = tuple(kind for kinds in _OPERATORS.values() for kind in kinds)
    return isinstance(layer, (*kinds, *_BATCH_NORMS, *_NORMS)) and getattr(layer, "weight", None) is not None


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max(initial=0.0) <= TOLERANCE * max(np.abs(b).max(initial=0.0), 1e-12))


def _forms(layer: nn.Module) -> List[Tuple[np.ndarray, int]]:
    """The layer's weight in the forms that it may be stored in, each with the axis of its outputs."""
    weight = _numbers(layer.weight)
    if isinstance(layer, nn.Linear):
        return [(weight, 0), (weight.T, 1)]
    return [(weight, 1 if isinstance(layer, _TRANSPOSED) else 0)]


def _scaled(stored: np.ndarray, own: np.ndarray, axis: int) -> Optional[np.ndarray]:
    """Scale for every output, where the stored weight is the layer's own times that."""
    if stored.shape != own.shape:
        return None
    a, b = (np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1) for value in (stored, own))
    squares = (b * b).sum(1)
    scale = np.where(squares > 0, (a * b).sum(1) / np.maximum(squares, 1e-300), 0.0)
    return scale if _same(scale[:, None] * b, a) and np.abs(scale).max(initial=0.0) > 0 else None


def _counterpart(
    name: str, layer: nn.Module, nodes: Sequence[_Node], taken: Mapping[str, _Node]
) -> Tuple[_Node, int, Optional[np.ndarray]]:
    """The node with the layer's weight, the axis of its outputs there, and the scales that were folded into it."""
    free = [node for node in nodes if node.output not in taken and isinstance(layer, _OPERATORS.get(node.operator, ()))]
    pairs = [(node, own, axis) for own, axis in _forms(layer) for node in free]
    for node, own, axis in pairs:
        if _same(own, node.values[1]):
            return node, axis, None
    for node, own, axis in pairs:
        scale = _scaled(node.values[1], own, axis)
        if scale is not None:
            return node, axis, scale
    shape = tuple(layer.weight.shape)
    alike = sum(node.values[1].size == layer.weight.numel() for node in free)
    raise InputError(
        f"the layer `{name}` of the module is not in the model",
        why=f"{alike} weights of the model that are left have the size of its weight {shape}, none has its numbers",
        help="give the module that this model was exported from, with the same weights",
    )


def _select(tensor: torch.Tensor, axis: int, kept: Sequence[int]) -> nn.Parameter:
    index = torch.as_tensor(list(kept), device=tensor.device)
    return nn.Parameter(tensor.detach().index_select(axis, index).clone(), requires_grad=tensor.requires_grad)


def _cut_layer(layer: Any, node: _Node, axis: int) -> None:
    outputs, others = node.kept[1][axis], node.kept[1][1 - axis]
    if isinstance(layer, nn.Linear):
        layer.weight = _select(_select(layer.weight, 0, outputs), 1, others)
        layer.out_features, layer.in_features = layer.weight.shape
    else:
        layer.weight = _select(_select(layer.weight, axis, outputs), 1 - axis, others)
        layer.groups = node.groups
        first, second = layer.weight.shape[:2]
        if isinstance(layer, _TRANSPOSED):
            layer.in_channels, layer.out_channels = first, second * layer.groups
        else:
            layer.out_channels, layer.in_channels = first, second * layer.groups
    if layer.bias is not None:
        kept = node.kept[2][0] if 2 in node.kept else outputs
        layer.bias = _select(layer.bias, 0, kept)


def _cut_norm(
    name: str,
    layer: Any,
    nodes: Sequence[_Node],
    taken: Dict[str, _Node],
    scales: List[Tuple[np.ndarray, List[int]]],
) -> None:
    weight = _numbers(layer.weight)
    for node in nodes:
        if node.output in taken or node.operator not in ("BatchNormalization", "LayerNormalization", "PRelu"):
            continue
        if node.values[1].size == weight.size and _same(node.values[1].reshape(weight.shape), weight) and _same_rest(layer, node):
            taken[node.output] = node
            axis = int(np.argmax(node.values[1].shape))
            _narrow(layer, node.kept[1][axis])
            return
    if isinstance(layer, _BATCH_NORMS):
        folded = weight / np.sqrt(_numbers(layer.running_var) + layer.eps)
        for number, (scale, kept) in enumerate(scales):
            if _same(scale, folded):
                del scales[number]
                _narrow(layer, kept)
                return
    raise InputError(
        f"the layer `{name}` of the module is not in the model",
        why="no normalisation of the model has its weights, and they are folded into none of its convolutions",
        help="give the module that this model was exported from, with the same weights, in eval mode",
    )


def _same_rest(layer: Any, node: _Node) -> bool:
    """Whether the other parameters are the same too: fresh layers share their weights, all ones."""
    rest = {2: getattr(layer, "bias", None), 3: getattr(layer, "running_mean", None), 4: getattr(layer, "running_var", None)}
    pairs = [(_numbers(own), node.values[number]) for number, own in rest.items() if own is not None and number in node.values]
    return all(_same(stored, own) for own, stored in pairs)


def _narrow(layer: Any, kept: Sequence[int]) -> None:
    if layer.weight.numel() > 1:
        layer.weight = _select(layer.weight, 0, kept)
    if getattr(layer, "bias", None) is not None:
        layer.bias = _select(layer.bias, 0, kept)
    for name in ("running_mean", "running_var"):
        if getattr(layer, name, None) is not None:
            setattr(layer, name, _select(getattr(layer, name), 0, kept).detach().clone())
    if isinstance(layer, _BATCH_NORMS):
        layer.num_features = len(kept)
    elif isinstance(layer, nn.LayerNorm):
        layer.normalized_shape = (len(kept),)
    elif layer.weight.numel() > 1:
        layer.num_parameters = len(kept)
