"""Graph surgery: look up, insert, replace, remove, rename, find patterns, extract a part.

Nodes are ``onnx.NodeProto``, stored tensors arrays; the package ``onnx`` is needed. Every edit leaves a valid graph, nodes in
topological order included, or raises :class:`onnx_prune.InputError` and changes nothing.

>>> from onnx import helper
>>> from onnx_prune.surgery import Graph
>>> graph = Graph("model.onnx")                                                       # doctest: +SKIP
>>> for id in graph.walk():                                                           # doctest: +SKIP
...     if graph.op_type(id) == "Identity":
...         graph.bypass(id)
>>> graph.insert_after("features", helper.make_node("Relu", ["features"], ["r"]))     # doctest: +SKIP
>>> graph.model.save("edited.onnx")                                                   # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from . import _native
from ._api import ModelLike
from ._native import Model, NodeId

__all__ = ["Graph", "Match", "Model", "NodeId", "Pattern", "Reader", "TensorType", "extract"]

#: Sizes of the axes: numbers, names of sizes known at run time, ``None`` for one that is not known.
Shape = Sequence[Union[int, str, None]]


class Reader(NamedTuple):
    """A place where a value is read."""

    #: The node that reads it.
    node: NodeId
    #: Position among the node's inputs; ``None`` if a subgraph of the node reads it.
    input: Optional[int]


class TensorType(NamedTuple):
    """Element type and shape of a value as a graph declares them."""

    #: A type of ``onnx.TensorProto``, or what numpy takes for a type.
    element: Any
    #: Sizes of the axes; ``None`` if not even their number is known.
    shape: Optional[Shape] = None


class Match:
    """A part of a graph that a :class:`Pattern` describes."""

    def __init__(self, nodes: List[NodeId], values: Dict[str, str]) -> None:
        #: The nodes, in the order in which the pattern lists them.
        self.nodes = nodes
        self._values = values

    def __getitem__(self, variable: str) -> str:
        """Name of the value that a variable stands for. In a chain ``in`` is the first input, ``out`` the last output."""
        return self._values[variable]


class Pattern:
    """A connected part of a graph, described by operators and the values between them.

    Values are variables: the same variable is the same value. Values between the nodes of a match are read by nodes of the match
    alone and are no graph outputs, so that the match can be replaced; :meth:`shared` lifts that for one.

    >>> Pattern.chain("Conv", "BatchNormalization", "Relu|Clip")                      # doctest: +SKIP
    >>> Pattern().node("Sigmoid", ["x"], ["gate"]).node("Mul", ["x", "gate"], ["y"], any_order=True)   # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._steps: List[Tuple[str, List[str], List[str], bool, List[Callable[[bytes], bool]]]] = []
        self._shared: Set[str] = set()
        self._constant: Set[str] = set()

    @classmethod
    def chain(cls, *operators: str) -> "Pattern":
        """Operators one after another, each reading the first output of the one before as its first input."""
        names = ["in", *(str(at) for at in range(1, len(operators))), "out"]
        made = cls()
        for at, operator in enumerate(operators):
            made.node(operator, [names[at]], [names[at + 1]])
        return made

    def node(
        self,
        operator: str,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        *,
        any_order: bool = False,
        when: Optional[Callable[[NodeProto], bool]] = None,
    ) -> "Pattern":
        """Adds a node. Producers come before readers.

        Args:
            operator: ``A|B`` for one of several, ``*`` for any.
            inputs: Variables of the first inputs; ``_`` stands for any value or none.
            outputs: Variables of the first outputs.
            any_order: The first two inputs may also be the other way round.
            when: A condition on the node.
        """
        tests = [] if when is None else [lambda own: bool(when(NodeProto.FromString(own)))]
        self._steps.append((operator, list(inputs), list(outputs), any_order, tests))
        return self

    def shared(self, variable: str) -> "Pattern":
        """The value may have other readers, or be a graph output. It must then still be made by what replaces the match."""
        self._shared.add(variable)
        return self

    def constant(self, variable: str) -> "Pattern":
        """The value is an initializer or the output of a ``Constant`` node."""
        self._constant.add(variable)
        return self


class Graph:
    """The main graph of a model, opened for edits. What it was opened from is left as it is.

    Args:
        model: A path, the bytes of a file, an ``onnx.ModelProto``, or a :class:`Model`.

    Raises:
        InputError: If the graph is not valid.
    """

    def __init__(self, model: ModelLike) -> None:
        self._graph = _native.Graph(model)

    @property
    def model(self) -> Model:
        """The model with the graph as it is now."""
        return self._graph.to_model()

    def validate(self) -> None:
        """Checks the whole graph anew. Every edit keeps its rules, so this finds faults of the library only."""
        self._graph.validate()

    @contextlib.contextmanager
    def atomically(self) -> Iterator["Graph"]:
        """Makes several edits as one: if the block raises, none of them is made."""
        self._graph.begin()
        try:
            yield self
        except BaseException:
            self._graph.end(False)
            raise
        self._graph.end(True)

    def walk(self) -> List[NodeId]:
        """Ids of the nodes, producers first: to walk the graph while it is edited. Nodes that are removed on the way are ``None``
        in :meth:`node`, new ones are not in the list."""
        return self._graph.walk()

    def nodes(self) -> Iterator[Tuple[NodeId, NodeProto]]:
        """The nodes, producers first."""
        for id in self.walk():
            node = self.node(id)
            if node is not None:
                yield id, node

    def node(self, id: NodeId) -> Optional[NodeProto]:
        """A copy of a node; ``None`` once it was removed. :meth:`replace` puts a changed one in its place."""
        found = self._graph.node(id)
        return None if found is None else NodeProto.FromString(found)

    def op_type(self, id: NodeId) -> Optional[str]:
        """Operator of a node; ``None`` once it was removed."""
        return self._graph.op_type(id)

    def named(self, name: str) -> Optional[NodeId]:
        """The node of that name."""
        return self._graph.named(name)

    def __contains__(self, value: str) -> bool:
        """Whether there is a value of that name."""
        return self._graph.contains(value)

    def producer(self, value: str) -> Optional[NodeId]:
        """The node that makes a value; ``None`` for inputs and initializers."""
        return self._graph.producer(value)

    def readers(self, value: str) -> List[Reader]:
        """Where a value is read by nodes and their subgraphs. Graph outputs are not among them."""
        return [Reader(*own) for own in self._graph.readers(value)]

    def is_input(self, value: str) -> bool:
        """Whether a value is a graph input."""
        return self._graph.is_input(value)

    def is_output(self, value: str) -> bool:
        """Whether a value is a graph output."""
        return self._graph.is_output(value)

    def is_constant(self, value: str) -> bool:
        """Whether a value is an initializer or the output of a ``Constant`` node."""
        return self._graph.is_constant(value)

    @property
    def inputs(self) -> List[str]:
        """Names of the graph inputs that a caller must give."""
        return self._graph.inputs()

    @property
    def outputs(self) -> List[str]:
        """Names of the graph outputs."""
        return self._graph.outputs()

    def set_outputs(self, values: Sequence[str]) -> None:
        """Makes these values the graph's outputs, in this order."""
        self._graph.set_outputs(list(values))

    @property
    def initializers(self) -> List[str]:
        """Names of the initializers."""
        return self._graph.initializers()

    def fresh_name(self, wanted: str) -> str:
        """``wanted``, or ``wanted_2`` and so on if it is taken."""
        return self._graph.fresh_name(wanted)

    def constant(self, value: str) -> np.ndarray:
        """The data of an initializer or a ``Constant`` node, wherever the file keeps them."""
        return numpy_helper.to_array(TensorProto.FromString(self._graph.constant(value)))

    def set_constant(self, value: str, data: Union[np.ndarray, TensorProto]) -> None:
        """Other data for an initializer or a ``Constant`` node. Element type and shape may change."""
        self._graph.set_constant(value, _tensor(data, value))

    def add_initializer(self, name: str, data: Union[np.ndarray, TensorProto]) -> None:
        """Stores a tensor."""
        self._graph.add_initializer(name, _tensor(data, name))

    def info(self, value: str) -> Optional[TensorType]:
        """Element type and shape of a value: of its data if it is stored, else what the graph declares."""
        found = self._graph.info(value)
        return None if found is None else TensorType(*found)

    def set_info(self, value: str, kind: TensorType) -> None:
        """Declares element type and shape of a value."""
        self._graph.set_info(value, _declared(kind))

    def element_type(self, value: str) -> Optional[int]:
        """Element type of a value: the declared one, else the one that follows from the operators before it."""
        return self._graph.element_type(value)

    def forget_shapes(self, value: str) -> None:
        """Drops the declared shapes of a value and of everything that depends on it, for edits that change shapes."""
        self._graph.forget_shapes(value)

    def insert(self, node: NodeProto) -> NodeId:
        """Adds a node, behind the last of those that make what it reads."""
        return self._graph.insert(node.SerializeToString())

    def insert_after(self, value: str, node: NodeProto) -> NodeId:
        """Inserts a node behind a value: everything that read ``value`` (graph outputs excepted) reads the node's first output
        from now on. The node itself may read ``value``."""
        return self._graph.insert_after(value, node.SerializeToString())

    def insert_before(self, reader: NodeId, input: int, node: NodeProto) -> NodeId:
        """Inserts a node before one input of a node; other readers are left as they are."""
        return self._graph.insert_before(reader, input, node.SerializeToString())

    def replace(self, id: NodeId, node: NodeProto) -> None:
        """Replaces a node. Its id stays; what is read of its outputs, the new node must make."""
        self._graph.replace(id, node.SerializeToString())

    def set_input(self, id: NodeId, input: int, value: str) -> None:
        """Lets a node read another value."""
        self._graph.set_input(id, input, value)

    def remove(self, id: NodeId) -> None:
        """Removes a node that nobody reads."""
        self._graph.remove(id)

    def replace_nodes(self, old: Sequence[NodeId], new: Sequence[NodeProto]) -> List[NodeId]:
        """Removes nodes and adds others in one edit: the new nodes may make values of the old names."""
        return self._graph.replace_nodes(list(old), [node.SerializeToString() for node in new])

    def bypass(self, id: NodeId) -> None:
        """Removes a node and lets those that read its first output read its first input, as for an ``Identity``."""
        self._graph.bypass(id)

    def rename(self, old: str, new: str) -> None:
        """Renames a value everywhere."""
        self._graph.rename(old, new)

    def redirect(self, old: str, new: str) -> None:
        """Lets everything that reads one value read another."""
        self._graph.redirect(old, new)

    def add_input(self, name: str, kind: TensorType) -> None:
        """Adds a graph input."""
        self._graph.add_input(name, _declared(kind))

    def remove_input(self, name: str) -> None:
        """Removes a graph input that nothing reads."""
        self._graph.remove_input(name)

    def remove_unused(self) -> int:
        """Removes nodes and stored tensors that nothing reads. Gives how many went."""
        return self._graph.remove_unused()

    def find(self, pattern: Pattern) -> List[Match]:
        """All parts of the graph that a pattern describes, in the order of their last nodes. They may overlap."""
        return self._find(pattern, None)

    def replace_all(
        self, pattern: Pattern, replacement: Callable[["Graph", Match], Optional[Sequence[NodeProto]]]
    ) -> int:
        """Replaces parts of the graph that a pattern describes, or none if one cannot be.

        For every match ``replacement`` gives the new nodes, or ``None`` to leave it; it may edit the graph. Matches are tried in
        topological order of their last nodes, each on the graph as it is then. Gives how many were replaced.
        """
        count = 0
        with self.atomically():
            for last in self.walk():
                for found in self._find(pattern, last):
                    nodes = replacement(self, found)
                    if nodes is not None:
                        self.replace_nodes(found.nodes, nodes)
                        count += 1
        return count

    def _find(self, pattern: Pattern, last: Optional[NodeId]) -> List[Match]:
        found = self._graph.find(pattern._steps, sorted(pattern._shared), sorted(pattern._constant), last)
        return [Match(nodes, dict(values)) for nodes, values in found]


def extract(model: ModelLike, inputs: Sequence[str], outputs: Sequence[str]) -> Model:
    """A model of its own that computes the values ``outputs`` from the values ``inputs``, with the weights it needs."""
    return _native.extract(model, list(inputs), list(outputs))


def _tensor(data: Union[np.ndarray, TensorProto], name: str) -> bytes:
    tensor = data if isinstance(data, TensorProto) else numpy_helper.from_array(np.asarray(data), name)
    return tensor.SerializeToString()


def _declared(kind: TensorType) -> Tuple[int, Optional[List[Union[int, str, None]]]]:
    element = kind.element if isinstance(kind.element, int) else helper.np_dtype_to_tensor_dtype(np.dtype(kind.element))
    return int(element), None if kind.shape is None else list(kind.shape)
