import os
from typing import Any, Callable, Hashable, List, Mapping, Optional, Sequence, Tuple, Union

__version__: str

_Source = Union[str, "os.PathLike[str]", bytes, "Model", Any]
#: Element type of ONNX, and sizes of the axes.
_Declared = Tuple[int, Optional[Sequence[Union[int, str, None]]]]
_Step = Tuple[str, Sequence[str], Sequence[str], bool, Sequence[Callable[[bytes], bool]]]

def run(
    arguments: Sequence[str],
    progress: Optional[Callable[[str, int, Optional[int], Optional[str]], object]] = None,
    metric: Optional[Callable[[os.PathLike[str]], float]] = None,
    lower_is_better: bool = False,
) -> Tuple[int, str]: ...
def inputs(model: str) -> List[Tuple[str, int]]: ...
def kept(model: str, plan: str) -> List[Tuple[str, int, str, List[List[int]]]]: ...
def main(arguments: List[str]) -> int: ...

class Model:
    """An ONNX model. Of a path the file is mapped: weights are read when they are needed."""

    def __init__(self, source: _Source) -> None: ...
    def save(self, path: Union[str, os.PathLike[str]], *, force: bool = False, external_data: bool = False) -> None:
        """Writes the model. An existing file needs ``force``."""
    def to_bytes(self) -> bytes:
        """The bytes of the file."""
    def to_proto(self) -> Any:
        """The model as an ``onnx.ModelProto``. Needs the package ``onnx``."""

class Slices:
    """Slices of one stored tensor along one axis, for every pruning unit of a group."""

    #: Number of the node that reads the tensor, in the model of the channels.
    node: int
    #: Number of the tensor among the node's inputs.
    input: int
    #: Name of the tensor.
    tensor: Optional[str]
    axis: int
    #: Indices along the axis, one list for each pruning unit.
    indices: List[List[int]]

class Group:
    """Channels that go together, unit by unit."""

    #: That of the first node that makes the channels.
    name: str
    #: Number of pruning units.
    width: int
    #: A number of units that leaves every value some channels.
    least: int
    #: Whether several nodes make the channels together: a residual stream.
    stream: bool
    #: Weights that make the channels.
    producers: List[Slices]
    #: Biases, normalisation, depthwise filters.
    parameters: List[Slices]
    #: Weights that sum over the channels.
    consumers: List[Slices]
    #: Sets of units of which one must stay.
    keep_sets: List[List[int]]

class Protected:
    """Channels of one node that may not be cut, and why."""

    node: str
    op_type: str
    #: How many of its channels are protected.
    channels: int
    #: How many it makes.
    of: int
    reasons: List[str]

class Block:
    """A part of the graph that can be left out whole."""

    #: Name of the node behind it.
    name: str
    #: Numbers of its nodes, in the model of the channels.
    nodes: List[int]
    macs: int
    params: int

class Channels:
    """Which channels of a model go together, which may be cut, and who protects the others."""

    def __init__(self, model: _Source, *, dim: Mapping[str, int] = ..., ignore: Sequence[str] = ...) -> None:
        """``dim`` gives sizes of symbolic axes by name or ``INPUT:AXIS``; channels of nodes that a pattern of ``ignore``
        matches stay."""
    @property
    def model(self) -> Model:
        """The model that the channels are of: calls of functions, branches that are always taken and weights that are computed
        from stored tensors are written out in it."""
    @property
    def groups(self) -> List[Group]: ...
    @property
    def protected(self) -> List[Protected]: ...
    @property
    def blocks(self) -> List[Block]: ...
    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run with batch 1."""
    def shape(self, value: str) -> Optional[List[int]]:
        """Shape of a value, if it could be found."""

class Cut:
    """What is removed: the pruning units that no group keeps, and blocks."""

    def __init__(
        self,
        channels: Channels,
        kept: Union[Mapping[Union[int, str], Sequence[int]], Sequence[Sequence[int]], None] = None,
        *,
        blocks: Sequence[int] = ...,
    ) -> None:
        """Units that stay, by the number or the name of their group; groups that are not named stay whole. ``blocks`` are
        numbers of blocks that go."""
    @property
    def macs(self) -> int:
        """Multiply-accumulates that are left, of one run with batch 1."""

def slice(cut: Cut) -> Model:
    """The model without what a cut removes."""

def mask(cut: Cut) -> Model:
    """The original with what a cut removes zeroed: it computes what the sliced model computes."""

class NodeId(Hashable):
    """A node of an opened graph. It stays the same while other nodes come and go."""

class Graph:
    def __init__(self, model: _Source) -> None: ...
    def to_model(self) -> Model: ...
    def validate(self) -> None: ...
    def begin(self) -> None: ...
    def end(self, keep: bool) -> None: ...
    def walk(self) -> List[NodeId]: ...
    def node(self, id: NodeId) -> Optional[bytes]: ...
    def op_type(self, id: NodeId) -> Optional[str]: ...
    def named(self, name: str) -> Optional[NodeId]: ...
    def contains(self, value: str) -> bool: ...
    def producer(self, value: str) -> Optional[NodeId]: ...
    def readers(self, value: str) -> List[Tuple[NodeId, Optional[int]]]: ...
    def is_output(self, value: str) -> bool: ...
    def is_input(self, value: str) -> bool: ...
    def is_constant(self, value: str) -> bool: ...
    def inputs(self) -> List[str]: ...
    def outputs(self) -> List[str]: ...
    def initializers(self) -> List[str]: ...
    def fresh_name(self, wanted: str) -> str: ...
    def constant(self, value: str) -> bytes: ...
    def set_constant(self, value: str, tensor: bytes) -> None: ...
    def add_initializer(self, name: str, tensor: bytes) -> None: ...
    def info(self, value: str) -> Optional[Tuple[int, Optional[List[Union[int, str, None]]]]]: ...
    def set_info(self, value: str, declared: _Declared) -> None: ...
    def element_type(self, value: str) -> Optional[int]: ...
    def forget_shapes(self, value: str) -> None: ...
    def insert(self, node: bytes) -> NodeId: ...
    def insert_after(self, value: str, node: bytes) -> NodeId: ...
    def insert_before(self, reader: NodeId, input: int, node: bytes) -> NodeId: ...
    def replace(self, id: NodeId, node: bytes) -> None: ...
    def set_input(self, id: NodeId, input: int, value: str) -> None: ...
    def remove(self, id: NodeId) -> None: ...
    def replace_nodes(self, old: Sequence[NodeId], new: Sequence[bytes]) -> List[NodeId]: ...
    def bypass(self, id: NodeId) -> None: ...
    def rename(self, from_: str, to: str) -> None: ...
    def redirect(self, from_: str, to: str) -> None: ...
    def add_input(self, name: str, declared: _Declared) -> None: ...
    def remove_input(self, name: str) -> None: ...
    def set_outputs(self, values: Sequence[str]) -> None: ...
    def remove_unused(self) -> int: ...
    def find(
        self, steps: Sequence[_Step], shared: Sequence[str], constant: Sequence[str], last: Optional[NodeId] = None
    ) -> List[Tuple[List[NodeId], List[Tuple[str, str]]]]: ...

def extract(model: _Source, inputs: Sequence[str], outputs: Sequence[str]) -> Model: ...
