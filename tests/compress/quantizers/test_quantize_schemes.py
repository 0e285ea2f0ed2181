"""Every scheme on every target that lists it: a small trained network, its deployed file, parity and accuracy."""

import importlib.util

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.types import ModelRef, TorchModel
from benchmarks.parity.parity import QUANTIZED, SCHEMES, Case, evaluate
from compress.configs import QuantizeConfig, TrainConfig
from compress.quantizers import QUANTIZERS, Calibration
from compress.quantizers.rounding import blockwise, rounded, rounds_weights
from compress.training.loop import Training, fit, predict, task_loss
from export.fixed import fixed
from export.registry import FORMATS
from runtimes.registry import TARGETS, find, running
from zoo.signatures import trace_signature

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

PAIRS = [
    # each file of AOTInductor is compiled, which takes half a minute
    pytest.param(t.name, scheme, marks=[pytest.mark.slow] if t.name == "aotinductor-cpu" else [])
    for t in TARGETS.values()
    # what one system alone can run has tests of its own for what can be read from its files
    if t.device == "cpu" and t.only_on is None
    for scheme in t.schemes
]


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 40), nn.ReLU())
        self.head = nn.Linear(40, 10)

    def forward(self, image):
        return self.head(self.layers(image.flatten(1)))


class Recurrent(nn.Module):
    """Reads a digit row by row."""

    def __init__(self, kind):
        super().__init__()
        self.rows = kind(8, 32, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        return self.head(self.rows(image.squeeze(1))[0][:, -1])


class Attentive(nn.Module):
    """One block of a transformer over the rows of a digit."""

    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Linear(8, 32), nn.Parameter(torch.randn(1, 8, 32) * 0.1)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.norm, self.wide, self.narrow = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, image):
        x = self.embed(image.squeeze(1)) + self.place
        q, k, v = self.qkv(x).chunk(3, -1)
        x = self.norm(x + self.out((q @ k.transpose(1, 2) / 32**0.5).softmax(-1) @ v))
        x = x + self.narrow(torch.relu(self.wide(x)))
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def networks(digits):
    """Small trained networks by name."""
    made = {}
    for name, build in {
        "mlp": Perceptron,
        "lstm": lambda: Recurrent(nn.LSTM),
        "gru": lambda: Recurrent(nn.GRU),
        "transformer": Attentive,
    }.items():
        torch.manual_seed(0)
        module = build()
        config = TrainConfig(epochs=8, optimizer="adamw", learning_rate=5e-3)
        fit(module, task_loss(), Training(digits.train, config, 0))
        made[name] = TorchModel(module.eval(), ModelRef(), trace_signature(module, digits))
    return made


def deployed(model, target, scheme, digits, tmp_path, **options):
    """The file of a scheme for a target, as a run makes it."""
    row = find(target)
    for library in row.libraries:
        if importlib.util.find_spec(library.replace("-", "_")) is None:
            pytest.skip(f"needs {library}")
    quantizer, write = QUANTIZERS[row.quantizer_for(scheme)], FORMATS[row.formats[0]].load()
    config = QuantizeConfig(scheme=scheme, calibration_samples=128, **options)
    calibration = Calibration(digits.train, config, 0, model)
    (tmp_path / "plain").mkdir()
    (tmp_path / scheme).mkdir()
    if quantizer.works_on == "module":
        quantized = TorchModel(quantizer.load()(calibration), model.ref, model.signature)
        return write(quantized, tmp_path / scheme)
    return quantizer.load()(write(model, tmp_path / "plain"), tmp_path / scheme, calibration)


def outputs(file, target, inputs, tmp_path):
    runtime = find(target).runtime()
    session = runtime.open(runtime.build(file, tmp_path), 1)
    parts = [session.run({k: v[i : i + 60] for k, v in inputs.items()}) for i in range(0, 360, 60)]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}, session.placement()


@pytest.mark.parametrize(("target", "scheme"), PAIRS)
@pytest.mark.parametrize("network", ["mlp", *(pytest.param(n, marks=pytest.mark.slow) for n in ("lstm", "gru", "transformer"))])
def test_the_deployed_file_computes_the_network_and_is_as_accurate(networks, digits, tmp_path, target, scheme, network):
    model = networks[network]
    try:
        file = deployed(model, target, scheme, digits, tmp_path)
    except TargetUnavailable as lacking:
        if scheme != "bf16":
            raise
        pytest.skip(str(lacking))
    inputs, targets = digits.test.batch(np.arange(360))
    try:
        found, placement = outputs(file, target, inputs, tmp_path)
    except ModelError as lacking:
        # oneDNN has no recurrent kernels in bf16 for CPUs with AVX2 alone
        if scheme != "bf16" or "here: could not create a primitive" not in str(lacking):
            raise
        pytest.skip(str(lacking))
    assert placement.accelerated
    config = QuantizeConfig(scheme=scheme)
    yardstick = rounded(model, config) if rounds_weights(config) else model.module
    with torch.no_grad():
        expected = {"output": yardstick(torch.from_numpy(inputs["image"])).numpy()}
    record = evaluate([Case("real", True, expected, found)], SCHEMES.get(scheme, QUANTIZED), "", True)
    assert record.passed, record.first_bad
    plain = (predict(model.module, digits.test)[:360].argmax(1) == targets).mean()
    assert (found["output"].argmax(1) == targets).mean() >= plain - 0.02
    assert file.signature in (model.signature, fixed(model.signature))


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-weights", "int4-weights", "fp16"])
def test_files_for_onnxruntime_shrink_and_say_how(networks, digits, tmp_path, scheme):
    file = deployed(networks["transformer"], "onnxruntime-cpu", scheme, digits, tmp_path)
    weights = sum(w.numel() for w in networks["transformer"].module.parameters())
    stored = sum(len(i.raw_data) for i in onnx.load(file.path).graph.initializer)
    assert stored < {"int4-weights": 0.45, "fp16": 0.55}.get(scheme, 0.5) * 4 * weights
    assert file.precision == scheme
    assert "fp16 as stored" in file.notes[-1] if scheme == "fp16" else "6 of 6 layers" in " ".join(file.notes)


@pytest.mark.parametrize(("scheme", "bits"), [("int8-weights", 8), ("int4-weights", 4)])
@pytest.mark.parametrize("block", [16, 64])
def test_blocks_are_rounded_as_onnxruntime_rounds_them(networks, digits, tmp_path, scheme, bits, block):
    file = deployed(networks["mlp"], "onnxruntime-cpu", scheme, digits, tmp_path, block_size=block)
    graph = onnx.load(file.path).graph
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    nodes = [n for n in graph.node if n.op_type == "MatMulNBits"]
    weights = [m.weight.detach() for m in networks["mlp"].module.modules() if isinstance(m, nn.Linear)]
    assert len(nodes) == len(weights)
    for node, weight in zip(nodes, weights, strict=True):
        assert {a.name: a.i for a in node.attribute}["block_size"] == block
        packed, scales = constants[node.input[1]], constants[node.input[2]]
        levels = packed if bits == 8 else np.stack([packed & 15, packed >> 4], -1)
        rows = len(weight)
        made = (levels.reshape(rows, -1, block).astype(np.float32) - 2 ** (bits - 1)) * scales.reshape(rows, -1, 1)
        wanted = blockwise(weight, bits, block).numpy()
        made = made.reshape(rows, -1)[:, : weight.shape[1]]
        steps = np.abs(scales).reshape(rows, -1, 1).repeat(block, 2).reshape(rows, -1)[:, : weight.shape[1]]
        # half way between two levels either is right: which one it is hangs on how a processor divides
        half_way = np.abs(np.abs(weight.numpy() / steps) % 1 - 0.5) < 1e-4
        np.testing.assert_allclose(made[~half_way], wanted[~half_way], atol=1e-6)
        assert half_way.mean() < 0.01
        assert (np.abs(made - wanted) <= steps + 1e-6).all()


@pytest.mark.parametrize(
    ("target", "scheme", "count"),
    [("onnxruntime-cpu", s, 2) for s in ("int8-dynamic", "int4-weights")] + [("torchscript-cpu", "int8-dynamic", 2)],
)
def test_layers_to_keep_stay_float(networks, digits, tmp_path, target, scheme, count):
    file = deployed(networks["mlp"], target, scheme, digits, tmp_path, keep_float=("head",))
    _, placement = outputs(file, target, digits.test.batch(np.arange(360))[0], tmp_path)
    ran = {**placement.accelerated, **placement.fallback}
    integer = ("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits", "quantized::linear_dynamic")
    assert sum(n for name, n in ran.items() if name.startswith(integer)) == count
    assert sum(n for name, n in ran.items() if name in ("MatMul", "Gemm", "aten::linear", "aten::addmm", "aten::matmul")) == 1


def test_fp16_keeps_named_layers_in_float32(networks, digits, tmp_path):
    file = deployed(networks["mlp"], "onnxruntime-cpu", "fp16", digits, tmp_path, keep_float=("head",))
    kinds = {i.data_type for i in onnx.load(file.path).graph.initializer if len(i.dims) > 1}
    assert kinds == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}


def test_a_layer_that_is_not_there_is_refused_with_the_nearest(networks, digits, tmp_path):
    with pytest.raises(RequestError, match=r"no layer 'haed' with a weight.*'head'") as caught:
        deployed(networks["mlp"], "onnxruntime-cpu", "int8-dynamic", digits, tmp_path, keep_float=("haed",))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("target", "scheme"), [p for p in PAIRS if p.values[1] not in ("fp16", "bf16")])
def test_a_network_without_such_layers_is_refused_not_passed_off(digits, tiny_b, tmp_path, target, scheme):
    module = nn.Sequential(nn.Conv2d(1, 10, 8), nn.ReLU(), nn.Flatten())
    model = TorchModel(module.eval(), ModelRef(), trace_signature(module, digits))
    with pytest.raises(ModelError, match="found no linear layer"):
        deployed(model, target, scheme, digits, tmp_path)


def test_every_scheme_runs_somewhere():
    assert all(running(s) for s in ("int8", "int8-dynamic", "int8-weights", "int4-weights", "fp16", "bf16"))
    assert "torchscript-cpu" in running("bf16")
    assert "onnxruntime-cpu" not in running("bf16")
    assert find("torch-cpu").quantizer_for("int8") is None
