"""The networks that several runtimes are tried on."""

import pytest
import torch
from torch import nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from zoo.models import trace_signature
from zoo.readers import read_digits
from zoo.resnet import resnet
from zoo.splits import TaskData


class Two(nn.Module):
    """Two inputs, and two outputs of which the second is a part of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.left(first)
        return y + self.right(second), y


@pytest.fixture(scope="session")
def two_ends() -> TorchModel:
    """A small network with inputs `first`, `second` and outputs `sum`, `left`."""
    torch.manual_seed(0)
    inputs = (TensorSpec("first", "float32", ("batch", 4)), TensorSpec("second", "float32", ("batch", 5)))
    outputs = (TensorSpec("sum", "float32", ("batch", 3)), TensorSpec("left", "float32", ("batch", 3)))
    return TorchModel(Two().eval(), ModelRef(), Signature(inputs, outputs))


@pytest.fixture(scope="session")
def digits() -> TaskData:
    """The embedded data."""
    return read_digits()


@pytest.fixture(scope="session")
def small_resnet(digits: TaskData) -> TorchModel:
    """A ResNet-8 for them, of random weights."""
    torch.manual_seed(0)
    module = resnet(8, 8, 10, 1).eval()
    return TorchModel(module, ModelRef("resnet"), trace_signature(module, digits))
