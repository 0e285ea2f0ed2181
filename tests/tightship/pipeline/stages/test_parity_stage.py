"""What a deployed file is held against."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.fold import fold
from compress.qat import observe, simulate
from compress.quantizers import rounding
from tightship.pipeline.stages import parity
from tightship.planning.plan import make_plan
from zoo.models import build
from zoo.readers import read_digits
from zoo.signatures import trace_signature

RECIPE = """
name: trained
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
compress: [{quantize: {qat_epochs: 1}}]
targets: [TARGET]
gates: {accuracy_drop: 1}
"""


@pytest.fixture(scope="module")
def model():
    """A network with ranges, as after quantization-aware training."""
    digits = read_digits()
    ref = ModelRef("resnet", None, {"depth": 8, "width": 8, "classes": 10, "channels": 1})
    torch.manual_seed(0)
    module = build(ref).eval()
    folded = fold(module, trace_signature(module, digits))
    ranges = observe(folded, digits.train, np.arange(64))
    return TorchModel(folded, ref, trace_signature(module, digits), ranges=ranges)


@pytest.mark.parametrize(
    ("target", "vnni", "steps", "against"),
    [
        ("onnxruntime-cpu", True, 127, "simulated"),
        ("onnxruntime-cpu", False, 64, "7-bit simulated"),
        ("openvino-cpu", False, 63.5, "7-bit simulated"),
        ("executorch-xnnpack", False, 127, "simulated"),
    ],
)
def test_a_trained_file_is_held_against_the_grid_of_its_weights(recipe_from, model, monkeypatch, target, vnni, steps, against):
    monkeypatch.setattr(rounding, "has_vnni", lambda: vnni)
    monkeypatch.setattr(parity, "made_from", lambda job, export: replace(model))
    recipe = recipe_from(RECIPE.replace("TARGET", target))
    config = next(s.config for s in make_plan(recipe, "m").steps if s.name == f"check {target}/int8-qat")
    module, _, name = parity.expected_of(SimpleNamespace(config=config))
    images = torch.from_numpy(read_digits().test.batch(np.arange(32))[0]["image"])
    with torch.no_grad():
        wanted, found = simulate(model, QuantizeConfig(), steps)(images), module(images)
    assert name == against
    assert torch.equal(found, wanted)


class Recorder:
    """Runs nothing: gives the sums of examples, and remembers the calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, inputs, batch):
        self.calls.append((len(inputs["x"]), batch))
        return {"sum": inputs["x"].sum(axis=1), "state": inputs["x"][:, :2], "constant": np.full((1, 4), 7)}


@pytest.mark.parametrize(("count", "limit"), [(1000, 2**25), (1000, 4000), (513, 4), (256, 1), (3, 1)])
def test_a_split_is_run_in_pieces_that_give_what_the_whole_gives(monkeypatch, count, limit):
    from artifacts.specs import Signature, TensorSpec
    from zoo import splits

    x = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    split, run = splits.ArraySplit({"x": x}, np.arange(count)), Recorder()
    monkeypatch.setattr(splits.rows_at_once, "__defaults__", (limit, 512))
    outputs = (
        TensorSpec("sum", "float32", ("batch",)),
        TensorSpec("state", "float32", (2, "batch"), batch_axis=1),
        TensorSpec("constant", "int64", (4,), batch_axis=None),
    )
    signature = Signature((TensorSpec("x", "float32", ("batch", 3)),), outputs)
    real, found, targets = parity.run_split(run, split, signature)
    np.testing.assert_array_equal(real["x"], x[:256])
    np.testing.assert_array_equal(found["sum"], x.sum(axis=1))
    np.testing.assert_array_equal(found["state"], x[:, :2])
    assert found["constant"].tolist() == [[7] * 4]
    assert targets.tolist() == list(range(count))
    # every call but the last is whole, so that calls have the same examples as if all came at once
    assert all(rows % 256 == 0 for rows, _ in run.calls[:-1])
    assert {batch for _, batch in run.calls} == {256}
    most = max(256, limit // 12)
    assert max(rows for rows, _ in run.calls) <= most
