"""Small networks that a runtime is tried with: one of images, and one of several inputs and outputs."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = "batch"


class Image(nn.Module):
    """Convolutions, a shortcut and a classifier: (batch, 3, 8, 8) to (batch, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        """Logits."""
        hidden = torch.relu(self.first(image))
        hidden = hidden + torch.relu(self.second(hidden))
        made: Tensor = self.last(hidden.mean((2, 3)))
        return made


class Pair(nn.Module):
    """Two inputs of other sizes, (batch, 480) and (batch, 320), and two outputs of other sizes, in an order of their own.

    They are wide enough that counters in whole microseconds see each layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(480, 560), nn.Linear(320, 560)
        self.down = nn.Linear(560, 2)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 560), then (batch, 2)."""
        wide = torch.relu(self.left(left) - self.right(right))
        return wide, self.down(wide)


def image() -> nn.Module:
    """The network of images; its weights are those of the generator's state."""
    return Image()


def pair() -> nn.Module:
    """The network of two inputs and outputs."""
    return Pair()


def made() -> dict[str, TorchModel]:
    """The networks by name, with fixed weights."""
    one = Signature((_spec("image", 3, 8, 8),), (_spec("output", 5),))
    two = Signature((_spec("left", 480), _spec("right", 320)), (_spec("output_0", 560), _spec("output_1", 2)))
    return {"image": _model(image, one), "pair": _model(pair, two)}


def _spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, "float32", (BATCH, *shape))


def _model(build: "Callable[[], nn.Module]", signature: Signature) -> TorchModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build().eval()
    return TorchModel(module, ModelRef(factory=f"{__name__}:{build.__name__}"), signature)
