"""Inverted residuals: depthwise layers follow the channels that feed them, and the cut network exports and runs."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Cut, ModelRef, TorchModel
from compress.counting import count
from compress.pruning.groups import check_cuts
from compress.pruning.structured import Group, cut_to, cuttable, widths, with_cuts
from export.registry import FORMATS

EXAMPLE = {"x": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)}


class Inverted(nn.Module):
    """Expand, filter each channel by itself, project: MobileNetV2's block."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False)
        self.project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n) for n in (hidden, hidden, outputs)])

    def forward(self, x):
        y = nn.functional.relu6(self.norms[0](self.expand(x)))
        y = nn.functional.relu6(self.norms[1](self.depthwise(y)))
        y = self.norms[2](self.project(y))
        return x + y if self.residual else y


class Mobile(nn.Module):
    """A stem, three inverted residuals, a head."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Inverted(8, 12, 2, 4), Inverted(12, 12, 1, 4), Inverted(12, 16, 2, 4))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.blocks(nn.functional.relu6(self.norm(self.stem(x)))).mean((2, 3)))


@pytest.fixture
def mobile():
    torch.manual_seed(0)
    module = Mobile()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias, 0.3, 0.3)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return TorchModel(module.eval(), ModelRef(), Signature((TensorSpec("x", "float32", ("batch", 3, 8, 8)),)))


def ranked(model):
    """Groups with scores that are a fixed draw."""
    layers, _ = cuttable(model, EXAMPLE)
    draw = np.random.default_rng(1)
    return [Group(layer, draw.random(widths(model.module)[layer])) for layer in layers]


def test_expansions_are_cut_and_depthwise_layers_stay_depthwise(mobile):
    _, refused = cuttable(mobile, EXAMPLE)
    assert set(refused) == {"head"}
    goal = 0.5 * count(mobile.module, EXAMPLE)["macs"]
    made = cut_to(mobile, ranked(mobile), goal, 4, EXAMPLE)
    assert count(made.module, EXAMPLE)["macs"] <= goal
    for old, new in zip(mobile.module.blocks, made.module.blocks, strict=True):
        hidden = new.expand.out_channels
        assert hidden < old.expand.out_channels
        assert hidden % 4 == 0
        assert new.depthwise.groups == new.depthwise.in_channels == new.depthwise.out_channels == hidden
        assert new.depthwise.weight.shape == (hidden, 1, 3, 3)
        assert new.project.in_channels == new.norms[0].num_features == new.norms[1].num_features == hidden


def test_the_cut_network_exports_and_computes_the_same_there(mobile, tmp_path):
    made = cut_to(mobile, ranked(mobile), 0.5 * count(mobile.module, EXAMPLE)["macs"], 4, EXAMPLE)
    exported = FORMATS["onnx"].load()(made, tmp_path)
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = made.module(torch.from_numpy(EXAMPLE["x"])).numpy()
    np.testing.assert_allclose(session.run(None, {session.get_inputs()[0].name: EXAMPLE["x"]})[0], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("metric", ["macs", "parameters", "bytes"])
@pytest.mark.parametrize("share", [0.8, 0.4])
def test_each_goal_is_met_as_measured_on_the_result_and_not_by_much_more(mobile, metric, share):
    goal = share * count(mobile.module, EXAMPLE)[metric]
    made = cut_to(mobile, ranked(mobile), goal, 1, EXAMPLE, metric=metric)
    found = count(made.module, EXAMPLE)[metric]
    assert 0.93 * goal < found <= goal


def test_any_cost_can_be_searched_for(mobile):
    asked = []

    def cost(module):
        asked.append(module)
        return float(sum(b.expand.out_channels for b in module.blocks))

    made = cut_to(mobile, ranked(mobile), 64.0, 4, EXAMPLE, cost, "latency")
    assert sum(b.expand.out_channels for b in made.module.blocks) == 64
    assert all(module is not mobile.module for module in asked)
    with pytest.raises(ModelError, match=r"cannot reach 0\.5 ms: .* 12 are left; raise 'latency'"):
        cut_to(mobile, ranked(mobile), 0.5, 4, EXAMPLE, cost, "latency")


def test_a_network_that_is_not_the_silenced_one_is_caught_after_the_step(mobile):
    cuts = [Cut("blocks.0.depthwise", True, (1, 2)), Cut("blocks.1.depthwise", True, (0, 5, 7))]
    made = with_cuts(mobile, cuts, EXAMPLE)
    check_cuts(mobile.module, made.module, cuts, EXAMPLE)
    with torch.no_grad():
        made.module.blocks[1].project.weight[:, [0, 1]] = made.module.blocks[1].project.weight[:, [1, 0]]
    with pytest.raises(ModelError, match=r"not the network with those channels silent .*blocks\.0\.depthwise"):
        check_cuts(mobile.module, made.module, cuts, EXAMPLE)


def test_every_step_of_a_search_is_checked(mobile, monkeypatch):
    import compress.pruning.structured as structured

    seen = []
    monkeypatch.setattr(structured, "check_cuts", lambda before, after, cuts, example: seen.append((before, after, cuts)))
    made = cut_to(mobile, ranked(mobile), 0.5 * count(mobile.module, EXAMPLE)["macs"], 4, EXAMPLE)
    assert [(before is mobile.module, after is made.module, tuple(cuts)) for before, after, cuts in seen] == [
        (True, True, made.edits)
    ]


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        ((nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 4, 1)), "convolution of one input channel a group '2'"),
        ((nn.ConvTranspose2d(8, 8, 3, groups=2), nn.Conv2d(8, 4, 1)), "grouped transposed convolution '2'"),
    ],
)
def test_a_grouped_layer_that_cannot_be_cut_is_named_with_what_it_is_tied_to(layers, kind):
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), *layers, nn.ReLU(), nn.Conv2d(4, 4, 1))
    model = TorchModel(module.eval(), ModelRef(), Signature((TensorSpec("x", "float32", ("batch", 3, 8, 8)),)))
    good, refused = cuttable(model, EXAMPLE)
    assert kind in refused["0"]
    assert "3" in good
    assert refused["5"] == "it makes the model's output"
