"""ONNX files: right at every batch size, at the opset that was asked for, clean, and the same bytes every time."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import export.onnx.export
from artifacts.errors import ModelError
from artifacts.specs import Signature
from artifacts.types import Engine, OnnxForm
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.onnx.export import export as export_onnx
from export.onnx.export import weights_beside
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.outputs import named_outputs
from zoo.readers import read_digits
from zoo.splits import ArraySplit


def session(file):
    return OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1)


def inputs(model, batch, seed=0):
    rng = np.random.default_rng(seed)
    return {s.name: rng.normal(size=(batch, *s.shape[1:])).astype(np.float32) for s in model.signature.inputs}


def check(model, file, batches=(1, 2, 7)) -> None:
    """The file computes what the model in eval mode computes, by name, at several batch sizes."""
    opened, module = session(file), model.module.eval()
    for batch in batches:
        fed = inputs(model, batch, batch)
        with torch.no_grad():
            wanted = named_outputs(module(*(torch.from_numpy(v) for v in fed.values())))
        found = opened.run(fed)
        assert sorted(found) == sorted(wanted)
        for name, tensor in wanted.items():
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-3, atol=1e-4)


def test_the_file_equals_the_model_at_every_batch_size(tiny, tmp_path):
    file = export_onnx(tiny, tmp_path)
    assert (file.format, file.precision, file.path) == ("onnx", "fp32", tmp_path / "model.onnx")
    check(tiny, file)


def test_the_opset_is_read_back(tiny, tmp_path):
    proto = onnx.load(export_onnx(tiny, tmp_path).path)
    assert [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")] == [18]


@pytest.mark.parametrize("opset", [20, 23])
def test_another_opset_computes_the_same(tiny, tmp_path, opset):
    file = export_onnx(replace(tiny, onnx=OnnxForm(opset)), tmp_path)
    assert [o.version for o in onnx.load(file.path).opset_import if o.domain in ("", "ai.onnx")] == [opset]
    assert f"opset {opset}" in file.notes
    check(tiny, file)


def test_metadata_are_in_the_file_and_stay_in_its_int8_form(tiny, tmp_path):
    said = {"tightship.labels": '["cat", "dog"]', "tightship.preprocessing": '{"scale": 0.5}'}
    for name in ("plain", "int8"):
        (tmp_path / name).mkdir()
    plain = export_onnx(replace(tiny, onnx=OnnxForm(metadata=said)), tmp_path / "plain")
    calibration = Calibration(read_digits().train, QuantizeConfig(calibration_samples=8), 0, tiny)
    small = QUANTIZERS["onnx-qdq"].load()(plain, tmp_path / "int8", calibration)
    for file in (plain, small):
        session = onnxruntime.InferenceSession(file.path, providers=["CPUExecutionProvider"])
        assert said.items() <= session.get_modelmeta().custom_metadata_map.items()


def test_weights_lie_beside_the_file_where_that_is_asked_for(tiny, tmp_path):
    plain = export_onnx(tiny, tmp_path)
    size = plain.path.stat().st_size
    file = weights_beside(weights_beside(plain))
    beside = tmp_path / "model.onnx.data"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert file.path.stat().st_size < size / 2
    assert file.path.stat().st_size + beside.stat().st_size < 1.2 * size, "an earlier sidecar was appended to"
    check(tiny, file)


def test_another_opset_than_was_asked_for_is_refused(tiny, tmp_path, monkeypatch):
    real = onnx.load

    def older(*args, **options):
        proto = real(*args, **options)
        proto.opset_import[0].version = 17
        return proto

    monkeypatch.setattr(export.onnx.export.onnx, "load", older)
    with pytest.raises(ModelError, match=r"wrote opset 17 where 18 was asked for"):
        export_onnx(tiny, tmp_path)


def test_names_and_dynamic_dimensions_are_those_of_the_signature(tiny, tmp_path):
    graph = onnx.load(export_onnx(tiny, tmp_path).path).graph
    assert [i.name for i in graph.input] == ["image"]
    assert [o.name for o in graph.output] == ["output"]
    assert [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == ["batch", 1, 8, 8]


def test_norms_are_folded_and_the_pool_has_an_integer_kernel(tiny, tmp_path):
    kinds = {n.op_type for n in onnx.load(export_onnx(tiny, tmp_path).path).graph.node}
    assert "BatchNormalization" not in kinds
    assert "ReduceMean" not in kinds
    assert "GlobalAveragePool" in kinds


@pytest.mark.slow
def test_exporting_twice_writes_the_same_bytes(tiny, tmp_path):
    raw = []
    for name in "ab":
        (tmp_path / name).mkdir()
        raw.append(export_onnx(tiny, tmp_path / name).path.read_bytes())
    assert raw[0] == raw[1]


def test_nothing_of_this_machine_is_in_the_file(tiny, tmp_path, private_words):
    raw = export_onnx(tiny, tmp_path).path.read_bytes()
    assert not [word for word in private_words if word in raw]
    proto = onnx.load(tmp_path / "model.onnx")
    assert (proto.producer_name, proto.producer_version, proto.doc_string) == ("tightship", "", "")
    assert not any(n.doc_string or n.metadata_props for n in proto.graph.node)


@pytest.fixture
def sidecar(tiny, tmp_path, monkeypatch):
    """A model whose weights were too large for one file."""
    monkeypatch.setattr(export.onnx.export, "SINGLE_FILE_LIMIT", 1000)
    (tmp_path / "big").mkdir()
    return export_onnx(tiny, tmp_path / "big")


def test_large_weights_go_to_a_sidecar_that_works_and_is_counted(tiny, sidecar, tmp_path, private_words):
    assert sorted(p.name for p in sidecar.folder.iterdir()) == ["model.onnx", "model.onnx.data"]
    check(tiny, sidecar)
    weights = sum(4 * p.numel() for p in tiny.module.parameters())
    assert sidecar.path.stat().st_size < 0.3 * weights
    assert sum(p.stat().st_size for p in sidecar.folder.iterdir()) > 0.9 * weights
    assert not [word for word in private_words for p in sidecar.folder.iterdir() if word in p.read_bytes()]


def test_a_sidecar_is_found_from_any_working_folder(tiny, sidecar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(tiny, sidecar)


def test_a_file_with_a_sidecar_can_be_quantized(tiny, sidecar, tmp_path):
    data = inputs(tiny, 64)
    calibration = Calibration(ArraySplit(data, np.zeros(64)), QuantizeConfig(calibration_samples=64), 0, tiny)
    (tmp_path / "int8").mkdir()
    file = QUANTIZERS["onnx-qdq"].load()(sidecar, tmp_path / "int8", calibration)
    with torch.no_grad():
        wanted = tiny.module(torch.from_numpy(data["image"])).numpy()
    assert np.std(session(file).run(data)["output"] - wanted) < 0.2 * wanted.std()


def test_a_small_model_is_one_file(tiny, tmp_path):
    export_onnx(tiny, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


class Two(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.left, self.right, self.form = nn.Linear(4, 3), nn.Linear(5, 3), form

    def forward(self, first, second):
        y, z = self.left(first) * self.right(second), self.left(first)
        return {"tensor": y, "tuple": (y, z), "dict": {"zebra": y, "ant": z}}[self.form]


@pytest.mark.parametrize(
    ("form", "names"), [("tensor", ["output"]), ("tuple", ["output_0", "output_1"]), ("dict", ["zebra", "ant"])]
)
def test_two_inputs_and_every_form_of_outputs_keep_their_names_and_order(wrap, tmp_path, form, names):
    model = wrap(Two(form), {"b_second": (4,), "a_first": (5,)}, names)
    file = export_onnx(model, tmp_path)
    proto = onnx.load(file.path)
    assert [i.name for i in proto.graph.input] == ["b_second", "a_first"]
    assert [o.name for o in proto.graph.output] == names
    check(model, file)


def test_a_model_left_in_training_mode_is_exported_in_eval(wrap, tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.Flatten(), nn.Linear(144, 5))
    model = wrap(module, mode=True)
    file = export_onnx(model, tmp_path)
    assert model.module.training
    assert not [n for n in onnx.load(file.path).graph.node if n.op_type == "Dropout"]
    check(model, file)


def test_a_mean_that_is_no_global_pool_is_left_alone(wrap, tmp_path):
    class Means(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)).mean(1, keepdim=True) + x.mean((1, 2), keepdim=True).flatten(1)[:, :1]

    model = wrap(Means())
    check(model, export_onnx(model, tmp_path))
