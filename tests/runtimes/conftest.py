"""The networks that several runtimes are tried on."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ExportedFile, ModelRef, TorchModel
from runtimes.tensorrt.engine_key import signature_of
from zoo.readers import read_digits
from zoo.resnet import resnet
from zoo.signatures import trace_signature
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


@pytest.fixture
def onnx_file(tmp_path: Path) -> ExportedFile:
    """A float model x[batch, 4] -> relu(x @ w)."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], "mm"), helper.make_node("Relu", ["m"], ["y"], "relu")]
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    model = helper.make_model(helper.make_graph(nodes, "net", [x], [y], [weight]), ir_version=9)
    folder = tmp_path / "exported"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    return ExportedFile("onnx", folder, "model.onnx", signature_of(folder / "model.onnx"))
