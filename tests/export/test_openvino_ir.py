"""OpenVINO IR: right at every batch size, named as the signature says, float32 as stored, and the same bytes every time."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from zoo.outputs import named_outputs

pytest.importorskip("openvino")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def export(model, folder):
    from export.openvino.export import export

    folder.mkdir(exist_ok=True)
    return export(model, folder)


def read(file):
    import openvino as ov

    return ov.Core().read_model(file.path)


def opened(file):
    from runtimes.openvino.runtime import OpenVinoCpu

    return OpenVinoCpu().open(OpenVinoCpu().build(file, file.folder), 1)


@pytest.fixture(scope="module")
def small():
    """A network with a norm to fold and a pooled head."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    parts = nn.Conv2d(1, 8, 3, bias=False), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    signature = Signature(
        (TensorSpec("image", "float32", ("batch", 1, 8, 8)),), (TensorSpec("output", "float32", ("batch", 10)),)
    )
    return TorchModel(nn.Sequential(*parts).eval(), ModelRef(), signature)


@pytest.fixture(scope="module")
def file(small, tmp_path_factory):
    return export(small, tmp_path_factory.mktemp("ir"))


def test_the_file_equals_the_model_at_every_batch_size(small, file):
    assert (file.format, file.precision, file.path) == ("openvino", "fp32", file.folder / "model.xml")
    session = opened(file)
    for batch in (1, 2, 7):
        image = np.random.default_rng(batch).normal(size=(batch, 1, 8, 8)).astype(np.float32)
        with torch.no_grad():
            wanted = named_outputs(small.module(torch.from_numpy(image)))
        found = session.run({"image": image})
        assert list(found) == list(wanted) == ["output"]
        np.testing.assert_allclose(found["output"], wanted["output"].numpy(), rtol=1e-3, atol=1e-4)


def test_names_and_the_dynamic_batch_are_those_of_the_signature(file):
    model = read(file)
    assert [(p.get_names(), str(p.get_partial_shape())) for p in model.inputs] == [({"image"}, "[?,1,8,8]")]
    assert [(p.get_names(), str(p.get_partial_shape())) for p in model.outputs] == [({"output"}, "[?,10]")]


def test_weights_are_float32_as_stored_and_nothing_lies_beside_them(small, file):
    assert {p.name for p in file.folder.iterdir()} == {"model.xml", "model.bin"}
    kinds = {str(op.get_element_type()) for op in read(file).get_ops() if op.get_type_name() == "Constant" and op.data.size > 8}
    assert kinds <= {"<Type: 'float32'>"}
    assert (file.folder / "model.bin").stat().st_size >= 4 * sum(p.numel() for p in small.module.parameters() if p.ndim > 1)


def test_the_same_model_gives_the_same_bytes_without_paths(small, file, tmp_path):
    again = export(small, tmp_path)
    for name in ("model.xml", "model.bin"):
        assert (file.folder / name).read_bytes() == (again.folder / name).read_bytes()
    assert not re.search(r"model\.onnx|conversion_parameters|/tmp|\.py", file.path.read_text())


class Awkward(nn.Module):
    """Two inputs of different types; a tensor given back twice, an input given back as it is."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 3)

    def forward(self, a, n):
        y = self.line(a)
        return y, y, a, n + n


def test_two_inputs_and_a_tensor_that_is_given_back_twice(tmp_path):
    inputs = (TensorSpec("a", "float32", ("batch", 4)), TensorSpec("n", "int64", ("batch", 2)))
    outputs = tuple(TensorSpec(name, "float32", ("batch",)) for name in ("once", "twice", "same", "sum"))
    model = TorchModel(Awkward().eval(), ModelRef(), Signature(inputs, outputs))
    session = opened(export(model, tmp_path))
    for batch in (1, 3):
        a, n = np.ones((batch, 4), np.float32), np.full((batch, 2), 21)
        found = session.run({"n": n, "a": a})
        assert list(found) == ["once", "twice", "same", "sum"]
        assert found["once"].shape == (batch, 3)
        assert np.array_equal(found["once"], found["twice"])
        assert np.array_equal(found["same"], a)
        assert found["sum"].dtype == np.int64
        assert (found["sum"] == 42).all()


def test_a_model_without_an_onnx_form_is_refused_in_one_sentence(wrap, tmp_path):
    class Complex(nn.Module):
        def forward(self, x):
            return torch.linalg.eigvals(x[:, 0]).real

    with pytest.raises(ModelError) as caught:
        export(wrap(Complex()), tmp_path)
    assert "\n" not in str(caught.value)
