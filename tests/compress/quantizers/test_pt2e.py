"""PT2E: what training learned is what the graph computes, and layers stay in float where they must."""

import json
import re
import struct
import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artifacts.errors import ModelError
from benchmarks.parity.parity import SIMULATED, Case, evaluate
from compress.configs import QuantizeConfig
from compress.fakequant import affine
from compress.fold import fold, is_layer
from compress.qat import simulate, train_quantized
from compress.quantizers import QUANTIZERS, Calibration

pytest.importorskip("torchao")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

CONFIG = QuantizeConfig(calibration_samples=32, qat_epochs=1, samples=256)
BOTH = ("pt2e-xnnpack", "pt2e-x86")


def quantized(name, model, digits, config=CONFIG):
    for library in QUANTIZERS[name].libraries:
        pytest.importorskip(library)
    return QUANTIZERS[name].load()(Calibration(digits.train, config, 0, model))


@pytest.fixture(scope="module")
def trained(digits, tiny_b):
    return train_quantized(tiny_b, CONFIG, digits.train, seed=0)


@pytest.fixture(scope="module")
def program(trained, digits, tmp_path_factory):
    """The trained network as an ExecuTorch program, opened."""
    pytest.importorskip("executorch")
    from export.executorch.export import export
    from runtimes.executorch.runtime import ExecuTorchXnnpack

    module = quantized("pt2e-xnnpack", trained, digits)
    folder = tmp_path_factory.mktemp("program")
    runtime = ExecuTorchXnnpack()
    session = runtime.open(runtime.build(export(replace(trained, module=module), folder), folder), 1)
    return SimpleNamespace(run=session.run, placement=session.placement, path=folder / "model.pte")


def pairs(module, kind):
    """The arguments of every quantize or dequantize of a kind, in order."""
    return [n.args for n in module.graph.nodes if n.op == "call_function" and kind in str(n.target)]


def stored(module, node):
    """The value of an attribute node."""
    owner, _, leaf = str(node.target).rpartition(".")
    return getattr(module.get_submodule(owner), leaf)


def test_every_learned_range_is_in_the_graph_and_no_other(trained, digits):
    made = quantized("pt2e-xnnpack", trained, digits)
    scales = {(f"{float(args[1]):.5g}", int(args[2]) + 128) for args in pairs(made, ".quantize_per_tensor")}
    learned = {(f"{s:.5g}", z) for s, z in (affine(*limits) for limits in trained.ranges.values())}
    assert scales == learned


def test_the_trained_graph_computes_what_was_simulated(trained, digits, examples):
    made = quantized("pt2e-xnnpack", trained, digits)
    with torch.no_grad():
        wanted = simulate(trained, CONFIG)(examples)
        found = torch.cat([made(examples[i : i + 1]) for i in range(len(examples))])
    assert float((wanted - found).square().mean().sqrt() / wanted.std()) < 0.01


@pytest.mark.slow
def test_executorch_runs_the_trained_graph_in_integers_inside_the_delegate(program, trained, digits):
    inputs = digits.test.batch(np.arange(64))[0]
    with torch.no_grad():
        wanted = simulate(trained, CONFIG)(torch.from_numpy(inputs["image"])).numpy()
    case = Case("real", True, {"output": wanted}, program.run(inputs))
    assert evaluate([case], SIMULATED, "simulated", True).passed
    assert program.placement().fallback_share == 0
    kinds = delegate_kernels(program.path)
    assert len(kinds) > 12
    # the last turns the result into float; the first and all between are integer kernels
    assert [kind for kind in kinds if kind[1] != "qint8"] == [("XNNConvert", "fp32")]


def delegate_kernels(path):
    """The kernels in the delegate's own graph, each with the type of its result."""
    from executorch.backends.xnnpack import serialization
    from executorch.exir._serialize._flatbuffer import _flatc_decompile
    from executorch.exir._serialize._program import deserialize_pte_binary

    read = deserialize_pte_binary(path.read_bytes())
    data = bytes(getattr(read, "program", read).backend_delegate_data[0].data)
    offset, size = struct.unpack("<II", data[10:18])
    with tempfile.TemporaryDirectory() as folder:
        graph, schema = Path(folder, "graph.bin"), Path(folder, "schema.fbs")
        graph.write_bytes(data[offset : offset + size])
        schema.write_bytes((files(serialization) / "schema.fbs").read_bytes())
        _flatc_decompile(folder, str(schema), str(graph), ["--raw-binary"])
        text = graph.with_suffix(".json").read_text()
    found = json.loads(re.sub(r": (-?)inf\b", r": \1Infinity", text))
    types = {}
    for value in found["xvalues"]:
        tensor = value["xvalue_union"].get("tensor_value", value["xvalue_union"])
        types[tensor["id_out"]] = tensor["datatype"].removeprefix("xnn_datatype_")
    return [(n["xnode_union_type"], types[n["xnode_union"]["output_id"]]) for n in found["xnodes"]]


def test_small_weights_keep_their_own_scale(trained, digits):
    """PT2E's observers know no scale below 2^-12, which a folded channel of small weights needs."""
    small = train_like(trained, lambda weight: weight * 1e-3)
    made = quantized("pt2e-xnnpack", small, digits)
    scales = [stored(made, args[1]) for args in pairs(made, "dequantize_per_channel")]
    assert min(float(s.min()) for s in scales) < 2**-12


def train_like(model, change):
    """The same trained network with its first convolution's weight changed."""
    import copy

    module = copy.deepcopy(model.module)
    with torch.no_grad():
        module.conv1.weight.copy_(change(module.conv1.weight))
    return replace(model, module=module)


def test_ranges_of_another_graph_are_refused(trained, wrap):
    from compress.quantizers.pt2e.quantize import ranges_by_node

    other = wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Sigmoid()))
    with pytest.raises(ModelError, match="belong to another graph") as caught:
        ranges_by_node(fold(other.module, other.signature), trained)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_layers_kept_in_float_have_no_integer_weight(name, tiny, digits):
    usual = len(pairs(quantized(name, tiny, digits), "dequantize_per_channel"))
    config = CONFIG.model_copy(update={"keep_float": ("layer1.0", "linear")})
    assert len(pairs(quantized(name, tiny, digits, config), "dequantize_per_channel")) == usual - 3


def test_x86_leaves_the_convolution_over_one_channel_in_float(tiny, digits):
    made = quantized("pt2e-x86", tiny, digits)
    layers = [n for n in made.graph.nodes if is_layer(n)]
    plain = [n for n in layers if n.args[1].op == "get_attr"]
    assert len(layers) == 10
    assert [tuple(stored(made, n.args[1]).shape[:2]) for n in plain] == [(8, 1)]


def test_x86_rounds_weights_as_the_recipe_says(tiny, digits):
    config = CONFIG.model_copy(update={"weight_bits": 4, "per_channel": False})
    made = quantized("pt2e-x86", tiny, digits, config)
    found = pairs(made, "dequantize_per_channel")
    assert len(found) == 9
    for args in found:
        weight, scale = stored(made, args[0]), stored(made, args[1])
        assert int(weight.abs().max()) == 7
        assert len(scale) == len(weight)
        assert len(scale.unique()) == 1


def test_x86_takes_the_learned_ranges_and_any_batch(trained, digits, examples):
    made = quantized("pt2e-x86", trained, digits)
    with torch.no_grad():
        wanted, found = simulate(trained, CONFIG)(examples), made(examples)
        assert made(examples[:3]).shape == (3, 10)
    assert float((wanted - found).square().mean().sqrt() / wanted.std()) < 0.05
