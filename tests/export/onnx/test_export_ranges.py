"""Ranges of dynamic dimensions in what is exported: traced with them, noted in the file, and refused where they cannot hold."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import DimRange, Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.fold import dynamic_shapes, example_tensors, fold
from compress.quantizers import QUANTIZERS, Calibration
from export.fixed import fixed
from export.onnx.export import export as export_onnx
from export.onnx.metadata import RANGES, read_ranges
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.splits import ArraySplit

BATCH = DimRange("batch", 1, 8, 4)
LENGTH = DimRange("length", 6, 12, 8)


class Conv(nn.Module):
    """A convolution over five steps, and positions for fourteen."""

    def __init__(self, positions=14):
        super().__init__()
        self.conv, self.head = nn.Conv1d(3, 4, 5), nn.Linear(4, 2)
        self.places = nn.Parameter(torch.randn(3, positions))

    def forward(self, x):
        return self.head(self.conv(x + self.places[:, : x.shape[2]]).mean(2))


def sequences(ranges=(BATCH, LENGTH), positions=14):
    torch.manual_seed(0)
    signature = Signature(
        (TensorSpec("x", "float32", ("batch", 3, "length")),), (TensorSpec("output", "float32", ("batch", 2)),), ranges
    )
    return TorchModel(Conv(positions).eval(), ModelRef(), signature)


def test_torch_export_is_given_the_ranges():
    dims = dynamic_shapes(sequences().signature)["x"]
    assert {axis: (d.min, d.max) for axis, d in dims.items()} == {0: (1, 8), 2: (6, 12)}
    assert example_tensors(sequences().signature)[0].shape == (2, 3, 8)


def test_the_file_runs_at_both_ends_and_notes_its_ranges(tmp_path):
    model = sequences()
    file = export_onnx(model, tmp_path)
    assert read_ranges(onnx.load(file.path)) == file.signature.ranges == (BATCH, LENGTH)
    session = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1)
    for batch in (1, 8):
        for length in (6, 12):
            x = np.random.default_rng(length).normal(size=(batch, 3, length)).astype(np.float32)
            with torch.no_grad():
                expected = model.module(torch.from_numpy(x)).numpy()
            np.testing.assert_allclose(session.run({"x": x})["output"], expected, rtol=1e-4, atol=1e-5)


def test_a_range_that_the_model_does_not_take_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"every size of 6 <= length <= 40 \(it asks for .*14\); narrow the range"):
        export_onnx(sequences((BATCH, replace(LENGTH, max=40))), tmp_path)


def test_a_file_without_ranges_notes_none(tiny, tmp_path):
    proto = onnx.load(export_onnx(tiny, tmp_path).path)
    assert not proto.metadata_props
    assert read_ranges(proto) == ()


def test_a_damaged_note_is_refused(tiny, tmp_path):
    proto = onnx.load(export_onnx(tiny, tmp_path).path)
    proto.metadata_props.add(key=RANGES, value='[{"name": "batch"}]')
    with pytest.raises(ModelError, match=r"metadata tightship.ranges is .* holds no ranges"):
        read_ranges(proto)


def test_an_int8_file_keeps_its_ranges(tiny, tmp_path):
    tiny = replace(tiny, signature=replace(tiny.signature, ranges=(BATCH,)))
    for name in ("float", "int8"):
        (tmp_path / name).mkdir()
    plain = export_onnx(tiny, tmp_path / "float")
    images = np.random.default_rng(0).normal(size=(16, 1, 8, 8)).astype(np.float32)
    split = ArraySplit({"image": images}, np.zeros(16, np.int64))
    config = QuantizeConfig(scheme="int8", calibration_samples=16)
    made = QUANTIZERS["onnx-qdq"].load()(plain, tmp_path / "int8", Calibration(split, config, 0, tiny))
    assert made.signature.ranges == read_ranges(onnx.load(made.path)) == (BATCH,)


def test_a_folded_graph_trains_at_any_batch(tiny):
    folded = fold(tiny.module, replace(tiny.signature, ranges=(BATCH,)))
    assert folded(torch.zeros(100, 1, 8, 8)).shape == (100, 10)


def test_formats_of_a_fixed_batch_take_the_optimum_of_other_dimensions():
    signature = fixed(sequences().signature)
    assert signature.inputs[0].shape == (1, 3, 8)
    assert signature.outputs[0].shape == (1, 2)
    assert signature.ranges == ()
