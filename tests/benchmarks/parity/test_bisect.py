"""The first layer at which a file diverges from its network is named."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from artifacts.types import ModelRef, TorchModel
from benchmarks.parity.bisect import first_divergence
from export.registry import FORMATS
from zoo.models import build
from zoo.readers import read_digits
from zoo.signatures import trace_signature


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small ResNet, its ONNX file and four real examples."""
    data = read_digits()
    ref = ModelRef("resnet", None, {"depth": 8, "width": 8, "classes": 10, "channels": 1})
    torch.manual_seed(0)
    module = build(ref).eval()
    model = TorchModel(module, ref, trace_signature(module, data))
    folder = tmp_path_factory.mktemp("exported")
    return model, FORMATS["onnx"].load()(model, folder), data.test.batch(np.arange(4))[0]


def test_a_faithful_file_diverges_nowhere(exported):
    model, file, inputs = exported
    assert first_divergence(model, file.path, inputs) is None


def convolutions(graph):
    return [node for node in graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("index", [0, 3, -1])
def test_the_layer_whose_weights_were_changed_is_named(exported, tmp_path, index):
    model, file, inputs = exported
    tampered = onnx.load(file.path)
    wanted = convolutions(tampered.graph)[index].input[1]
    (weight,) = [w for w in tampered.graph.initializer if w.name == wanted]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.5), weight.name))
    onnx.save(tampered, tmp_path / "tampered.onnx")
    found = first_divergence(model, tmp_path / "tampered.onnx", inputs)
    layers = [name for name, layer in model.module.named_modules() if isinstance(layer, torch.nn.Conv2d)]
    assert found is not None
    assert found.layer == layers[index]
    assert found.tensor == convolutions(tampered.graph)[index].output[0]
    assert f"({layers[index]})" in str(found)
    assert "first divergence at" in str(found)


def test_a_change_too_small_to_matter_is_no_divergence(exported, tmp_path):
    model, file, inputs = exported
    changed = onnx.load(file.path)
    weight = next(w for w in changed.graph.initializer if w.name == convolutions(changed.graph)[2].input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1 + 1e-6), weight.name))
    onnx.save(changed, tmp_path / "changed.onnx")
    assert first_divergence(model, tmp_path / "changed.onnx", inputs) is None
