"""A tiny network trained on the digits, and ways to make small models of other shapes."""

import copy

import numpy as np
import pytest
import torch

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from compress.configs import TrainConfig
from compress.training.loop import Training, fit, task_loss
from zoo.models import build, complete
from zoo.readers import read_digits
from zoo.signatures import trace_signature


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Sums then do not depend on how the machine is shared."""
    torch.set_num_threads(1)


class Fixed(torch.nn.Module):
    """Gives these outputs whatever comes in."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = torch.nn.Parameter(outputs)

    def forward(self, x):
        return self.outputs * 1


@pytest.fixture(scope="session")
def fixed():
    """A network that gives the outputs it is made of."""
    return Fixed


@pytest.fixture(scope="session")
def digits():
    return read_digits()


def trained(digits, epochs: int, **options) -> TorchModel:
    """A ResNet of depth 8 and width 8, trained on the digits."""
    torch.manual_seed(0)
    ref = complete(ModelRef("resnet", options={"depth": 8, "width": 8, **options}), digits)
    module = build(ref)
    fit(module, task_loss(), Training(digits.train, TrainConfig(epochs=epochs, learning_rate=0.1), 0))
    return TorchModel(module.eval(), ref, trace_signature(module, digits))


@pytest.fixture(scope="session")
def tiny_b(digits):
    """With convolutions in its shortcuts; trained. Shared: `tiny` gives a copy."""
    return trained(digits, 2)


@pytest.fixture(scope="session")
def tiny_a(digits):
    """With zero-padded shortcuts."""
    return trained(digits, 1, shortcut="A")


@pytest.fixture
def tiny(tiny_b):
    """The trained network, and a check that the test did not change it."""
    before = {k: v.clone() for k, v in tiny_b.module.state_dict().items()}
    yield tiny_b
    after = tiny_b.module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(v, before[k]) for k, v in after.items()), "the caller's model was changed"
    assert not tiny_b.module.training


@pytest.fixture
def examples(digits):
    """Forty test images."""
    return torch.from_numpy(digits.test.batch(np.arange(40))[0]["image"])


@pytest.fixture
def wrap():
    """Makes a TorchModel of a module that takes one input `x` of this shape, with its norms away from their start."""

    def make(module: torch.nn.Module, shape=(3, 8, 8)) -> TorchModel:
        generator = torch.Generator().manual_seed(3)
        for part in module.modules():
            if getattr(part, "running_var", None) is not None:
                part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.3)
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
        return TorchModel(copy.deepcopy(module).eval(), ModelRef(), Signature((TensorSpec("x", "float32", ("batch", *shape)),)))

    return make
