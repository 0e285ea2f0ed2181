"""What a pruning criterion says of itself, so that nothing else asks for one by name. Imports nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

    from artifacts.types import Split

    Scorer = Callable[[object], Tensor | None]
    """torch-pruning's protocol: a group -> (channels,), larger matters more; None if it cannot rank the group."""
    WeightScorer = Callable[[Tensor, Tensor | None, Generator], Tensor]
    Prepare = Callable[[nn.Module, Split, NDArray[np.int64]], None]

API = 1
"""The version of this interface; a record of another one is refused."""


@dataclass(frozen=True)
class Criterion:
    """What makes a channel or a single weight matter.

    A channel's score is taken over all layers that lose something with it (torch-pruning's group importance).
    """

    name: str
    channels: "Callable[[], Scorer] | None" = None
    """Makes what scores channels, by torch-pruning's protocol: a group -> (channels,), larger matters more; None if it cannot
    rank that group. None: it ranks single weights only."""
    weights: "WeightScorer | None" = None
    """(weight, what `prepare` left as its gradient, random numbers) -> scores of the weight's shape, larger matters more.
    None: it ranks channels only."""
    prepare: "Prepare | None" = None
    """(network in eval mode, data, indices) -> leaves in each parameter's `grad` what the scorers read; None: needs no data."""
    instead: str | None = None
    """The criterion to name where this one cannot rank."""
    api: int = API

    def __post_init__(self) -> None:
        if self.channels is None and self.weights is None:
            raise ValueError(f"criterion {self.name!r} ranks neither channels nor weights")
