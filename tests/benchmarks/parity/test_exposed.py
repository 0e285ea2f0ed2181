"""A network with its inner tensors as outputs gives them out as they were computed, whatever works in place."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from benchmarks.parity.bisect import ActivationRecorder
from benchmarks.parity.exposed import expose
from compress.fold import fold


class InPlace(nn.Module):
    """Two outputs by name; what the convolution gives is overwritten after it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, image):
        x = self.norm(self.conv(image))
        mean = x.mean((2, 3))
        x.relu_()
        return {"z": self.linear(x.amax((2, 3))), "a": mean.add_(1)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    image = TensorSpec("image", "float32", ("batch", 3, 6, 6))
    outputs = (TensorSpec("z", "float32", ("batch", 2)), TensorSpec("a", "float32", ("batch", 4)))
    return TorchModel(InPlace().eval(), ModelRef("test"), Signature((image,), outputs))


@pytest.mark.parametrize("batch", [1, 5])
@torch.no_grad()
def test_every_tensor_comes_out_under_its_name_as_it_was_computed(model, batch):
    image = torch.randn(batch, 3, 6, 6)
    graph = ActivationRecorder(fold(model.module, model.signature))
    graph.run(image)
    made = expose(model)
    found = dict(zip((spec.name for spec in made.signature.outputs), made.module(image), strict=True))
    plain = model.module(image)
    assert list(found)[:2] == ["z", "a"]
    for name in plain:
        torch.testing.assert_close(found[name], plain[name], rtol=1e-4, atol=1e-5)
    inside = {node.name: value for node, value in graph.found.items() if node.name in found}
    assert {"conv2d", "relu_", "mean"} <= set(inside)
    for name, value in inside.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert (found["conv2d"] < 0).any(), "what is before the ReLU is not what it wrote over it"
    for spec in made.signature.outputs:
        assert found[spec.name].shape == spec.concrete({"batch": batch})
