"""What pruning found on the way: what each step left, what could not go and why, and what was tried on the target."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from artifacts.json import JsonValue
from artifacts.types import TorchModel


@dataclass(frozen=True)
class PruneStep:
    """What was measured of the network after one step."""

    step: int
    """From 1 on."""
    macs: float
    """Of one example."""
    parameters: float
    bytes: float
    sparsity: float
    """Share of zeros in the weights of its layers, 0..1."""


def step_of(step: int, measured: Mapping[str, float]) -> PruneStep:
    """One step from what `compress.counting.count` gives."""
    return PruneStep(step, measured["macs"], measured["parameters"], measured["bytes"], measured["sparsity"])


@dataclass(frozen=True)
class PruneDetails:
    """Of pruning channels or weights."""

    steps: list[PruneStep]
    not_cut: dict[str, str]
    """Layer -> why it stays whole."""
    widths: dict[str, int]
    """Output channels (or features) of every layer that is left."""

    def as_json(self) -> dict[str, JsonValue]:
        """As evidence has it."""
        return asdict(self)


@dataclass(frozen=True)
class Savings:
    """What each change saves, as a share of the latency."""

    drops: dict[str, float]
    """By block."""
    widths: dict[str, dict[int, float]]
    """By layer and the channels that are left of it."""


@dataclass(frozen=True)
class TriedState:
    """One choice that was measured whole."""

    dropped: list[str]
    widths: dict[str, int]
    by_table: float
    """Its latency by the sum of what its changes save."""
    measured: float
    """Its latency as a share of the incoming network's."""
    loss: float
    """How far its outputs are from the incoming network's, without training."""


@dataclass(frozen=True)
class HalvedState:
    """One choice that was trained for a while beside others."""

    dropped: list[str]
    losses: list[float]
    """After each round that it was in."""


@dataclass(frozen=True)
class BlockDetails:
    """Of pruning blocks, and for a latency channels too."""

    not_removed: dict[str, str]
    """Block -> why it cannot go."""
    not_cut: dict[str, str] | None = None
    saves: Savings | None = None
    tries: list[TriedState] | None = None
    """None: nothing was tried."""
    halving: list[HalvedState] | None = None
    """The best first; none: no choices were compared."""
    kept_blocks: list[str] | None = None
    steps: list[PruneStep] | None = None
    """None until it is fine-tuned."""
    widths: dict[str, int] | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """As evidence has it: what was not looked for is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


D = TypeVar("D", PruneDetails, BlockDetails)


@dataclass(frozen=True)
class Pruned(Generic[D]):
    """A pruned network and what was measured on the way."""

    model: TorchModel
    details: D
