"""Control flow in ONNX files: branches and loops on data become `If`, `Loop` and `Scan`, and compute the same on every path."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature
from artifacts.types import Engine
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.onnx.export import export as export_onnx
from export.onnx.graph import graphs, nodes
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.splits import ArraySplit

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Branch(nn.Module):
    """A convolution with a norm before the branch, another inside one of its sides, and a pool inside the other."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.bright = nn.Sequential(nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5))
        self.dark = nn.Conv2d(4, 5, 1)

    def forward(self, x):
        y = self.norm(self.conv(x))
        return torch.cond(
            x.mean() > 0,
            lambda y: self.bright(y).mean((2, 3), keepdim=True).flatten(1),
            lambda y: self.dark(y).relu().amax((2, 3)),
            (y,),
        )


class Nested(nn.Module):
    """A branch inside a branch, both of which read one large weight."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(32, 32)

    def forward(self, x):
        def inner(x):
            return torch.cond(x.mean() > 2, lambda x: self.wide(x), lambda x: self.wide(x) * 2, (x,))

        return torch.cond(x.mean() > 0, inner, lambda x: x - self.wide(x), (x,))


class WhileLoop(nn.Module):
    """At most five steps, fewer where a value grows too large."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(6, 6)

    def forward(self, x):
        from torch._higher_order_ops import while_loop

        def more(count, y):
            return (count < 5) & (y.abs().max() < 3)

        def body(count, y):
            return count + 1, self.step(y) * 3

        return while_loop(more, body, (torch.zeros((), dtype=torch.int64), x))[1]


class ScanLoop(nn.Module):
    """A recurrent network over the second axis."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(6, 6)

    def forward(self, x):
        from torch._higher_order_ops.scan import scan

        def body(state, now):
            state = torch.tanh(self.step(state) + now)
            return state, state.clone()

        return scan(body, x.new_zeros(x.shape[0], 6), x, dim=1)[0]


class FixedLoop(nn.Module):
    """A Python loop over a fixed count."""

    def __init__(self):
        super().__init__()
        self.step = nn.Linear(6, 6)

    def forward(self, x):
        for _ in range(4):
            x = torch.tanh(self.step(x))
        return x


CASES = {
    "cond": (Branch, (3, 8, 8), "If"),
    "nested cond": (Nested, (32,), "If"),
    "while_loop": (WhileLoop, (6,), "Loop"),
    "scan": (ScanLoop, (5, 6), "Scan"),
    "fixed loop": (FixedLoop, (6,), None),
}


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory):
    """A module of each kind, its file, the shape of an example, and the operator that its control flow becomes."""
    from artifacts.specs import Signature, TensorSpec
    from artifacts.types import ModelRef, TorchModel

    torch.manual_seed(0)
    kind, shape, operator = CASES[request.param]
    module = kind().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 1.5)
    signature = Signature((TensorSpec("x", "float32", ("batch", *shape)),), (TensorSpec("output", "float32", ("batch",)),))
    file = export_onnx(TorchModel(module, ModelRef(), signature), tmp_path_factory.mktemp("file"))
    return module, file, shape, operator


def test_every_path_computes_the_same_at_every_batch_size(exported):
    module, file, shape, _ = exported
    opened, made = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1), []
    for batch in (1, 2, 7):
        for offset in (-3.0, 1.0, 3.0):
            x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch)) + offset
            with torch.no_grad():
                wanted = module(x).numpy()
            np.testing.assert_allclose(opened.run({"x": x.numpy()})["output"], wanted, rtol=1e-3, atol=1e-4)
            made.append(wanted)
    assert all(np.isfinite(value).all() for value in made)


def test_it_is_the_operator_and_not_one_path_baked_in(exported):
    _, file, _, operator = exported
    kinds = {node.op_type for node in nodes(onnx.load(file.path).graph.node)}
    assert kinds & {"If", "Loop", "Scan"} == ({operator} if operator else set())


def test_nothing_of_this_machine_is_in_the_inner_graphs(exported, private_words):
    _, file, _, _ = exported
    raw = file.path.read_bytes()
    assert not [word for word in private_words if word in raw]
    inner = [item for graph in graphs(onnx.load(file.path).graph) for item in (graph, *graph.node, *graph.value_info)]
    assert not any(item.doc_string or item.metadata_props for item in inner)


def test_a_weight_that_both_sides_of_a_branch_read_is_written_once(wrap, tmp_path):
    file = export_onnx(wrap(Nested(), {"x": (32,)}), tmp_path)
    stored = [i for graph in graphs(onnx.load(file.path).graph) for i in graph.initializer]
    assert sum(list(i.dims) == [32, 32] for i in stored) == 1


class Flow(nn.Module):
    """A module of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def each(x):
    from torch._higher_order_ops.map import map as map_rows

    return map_rows(lambda row: row + 1, x)


REFUSED = {
    "a branch in Python": (lambda x: x * 2 if x.sum() > 0 else -x, "decides in Python .* torch.cond"),
    "sides of two shapes": (
        lambda x: torch.cond(x.sum() > 0, lambda x: x.mean(1), lambda x: -x, (x,)), "same dim but got 1 and 2",
    ),
    "a side that gives back its input": (
        lambda x: torch.cond(x.sum() > 0, lambda x: x.clone(), lambda x: x, (x,)), "torch.cond cannot be used so: .*clone",
    ),
    "a loop that the exporter lacks": (each, "lacks the control flow 'map'; .* while_loop or scan"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_file_is_refused_with_the_way_out(wrap, tmp_path, kind):
    function, words = REFUSED[kind]
    with pytest.raises(ModelError, match=words) as caught:
        export_onnx(wrap(Flow(function), {"x": (6,)}), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_leaves_what_is_in_a_branch_in_float_and_takes_the_rest(wrap, tmp_path):
    model = wrap(Branch())
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(sign, 1, (32, 3, 8, 8)) for sign in (1, -1)]).astype(np.float32)
    split = ArraySplit({"x": x}, np.zeros(64, np.int64))
    (tmp_path / "int8").mkdir()
    calibration = Calibration(split, QuantizeConfig(calibration_samples=32), 0, model)
    made = QUANTIZERS["onnx-qdq"].load()(export_onnx(model, tmp_path), tmp_path / "int8", calibration)
    graph = onnx.load(made.path).graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) >= 2
    assert not [node for node in nodes(graph.node) if node not in list(graph.node) and "Quantize" in node.op_type]
    opened = OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", made.path, Signature(())), 1)
    for part in (x[:8], x[-8:]):
        with torch.no_grad():
            wanted = model.module(torch.from_numpy(part)).numpy()
        assert np.sqrt(np.mean((opened.run({"x": part})["output"] - wanted) ** 2)) < 0.1 * wanted.std()
