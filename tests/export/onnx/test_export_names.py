"""Outputs keep their names whatever values inside the file are called, and one that an input has is renamed and said."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from artifacts.specs import TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from export.onnx.export import export
from export.registry import FORMATS
from runtimes.onnxruntime.loader import OrtProgram
from runtimes.probe import missing_library
from runtimes.registry import find
from zoo.calling import call
from zoo.outputs import named_outputs
from zoo.signatures import signature_on

INPUT = {"image": np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)}


class Net(nn.Module):
    def __init__(self, *names):
        super().__init__()
        self.names = names
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

    def forward(self, image):
        features = torch.relu(self.conv(image))
        scores = self.fc(features.mean((2, 3)))
        values = (scores, features, image, scores, torch.ones(2))
        return dict(zip(self.names, values, strict=False))


NAMES = [
    ("conv2d", "relu"),
    ("fc.weight", "conv.bias", "linear"),
    ("scores", "features", "image"),
    ("scores", "image"),
    ("val_0", "mean", "seen", "again", "constant"),
    ("image_out", "relu", "image"),
    ("tightship_output_1", "tightship_output_0"),
]


MOST = [*NAMES[:1], *NAMES[3:5], *(pytest.param(names, marks=pytest.mark.slow) for names in (*NAMES[1:3], *NAMES[5:]))]


@pytest.mark.parametrize("names", MOST, ids=lambda names: "-".join(names))
def test_the_file_gives_every_output_by_its_name(names, tmp_path):
    module = Net(*names).eval()
    signature = signature_on(module, (TensorSpec("image", "float32", ("batch", 1, 8, 8)),), INPUT, "the examples")
    file = export(TorchModel(module, ModelRef(), signature), tmp_path)
    session = OrtProgram(Engine("onnxruntime-cpu", file.path, signature), 1)
    wanted, found = named_outputs(call(module, INPUT)), session.run(INPUT)
    assert list(found) == list(names)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value.detach().numpy(), rtol=1e-4, atol=1e-5)
    inside = [output.name for output in onnx.load(file.path).graph.output]
    assert [name for name in names if name != "image"] == [a for a, b in zip(inside, names, strict=True) if b != "image"]
    renamed = [note for note in file.notes if "where an input has its name" in note]
    assert len(renamed) == ("image" in names)


def test_an_input_may_have_an_operators_name(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, conv2d, relu):
            return torch.relu(self.conv(conv2d)) + relu.mean()

    inputs = {"conv2d": INPUT["image"], "relu": INPUT["image"] + 1}
    specs = tuple(TensorSpec(name, "float32", ("batch", 1, 8, 8)) for name in inputs)
    module = Named().eval()
    signature = signature_on(module, specs, inputs, "the examples")
    file = export(TorchModel(module, ModelRef(), signature), tmp_path)
    found = OrtProgram(Engine("onnxruntime-cpu", file.path, signature), 1).run(inputs)
    np.testing.assert_allclose(found["output"], call(module, inputs).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", ["openvino-cpu", "torchscript-cpu", "executorch-xnnpack"])
def test_every_target_gives_an_output_with_an_inputs_name_by_it(target, tmp_path):
    found = find(target)
    if missing_library(found):
        pytest.skip(f"{target} is not installed")
    module = Net("scores", "relu", "image").eval()
    signature = signature_on(module, (TensorSpec("image", "float32", ("batch", 1, 8, 8)),), INPUT, "the examples")
    file = FORMATS[found.formats[0]].load()(TorchModel(module, ModelRef(), signature), tmp_path)
    made = found.runtime().open(Engine(target, file.path, file.signature), 1).run(INPUT)
    for name, value in named_outputs(call(module, INPUT)).items():
        np.testing.assert_allclose(made[name], value.detach().numpy(), rtol=1e-4, atol=1e-5)
