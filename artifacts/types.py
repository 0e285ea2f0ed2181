"""The frozen types that flow between the rooms: model -> exported file -> engine -> session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from artifacts.json import JsonValue
from artifacts.specs import Signature

if TYPE_CHECKING:
    import torch

Array = NDArray[np.generic]
"""A tensor of any dtype and shape."""

Arrays = dict[str, Array]
"""Tensors by name, as they go into and come out of a session."""

Range = tuple[float, float]
"""The smallest and largest value an activation takes, in real units."""


@dataclass(frozen=True)
class ModelRef:
    """How to build a network without pickle: a zoo name or a factory, and its keyword arguments.

    With neither the network was given as an object: it can be changed and exported, but not stored and built again.
    """

    zoo: str | None = None
    factory: str | None = None
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    """What its outputs are called, in its order; by default as it calls them."""
    batch_axis: Mapping[str, int] = field(default_factory=dict)
    """Input -> the axis along which the network takes its examples, where that is not the first; files take them first."""


@dataclass(frozen=True)
class Cut:
    """One step of structured pruning: channels `channels` removed at layer `layer`."""

    layer: str
    outputs: bool
    """True if output channels were cut, False if input channels."""
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Drop:
    """One step of depth pruning: a block whose output has the shape of its input becomes the identity."""

    block: str


@dataclass(frozen=True)
class Factor:
    """One step of factorization: a layer becomes two that multiply to a rank of at most `rank`."""

    layer: str
    rank: int
    kind: str
    """`linear`, or for convolutions `channel` (k x k to `rank` channels, then 1 x 1) or `spatial` (k x 1, then 1 x k)."""


Edit = Cut | Drop | Factor
"""A change of a network's structure, named by plain data, so that it can be made again on a fresh network."""


@dataclass(frozen=True)
class Palette:
    """That a weight holds few distinct values: the values themselves are in the weight."""

    kind: str
    """`kmeans`: shared values; `ternary`: -a, 0, a and `binary`: -a, a, with a scale `a` per output channel."""
    bits: int
    """Bits that hold one of the values."""
    group_channels: int | None = None
    """With `kmeans`: so many output channels share their values; none: the whole weight does."""


@dataclass(frozen=True)
class OnnxForm:
    """How ONNX files are written, and files that are made from them."""

    opset: int = 18
    sidecar: bool = False
    """Whether the weights of the shipped file lie in one of their own, `model.onnx.data`, however few they are."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the file's metadata say besides: key -> text."""


@dataclass(frozen=True)
class TorchModel:
    """A PyTorch network with all that is needed to build it again."""

    module: "torch.nn.Module"
    ref: ModelRef
    signature: Signature
    edits: tuple[Edit, ...] = ()
    """Changes of structure since the factory built it, in order."""
    masks: Mapping[str, "torch.Tensor"] = field(default_factory=dict)
    """Unstructured pruning: parameter name -> boolean mask of the weights that are kept."""
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Quantization-aware training: graph node -> learned activation range; the module is then a folded graph."""
    palettes: Mapping[str, Palette] = field(default_factory=dict)
    """Parameter name -> that its weight holds few distinct values, and how."""
    operators: Mapping[str, str] = field(default_factory=dict)
    """Operators of the user's own that ONNX lacks: `namespace::name` -> the `module:callable` that translates it. Not stored
    with the network: the recipe says them."""
    onnx: OnnxForm = OnnxForm()
    """Not stored with the network either."""
    scripted: tuple[str, ...] = ()
    """Modules, by dotted name, that a traced TorchScript program holds compiled, control flow included. Not stored either."""


@dataclass(frozen=True)
class ExportedFile:
    """A model in a file format, with every sidecar."""

    format: str
    folder: Path
    main: str
    """The file that a runtime opens, relative to `folder`."""
    signature: Signature
    precision: str = "fp32"
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file that a runtime opens."""
        return self.folder / self.main


@dataclass(frozen=True)
class Engine:
    """What a runtime opens: the exported file itself, or what was built from it for one device."""

    target: str
    path: Path
    signature: Signature
    options: Mapping[str, JsonValue] = field(default_factory=dict)
    """How the runtime opens it, in plain values: what the recipe says where that is not the default, and a builder's notes."""


@dataclass(frozen=True)
class Placement:
    """Which operators run where: operator counts inside and outside the accelerated kernels."""

    accelerated: Mapping[str, int]
    fallback: Mapping[str, int]
    how: str
    """Where these counts were read from."""

    @property
    def fallback_share(self) -> float:
        """The share of operators outside the accelerated kernels, 0..1."""
        outside = sum(self.fallback.values())
        total = outside + sum(self.accelerated.values())
        return outside / total if total else 0.0


@dataclass(frozen=True)
class Availability:
    """Whether a target can run on this machine, and if not, why and what would mend it."""

    available: bool
    reason: str


class Session(Protocol):
    """An engine that is loaded and can be run; what else one may be able to do is told in `runtimes.base`."""

    def run(self, inputs: Arrays) -> Arrays:
        """Run one batch.

        >>> session.run({"x": np.zeros((1, 3, 32, 32), np.float32)})["logits"].shape
        (1, 10)
        """
        ...


class Split(Protocol):
    """A data set that is read batch by batch, so that memory does not grow with its size."""

    def __len__(self) -> int: ...

    def batch(self, indices: NDArray[np.int64]) -> tuple[Arrays, Array]:
        """The examples at `indices`: model inputs by name, ready to feed, and their targets."""
        ...

    def fingerprint(self) -> str:
        """The SHA-256 of the examples."""
        ...
