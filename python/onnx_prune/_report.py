"""The reports as dataclasses. Written by ``generate.py`` from the JSON schemas; do not edit."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

from ._part import Part


@dataclasses.dataclass(frozen=True)
class Accuracy(Part):
    """Top-1 of a model, with its uncertainty."""

    correct: int
    """Images classified right."""

    high: float
    """Upper end of the 95 % Wilson interval, in percent."""

    images: int
    """Images classified."""

    low: float
    """Lower end of the 95 % Wilson interval, in percent."""

    percent: float
    """Top-1 in percent."""


@dataclasses.dataclass(frozen=True)
class AccuracyChange(Part):
    """Top-1 on labelled images."""

    after: float
    """Of the pruned model, in percent."""

    after_interval: Accuracy
    """The pruned model with its 95 % interval."""

    before: float
    """Of the dense model, in percent."""

    before_interval: Accuracy
    """The dense model with its 95 % interval."""

    classes: List[ClassChange]
    """Class by class, in the order of the outputs."""

    images: int
    """Images classified."""

    seen_in_calibration: bool
    """Whether the images were also used for calibration."""


@dataclasses.dataclass(frozen=True)
class BlockChange(Part):
    """A block that could be left out."""

    gone: bool
    """Whether it was left out."""

    macs: int
    """Multiply-accumulates of the dense model's block."""

    name: str
    """Name of the node behind it."""

    params: int
    """Stored parameters that only it reads."""


@dataclasses.dataclass(frozen=True)
class Calibrated(Part):
    """What was calibrated on."""

    classes: int
    """Distinct labels."""

    images: int
    """Images used."""

    path: str
    """Folder or file."""

    preprocessing: str
    """Preprocessing in words."""

    skipped: List[str]
    """Images that could not be read."""

    source: str
    """Kind of source."""


@dataclasses.dataclass(frozen=True)
class Change(Part):
    """A number before and after pruning."""

    after: int
    """Of the pruned model."""

    before: int
    """Of the dense model."""


@dataclasses.dataclass(frozen=True)
class Checked(Part):
    """A check of a new model against a base."""

    accuracy: Optional[AccuracyChange]
    """Top-1 on labelled images, if there were any."""

    agreement: Optional[float]
    """Share of images on which both models answer alike."""

    base: FileInfo
    """The model that is compared with."""

    blocks: Optional[Change]
    """Blocks that can be left out whole, where the models differ in their number."""

    bytes: Change
    """Bytes of the files."""

    command: List[str]
    """The command line that was given."""

    detections: Optional[DetectionFigures]
    """What becomes of the base's detections, if there were images and it has boxes and scores."""

    device: Optional[str]
    """Its name, if it is not the machine of the program."""

    engine: EngineInfo
    """What ran."""

    gates: List[Gate]
    """One per bound, in the order of the flags."""

    latency_ms: Optional[LatencyChange]
    """Time of one run, if it was measured."""

    machine: Machine
    """Where it was measured."""

    macs: Change
    """Multiply-accumulates of one run."""

    metric: Optional[MetricChange]
    """A metric of the user's own, if there is one."""

    new: FileInfo
    """The model that is checked."""

    noise: Optional[Interval]
    """The base against itself, in two sessions: what differs there is noise."""

    outcome: str
    """The verdict over all bounds."""

    params: Change
    """Stored parameters."""

    prepare_ms: Optional[List[float]]
    """Milliseconds until the engine gave its first result of each model."""

    profile: Optional[Profile]
    """Where the time goes, if it was measured and the engine can tell."""

    schema_version: int

    seconds: float
    """Seconds of the whole check."""

    session_bytes: Optional[List[int]]
    """Bytes of memory that the session of each model holds, where that can be told."""

    tool_version: str
    """Version of this crate."""

    warnings: List[str]
    """What disturbed the measurement, and what could not be judged."""


@dataclasses.dataclass(frozen=True)
class ClassAccuracy(Part):
    """How a model does on one class."""

    images: int
    """Images of the class."""

    precision: Optional[float]
    """Share of the answers naming the class that are right, in percent; `None` if the class is never named."""

    recall: float
    """Share of them that are classified right, in percent."""


@dataclasses.dataclass(frozen=True)
class ClassChange(Part):
    """One class before and after."""

    after: ClassAccuracy
    """Of the pruned model."""

    before: ClassAccuracy
    """Of the dense model."""

    name: str
    """Its name, or the number of its output."""

    output: int
    """Output of the class."""

    weight: Optional[float]
    """Weight that the user gave it, if any were given."""


@dataclasses.dataclass(frozen=True)
class ClassEdge(Part):
    """An edge of the class graph."""

    first: int
    """One class."""

    second: int
    """The other."""

    weight: float
    """Weight in the penalty."""


@dataclasses.dataclass(frozen=True)
class ClassMerge(Part):
    """A merge of the class tree."""

    first: int
    """One node."""

    height: float
    """Distance, divided by the root's."""

    second: int
    """The other."""


@dataclasses.dataclass(frozen=True)
class Classwise(Part):
    """Classes, their relatedness, and the groups as the classes see them."""

    classes: List[FollowedClass]
    """The classes that are followed, in the order of all arrays."""

    correlation: List[List[float]]
    """`K x K`: correlation of the classes' outputs (`docs/method.md` 3.1)."""

    edges: List[ClassEdge]
    """Edges of the class graph (`docs/method.md` 3.2), which sGLP-IB draws coefficients together along."""

    groups: List[GroupClasses]
    """What the classes receive from every group."""

    merges: List[ClassMerge]
    """Merges of the class tree (`docs/method.md` 3.3), whose nodes are the blocks of sTLP-IB: leaves are `0..K`, merge `t` makes node `K + t`."""


@dataclasses.dataclass(frozen=True)
class Convolutions(Part):
    """Convolutions of a model as the engine runs them."""

    all: int
    """In all."""

    blocked: int
    """In the engine's blocked layout."""


@dataclasses.dataclass(frozen=True)
class DetectionFigures(Part):
    """Detections of two models on the same inputs."""

    added: int
    """Detections that the other model alone has."""

    dense: int
    """Detections of the dense model."""

    form: str
    """What the four numbers of a box are taken for."""

    inputs: int
    """Inputs that both models ran on."""

    kept: int
    """Those that the other model has too: the same class, intersection over union of at least 0.5, one to one."""

    outputs: List[str]
    """Outputs that the detections are read from."""

    read: str
    """How that, the scores and the boxes of one object were read, in words."""

    score_change: Optional[float]
    """Mean change of the scores of those that both have."""

    suppressed: bool
    """Whether non-maximum suppression was applied to both models' boxes, since the model has none inside."""

    threshold: float
    """Score above which a box is a detection."""


@dataclasses.dataclass(frozen=True)
class DeviceLatency(Part):
    """Time of one run on one of several devices."""

    device: TimedOn
    """The device."""

    latency_ms: LatencyChange
    """Both models there."""


@dataclasses.dataclass(frozen=True)
class EngineInfo(Part):
    """What an engine is; goes into every report."""

    library: Optional[str]
    """File of the loaded library, if it was loaded."""

    name: str
    """`onnxruntime` or `tract`."""

    provider: str
    """Execution provider that runs: `cpu`, `cuda`, `openvino` and so on."""

    threads: int
    """Threads inside one operator."""

    version: str
    """Version of the library."""


@dataclasses.dataclass(frozen=True)
class FileInfo(Part):
    """A model file."""

    path: str
    """Path as given."""

    sha256: str
    """SHA-256 in hexadecimal."""


@dataclasses.dataclass(frozen=True)
class FloatProduct(Part):
    """A node with a product that stays as it was."""

    name: str
    """Name of the node."""

    why: str
    """Why."""


@dataclasses.dataclass(frozen=True)
class FollowedClass(Part):
    """A class, or several that were joined."""

    images: int
    """Calibration images."""

    name: str
    """For people."""

    outputs: List[int]
    """Outputs of the model that it stands for."""

    weight: float
    """Weight in the selection."""


@dataclasses.dataclass(frozen=True)
class Gate(Part):
    """A bound with what was found."""

    interval: Optional[List[Any]]
    """95 % interval of a value that was measured with noise."""

    limit: float
    """The bound."""

    noise: Optional[float]
    """Noise of such a value, as a share: by how much a model may differ from itself here."""

    outcome: str
    """The verdict."""

    quantity: str
    """What is bounded."""

    tries: int
    """How often it was measured."""

    value: float
    """What was found."""


@dataclasses.dataclass(frozen=True)
class GroupChange(Part):
    """One group of coupled channels."""

    members: int
    """Number of weights that make, carry and read the channels."""

    name: str
    """Name of the first node that makes the channels."""

    scope: str
    """Inner or residual stream."""

    scores: str
    """What the scores are and how they came about."""

    width_after: int
    """Pruning units after."""

    width_before: int
    """Pruning units (units that are cut together) before."""


@dataclasses.dataclass(frozen=True)
class GroupClasses(Part):
    """A group as the classes see it."""

    lost: List[float]
    """For every class: share of what the consumers receive that the cut takes away, before any repair."""

    most_at_risk: Optional[int]
    """The class that loses most."""

    name: str
    """Name of the group."""


@dataclasses.dataclass(frozen=True)
class IntegerOperators(Part):
    """Operators of a model as the engine runs them."""

    all: int
    """Operators in all."""

    conversions: int
    """Conversions between integers and real numbers that are left."""

    integers: int
    """Products and other operators on integers."""

    real_products: int
    """Products in real numbers."""


@dataclasses.dataclass(frozen=True)
class IntegerProof(Part):
    """What the comparison found."""

    broken: List[str]
    """Names of operators whose integers differ by more than one step."""

    operators: int
    """Operators that were compared."""

    steps: int
    """Largest difference of an integer, in steps, among those that hold."""


@dataclasses.dataclass(frozen=True)
class Interval(Part):
    """A ratio with its 95 % confidence interval."""

    high: float
    """Upper end."""

    low: float
    """Lower end."""

    median: float
    """Median."""


@dataclasses.dataclass(frozen=True)
class LatencyChange(Part):
    """Time of one run."""

    after: float
    """Median of the pruned model in milliseconds."""

    after_p95: float
    """95th percentile of the pruned model in milliseconds."""

    after_tail: List[float]
    """90th and 99th percentile of the pruned model in milliseconds."""

    batch: int
    """Images per run."""

    before: float
    """Median of the dense model in milliseconds."""

    before_p95: float
    """95th percentile of the dense model in milliseconds."""

    before_tail: List[float]
    """90th and 99th percentile of the dense model in milliseconds."""

    pairs: int
    """Interleaved pairs."""

    ratio: float
    """Ratio of interleaved runs: in each round the faster of a model's two counts."""

    ratio_high: float
    """Upper end of its 95 % interval."""

    ratio_low: float
    """Lower end of its 95 % interval."""


@dataclasses.dataclass(frozen=True)
class Layer(Part):
    """One layer of both models."""

    after: Optional[LayerCost]
    """In the second."""

    before: Optional[LayerCost]
    """In the first model."""

    name: str
    """Name of the node that does the work, in the model's file; in parentheses what the engine added on its own."""

    note: Optional[str]
    """Why the time did not fall as the work did, where it did not."""

    op: str
    """Its operator type."""


@dataclasses.dataclass(frozen=True)
class LayerCost(Part):
    """Time, work and traffic of a layer in one run of the model."""

    blocked: Optional[bool]
    """Whether the engine ran it in its blocked layout, where it has one."""

    bytes: int
    """Bytes of weights, input and output, each moved once."""

    macs: int
    """Multiply-accumulates."""

    ms: float
    """Milliseconds, with what the engine fused into it."""

    widths: Optional[List[Any]]
    """Channels that it reads and makes."""


@dataclasses.dataclass(frozen=True)
class LayerFit(Part):
    """What became of a layer."""

    activation: bool
    """Whether an activation's blind range was left out (`docs/method.md` 9.7)."""

    columns: int
    """Weights per output."""

    error: List[Any]
    """Error on held-out rows relative to the target's spread there: before, and after."""

    name: str
    """Name of the node."""

    ridge: Optional[float]
    """Strength of the ridge relative to the mean variance of the columns; `None`: only the constant was fitted."""

    rows: int
    """Rows (image, position) that they were fitted on."""

    shortcut: bool
    """Whether the target makes up for a shortcut (`docs/method.md` 9.6)."""


@dataclasses.dataclass(frozen=True)
class Loss(Part):
    """Loss of accuracy on labelled images."""

    confidence: float
    """Confidence of the bound."""

    gained: int
    """Images that the first model has wrong and the second right."""

    images: int
    """Images that both classify."""

    lost: int
    """Images that the first model has right and the second wrong."""

    points: float
    """Loss in points."""

    upper: float
    """Upper bound in points on the loss that as many other images show."""


@dataclasses.dataclass(frozen=True)
class Machine(Part):
    """Everything on which a time depends beside the models."""

    cores: int
    """Cores that the program may use."""

    governor: Optional[str]
    """How the system sets the clock of the processor, where it tells: `performance`, `powersave` and so on."""

    memory_bytes: Optional[int]
    """Bytes of memory, where the system tells."""

    platform: str
    """Operating system and processor architecture."""

    processor: str
    """Model of the processor, as the system tells it."""

    vectors: Optional[str]
    """The widest vectors of the processor, where kernels depend on them: `avx512` or `avx2`, with `+vnni` where it sums products of bytes in 32 bits."""


@dataclasses.dataclass(frozen=True)
class MetricChange(Part):
    """What a metric says of two models."""

    after: float
    """Of the pruned or new model."""

    before: float
    """Of the dense or base model."""

    command: str
    """The command."""

    lower_is_better: bool
    """Whether a smaller number is a better one."""


@dataclasses.dataclass(frozen=True)
class MetricLoss(Part):
    """A metric of the user's own: one number, without an interval."""

    loss: float
    """By how much that is worse than the dense model's, in units of the metric."""

    metric: float
    """Of the candidate."""


@dataclasses.dataclass(frozen=True)
class OutputFigures(Part):
    """One output of the pruned model beside the dense model's, on inputs that nothing was fitted on."""

    agreement: Optional[float]
    """Share of positions with the same largest score, of maps `[N, K, H, W]` and of sequences `[N, T, K]`."""

    cosine: float
    """Cosine of the angle between both, over all inputs."""

    error: float
    """Squared error relative to the variance of the dense model's values."""

    mean_iou: Optional[float]
    """Mean over the classes that the dense model finds of intersection over union, of maps `[N, K, H, W]`."""

    name: str
    """Name of the value."""

    psnr: Optional[float]
    """Peak signal-to-noise ratio in decibels, of planes of one or three channels; the peak is the range of the dense model's values. `None` for other shapes, and without any difference."""


@dataclasses.dataclass(frozen=True)
class Profile(Part):
    """Where the time of two models goes."""

    convolutions: Optional[List[Convolutions]]
    """Convolutions of both models, where the engine has a blocked layout."""

    layers: List[Layer]
    """Layers in the order of the first model."""


@dataclasses.dataclass(frozen=True)
class ProtectedChannels(Part):
    """Channels that stay whole."""

    channels: int
    """How many of its channels."""

    node: str
    """Node that makes them."""

    of: int
    """Out of."""

    op: str
    """Its operator type."""

    reasons: List[str]
    """Why, in words."""


@dataclasses.dataclass(frozen=True)
class QuantizeStep(Part):
    """Error of the outputs with one way of writing the model, on inputs that nothing was fitted on: mean over the outputs of the squared error relative to the variance of those of the model in real numbers."""

    error: float
    """The error."""

    kept: bool
    """Whether it was kept."""

    what: str
    """What was tried."""


@dataclasses.dataclass(frozen=True)
class QuantizeSummary(Part):
    """Everything that `onnx-prune quantize` found out."""

    accuracy: Optional[AccuracyChange]
    """Top-1, if there are labels."""

    agreement: Optional[float]
    """Share of images with the same answer as in real numbers."""

    bytes: Change
    """Sizes of the files."""

    calibration: Calibrated
    """Calibration images."""

    command: List[str]
    """The command line."""

    detections: Optional[DetectionFigures]
    """What became of detections, if the model makes some."""

    device: Optional[TimedOn]
    """Where models were timed, if that was another machine than this."""

    engine: EngineInfo
    """What ran."""

    latency_ms: Optional[LatencyChange]
    """Times of a run, if they were measured."""

    model: FileInfo
    """The model in real numbers."""

    notes: List[str]
    """What to know."""

    output: FileInfo
    """The model in integers."""

    outputs: List[OutputFigures]
    """How near the outputs are to those in real numbers."""

    peak_memory_bytes: Optional[int]
    """Most memory the run took, if the system tells."""

    quantized: Quantized
    """How the integers were chosen."""

    schema_version: int

    seed: int
    """Seed of random choices."""

    shift_consistency: Optional[float]
    """Share of images on which the dense model answers the same when they are moved by one pixel (the consistency of Zhang, arXiv 1904.11486): how firm its answers are, to hold the agreement against. Of pictures alone."""

    timings_s: Dict[str, float]
    """Seconds by phase."""

    tool_version: str
    """Version of the tool."""

    warnings: List[str]
    """What to know first."""


@dataclasses.dataclass(frozen=True)
class Quantized(Part):
    """A model in integers or in half precision."""

    activations: Optional[str]
    """Integers of activations."""

    float: List[FloatProduct]
    """Nodes with products that stay as they were."""

    operators: Optional[IntegerOperators]
    """Operators as the engine runs them, where it shows that."""

    precision: str
    """Which of both."""

    products: int
    """Nodes with products on integers or in half precision."""

    proof: IntegerProof
    """Whether the engine computes what the file says, operator by operator."""

    ranges: Optional[str]
    """How the ranges of values were chosen, of integers."""

    readied: Readied
    """What was done to make the graph ready."""

    steps: List[QuantizeStep]
    """What was measured on the way, in order."""

    values: int
    """Values that are rounded."""

    weight_bits: int
    """Bits of weights: 16, 8, or 7 where a processor would add two products in 16 bits."""


@dataclasses.dataclass(frozen=True)
class Readied(Part):
    """What was done."""

    convolutions: int
    """`BatchNormalization` that became a convolution of every channel alone."""

    means: int
    """Means over all positions that became `GlobalAveragePool`."""

    normalizations: int
    """`BatchNormalization` that went into weights."""

    pads: int
    """`Pad` that went into windows."""

    rounded: int
    """Values that were rounded before."""


@dataclasses.dataclass(frozen=True)
class Refined(Part):
    """What refinement did."""

    compared: List[str]
    """Values that were compared with the dense model's."""

    drawn: int
    """Images that steps were taken on, each time that it was drawn."""

    errors: List[float]
    """The objective on held-out images before the first round and after every round; a sum of squared errors relative to the variance of the dense model's values."""

    images: List[int]
    """Images that steps were fitted on, and images that decided whether steps are kept."""

    kept: int
    """Rounds that came nearer than all before them."""

    left_out: List[List[Any]]
    """Nodes that were left as they are, and why."""

    nodes: int
    """Nodes whose weights were adjusted."""

    parameters: int
    """Numbers that were adjusted."""

    rounds: int
    """Rounds that were made."""

    stopped_by: str
    """Why it ended."""


@dataclasses.dataclass(frozen=True)
class Repair(Part):
    """Compensation and refinement of a pruned model."""

    consumers: List[List[Any]]
    """Node name and method."""

    judged_on: int
    """Inputs that the stages were measured on."""

    layers: List[LayerFit]
    """What the sequential reconstruction of the layers behind a cut did."""

    refined: Optional[Refined]
    """All layers at once."""

    stages: List[StageError]
    """Error of the outputs before and after every stage, measured on inputs that nothing was fitted on."""


@dataclasses.dataclass(frozen=True)
class Rounding(Part):
    """Channel counts that the engine runs without waste. ONNX Runtime's CPU convolutions cost as much as the next multiple of a block (16 with AVX-512, 8 with AVX2) as long as the count is a multiple of `multiple`; other counts leave the blocked layout."""

    block: int
    """Preferred step of a channel count."""

    multiple: int
    """Finest step that does not slow the engine down."""


@dataclasses.dataclass(frozen=True)
class Searched(Part):
    """A search for the plan that meets a bound on what has to be measured."""

    candidates: List[Tried]
    """Candidates in the order in which they were tried."""

    goal: str
    """The bounds in words."""


@dataclasses.dataclass(frozen=True)
class StageError(Part):
    """What a stage did to the outputs: mean over them of the squared error relative to the variance of the dense model's."""

    after: float
    """With what was kept of it; never above `before`."""

    before: float
    """Before it."""

    layers: int
    """Layers that it changed."""

    rolled_back: List[str]
    """Layers whose changes were taken back."""

    stage: str
    """The stage."""

    whole: float
    """With all its changes."""


@dataclasses.dataclass(frozen=True)
class Summary(Part):
    """A pruning run."""

    accuracy: Optional[AccuracyChange]
    """Top-1, if there were labelled images."""

    agreement: Optional[float]
    """Share of images on which the pruned model answers as the dense one."""

    allocation: str
    """How the widths were shared out."""

    blocks: List[BlockChange]
    """All blocks that could be left out, in the order of the graph, where some were."""

    budget: str
    """The budget in words."""

    bytes: Change
    """Bytes of the files."""

    calibration: Optional[Calibrated]
    """What was calibrated on."""

    classwise: Optional[Classwise]
    """How the classes are related and what the cuts take from each, for the class-wise criteria."""

    command: List[str]
    """The command line that was given, if one was."""

    compensation: Repair
    """What was done to the consumers of cut channels."""

    criterion: str
    """Name of the criterion."""

    detections: Optional[DetectionFigures]
    """What becomes of the dense model's detections, if it has boxes and scores, on inputs that nothing was fitted on."""

    device: Optional[TimedOn]
    """Where models were timed, if that was another machine than this."""

    engine: EngineInfo
    """What ran."""

    groups: List[GroupChange]
    """Groups in the order of the graph."""

    latency_ms: Optional[LatencyChange]
    """Time of one run, if it was measured."""

    macs: Change
    """Multiply-accumulates of one run."""

    metric: Optional[MetricChange]
    """A metric of the user's own, if there is one."""

    model: FileInfo
    """The dense model."""

    notes: List[str]
    """What a person should know."""

    other_devices: List[DeviceLatency]
    """Times on the devices beside that one."""

    output: FileInfo
    """The pruned model."""

    outputs: List[OutputFigures]
    """Every output beside the dense model's, on inputs that nothing was fitted on."""

    params: Change
    """Stored parameters."""

    peak_memory_bytes: Optional[int]
    """Largest resident size of the process in bytes, if the system tells."""

    prepare_ms: Optional[List[float]]
    """Milliseconds until the engine gave its first result of each model: session, engine build, first run."""

    profile: Optional[Profile]
    """Where the time goes, if it was measured and the engine can tell."""

    protected: List[ProtectedChannels]
    """Channels that were not cut, with reasons."""

    quantized: Optional[Quantized]
    """How it was written in integers, if it was."""

    rounding: Rounding
    """Channel block: preferred step and finest step of a width."""

    schema_version: int

    searched: Optional[Searched]
    """What was tried to find the budget of the plan, where it follows from bounds that take measuring."""

    seed: int
    """Seed of every random choice."""

    session_bytes: Optional[List[int]]
    """Bytes of memory that the session of each model holds, where that can be told."""

    shift_consistency: Optional[float]
    """Share of images on which the dense model answers the same when they are moved by one pixel (the consistency of Zhang, arXiv 1904.11486): how firm its answers are, to hold the agreement against. Of pictures alone."""

    timings_s: Dict[str, float]
    """Seconds per phase."""

    tool_version: str
    """Version of this crate."""

    verification: Optional[Verified]
    """Masked = sliced."""

    warnings: List[str]
    """What a person should know before anything else: what could not be done, and why."""


@dataclasses.dataclass(frozen=True)
class Swept(Part):
    """A sweep."""

    models: List[SweptModel]
    """From the mildest cut to the strongest."""

    schema_version: int

    warnings: List[str]
    """Shares without a model of their own, and why."""


@dataclasses.dataclass(frozen=True)
class SweptModel(Part):
    """One model of a sweep."""

    name: Optional[str]
    """What tells it from the others, where that is more than the share."""

    share: float
    """Share of the multiply-accumulates that was asked for; 1: the dense model in integers or half precision."""

    summary: Summary
    """The run's report."""


@dataclasses.dataclass(frozen=True)
class TimedOn(Part):
    """A device in reports."""

    device: str
    """As it was named: `ssh://host`, or a command."""

    engine: EngineInfo
    """The engine there."""

    machine: Machine
    """What it runs on."""

    sent_bytes: int
    """Bytes that were sent to it."""


@dataclasses.dataclass(frozen=True)
class Tried(Part):
    """One candidate."""

    accepted: bool
    """Whether the candidate meets the bound that it was tried for."""

    budget: str
    """Budget of the plan, in words."""

    bytes: Optional[int]
    """Bytes of the file, where these are bounded."""

    latency: Optional[Interval]
    """Latency as a share of the dense model's with its 95 % interval, where it was measured."""

    loss: Optional[Loss]
    """Loss on labelled images, where it is bounded."""

    macs: float
    """Share of the multiply-accumulates that is kept."""

    metric: Optional[MetricLoss]
    """What the user's own metric loses, where that is bounded."""


@dataclasses.dataclass(frozen=True)
class Verified(Part):
    """Masked = sliced."""

    max_error: float
    """Largest difference over all outputs, relative to the largest value of the output."""

    runs: int
    """Runs compared."""

    tolerance: float
    """What is allowed for the model's element type."""
