"""Packed palettes: the bytes really shrink, any ONNX Runtime opens the file, and it computes the same bits."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

import export.onnx.export as plain
import export.onnx.packing as packing
from artifacts.types import Palette
from compress.palettization.lowbit import binary, ternary
from compress.palettization.palettes import Shared
from export.onnx.indices import Writer, encode, row_scale

KINDS = {f"{bits} bit": Palette("kmeans", bits) for bits in range(1, 9)} | {
    "2 bit, 3 channels": Palette("kmeans", 2, 3),
    "3 bit, each channel": Palette("kmeans", 3, 1),
    "ternary": Palette("ternary", 2),
    "binary": Palette("binary", 1),
}


def values(weight, palette):
    """The weight as its palette allows."""
    if palette.kind != "kmeans":
        return {"ternary": ternary, "binary": binary}[palette.kind](weight)
    return Shared(weight, palette.bits, palette.group_channels).eval()(weight)


def with_palettes(model, palette):
    """The model with the weights of all its layers palettized, untrained."""
    palettes = {}
    with torch.no_grad():
        for name, layer in model.module.named_modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.Linear):
                layer.weight.copy_(values(layer.weight, palette))
                palettes[f"{name}.weight"] = palette
    return replace(model, palettes=palettes)


def session(path, optimized=None, level=ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = level
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(path if isinstance(path, bytes) else str(path), options)


def written(model, tmp_path):
    """The plain and the packed file of a model."""
    folders = tmp_path / "plain", tmp_path / "packed"
    for folder in folders:
        folder.mkdir()
    return plain.export(model, folders[0]), packing.export(model, folders[1])


@pytest.fixture
def wide(tiny):
    """A network large enough for its weights to matter."""
    from zoo.resnet import resnet

    torch.manual_seed(0)
    return replace(tiny, module=settled(resnet(depth=8, width=16, classes=10, channels=1)).eval())


def settled(module):
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if getattr(part, "running_var", None) is not None:
            part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.3)
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
            part.weight.data.copy_(torch.randn(part.weight.shape, generator=generator))
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", ["4 bit", "3 bit", "2 bit, 3 channels", "ternary", "binary"])
def test_the_packed_file_is_small_and_computes_the_same_bits(wide, tmp_path, name):
    palette = KINDS[name]
    model = with_palettes(wide, palette)
    whole, small = written(model, tmp_path)
    found = [model.module.get_parameter(name) for name in model.palettes]
    bits = 1.6 if palette.kind == "ternary" else palette.bits
    books = sum(4 * 2**palette.bits * -(-len(w) // (palette.group_channels or len(w))) for w in found)
    least = sum(w.numel() for w in found) * (4 - bits / 8) - books
    # a node costs some 50 bytes, a channel 4 for its scale; a weight that gains nothing stays
    assert whole.path.stat().st_size - small.path.stat().st_size > 0.95 * least - 900 * len(found)
    assert [p.name for p in small.folder.iterdir()] == ["model.onnx"]
    x = {"image": torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1)).numpy()}
    graphs = tmp_path / "a.onnx", tmp_path / "b.onnx"
    wanted = session(whole.path, graphs[0]).run(None, x)[0]
    assert np.array_equal(session(small.path, graphs[1]).run(None, x)[0], wanted)
    run = [[node.op_type for node in onnx.load(graph).graph.node] for graph in graphs]
    assert run[0] == run[1], "what runs is what runs for the plain file"
    assert any("packed" in note for note in small.notes)
    off = session(small.path, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL).run(None, x)[0]
    np.testing.assert_allclose(off, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(9, 5, 3, 3), (7, 13), (1, 2, 1)], ids=str)
@pytest.mark.parametrize("palette", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("transposed", [False, True], ids=["", "transposed"])
def test_the_operators_decode_exactly_what_was_encoded(palette, shape, transposed):
    generator = torch.Generator().manual_seed(0)
    weight = values(torch.randn(shape, generator=generator), palette).detach().numpy()
    used = weight * torch.randn(shape[0], generator=generator).numpy().reshape(-1, *[1] * (len(shape) - 1))
    encoded = encode(weight.reshape(len(weight), -1), used.reshape(len(used), -1), palette)
    writer = Writer()
    writer.weight("weight", encoded, shape, transposed)
    wanted = used.T if transposed else used
    output = onnx.helper.make_tensor_value_info("weight", onnx.TensorProto.FLOAT, wanted.shape)
    graph = onnx.helper.make_graph(writer.nodes, "decode", [], [output], writer.tensors)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    for found in (ReferenceEvaluator(proto).run(None, {})[0], session(proto.SerializeToString()).run(None, {})[0]):
        assert found.dtype == np.float32
        assert np.array_equal(found, wanted)


class Mixed(nn.Module):
    """Weights that the exporter stores transposed, transposed convolutions, groups, and one that no palette covers."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(32, 48), nn.Linear(48, 32, bias=False)
        self.up, self.grouped = nn.ConvTranspose1d(16, 24, 3), nn.Conv1d(24, 32, 3, groups=4)

    def forward(self, x):
        return self.grouped(self.up(self.b(torch.relu(self.a(x)))))


@pytest.mark.slow
@pytest.mark.parametrize("palette", [KINDS["4 bit"], KINDS["ternary"]])
def test_weights_that_are_stored_otherwise_are_packed_too(wrap, tmp_path, palette):
    torch.manual_seed(0)
    model = with_palettes(wrap(Mixed(), {"x": (16, 32)}), palette)
    whole, small = written(model, tmp_path)
    left = {
        t.name for t in onnx.load(small.path).graph.initializer if len(t.dims) > 1 and t.data_type == 1 and np.prod(t.dims) > 99
    }
    assert not left
    x = {"x": torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(1)).numpy()}
    assert np.array_equal(session(small.path).run(None, x)[0], session(whole.path).run(None, x)[0])


@pytest.mark.slow
def test_a_weight_that_packing_would_enlarge_stays_plain_and_is_named(tiny, tmp_path):
    _, small = written(with_palettes(tiny, KINDS["8 bit"]), tmp_path)
    assert any("packed they would be larger" in note and "conv1.weight" in note for note in small.notes)


@pytest.mark.slow
def test_a_weight_that_holds_other_values_stays_plain_and_is_named(tiny, tmp_path):
    model = replace(tiny, palettes={"layer3.0.conv2.weight": Palette("ternary", 2)})
    whole, small = written(model, tmp_path)
    assert small.path.stat().st_size == whole.path.stat().st_size
    assert "changed their values: layer3.0.conv2.weight" in small.notes[-1]


def test_the_factor_of_folding_is_found_exactly():
    generator = np.random.default_rng(0)
    weight = generator.choice(generator.normal(size=16), (64, 90)).astype(np.float32)
    scale = (generator.normal(size=64) * 10.0 ** generator.integers(-6, 6, 64)).astype(np.float32)
    scale[3], weight[5] = 0, 0
    used = weight * scale[:, None]
    found = row_scale(weight, used)
    assert found is not None
    assert np.array_equal(weight * found[:, None], used)
    assert row_scale(weight, weight) is None
    assert encode(weight, used + np.float32(0.1), Palette("kmeans", 4)) is None


def test_a_layer_with_dead_channels_decodes():
    weight = torch.randn(6, 10)
    weight[2] = 0
    for palette in (Palette("ternary", 2), Palette("binary", 1)):
        made = values(weight, palette).numpy()
        encoded = encode(made, made * np.float32(0.3), palette)
        assert encoded is not None
        assert np.array_equal(encoded.decoded(), made * np.float32(0.3))


def test_what_was_undone_leaves_nothing():
    writer = Writer()
    encoded = encode(*(np.eye(8, 9, dtype=np.float32),) * 2, Palette("kmeans", 1))
    writer.weight("kept", encoded, (8, 9), False)
    writer.accept()
    before = writer.size
    writer.weight("gone", encoded, (8, 9), False)
    assert writer.size > before
    writer.undo()
    assert writer.size == before
    assert "gone" not in {node.output[0] for node in writer.nodes}
