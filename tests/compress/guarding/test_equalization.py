"""Equalization evens out channel ranges and leaves the function alone; bias correction takes the mean shift off."""

import copy

import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from compress.fakequant import weight_fake_quantize
from compress.fold import fold
from compress.guarding.bias_correction import correct
from compress.guarding.equalization import equalize, layer_name, layers, pairs, parameter
from compress.guarding.refold import refold
from zoo.mobilenet import mobilenet


def spread(module: nn.Module, seed: int = 5) -> nn.Module:
    """The network with weights of very different size from channel to channel."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                factors = 10 ** (3 * torch.rand(len(part.weight), generator=generator) - 1.5)
                part.weight *= factors.view(-1, *[1] * (part.weight.ndim - 1))
    return module


class Residual(nn.Module):
    """The first convolution's result is needed twice, so nothing of it may be scaled."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = torch.relu(self.one(x))
        return self.three(torch.relu(self.two(y)) + y)


class OverChannels(nn.Module):
    """The mean over channels: the next layer then reads columns, of which there are as many."""

    def forward(self, x):
        return x.mean(1)


def relu_chain():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))


def depthwise():
    return nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1, groups=8), nn.LeakyReLU(), nn.Conv2d(16, 4, 1)
    )


def to_linear():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), nn.Linear(6, 2))


CASES = {
    "relu": (relu_chain, [("0", "3"), ("3", "5")]),
    "depthwise": (depthwise, [("0", "2"), ("2", "4")]),
    "pooled-and-linear": (to_linear, [("0", "4"), ("4", "5")]),
    "residual": (Residual, []),
    "sigmoid": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sigmoid(), nn.Conv2d(8, 4, 3)), []),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, groups=2)), []),
}


@pytest.mark.parametrize("name", CASES)
def test_the_function_stays_and_only_what_may_be_paired_is(wrap, name):
    make, expected = CASES[name]
    torch.manual_seed(2)
    model = wrap(spread(make()))
    graph = fold(model.module, model.signature)
    x = torch.randn(9, 3, 8, 8)
    before = {k: v.clone() for k, v in graph.state_dict().items()}
    made = equalize(graph, [x])
    assert list(made.pairs) == expected
    for batch in (x, torch.randn(2, 3, 8, 8)):
        with torch.no_grad():
            wanted = graph(batch)
            assert float((made.graph(batch) - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
    assert all(torch.equal(v, before[k]) for k, v in graph.state_dict().items()), "the graph that came in was changed"


def test_ranges_are_equal_afterwards(wrap):
    torch.manual_seed(2)
    model = wrap(spread(depthwise()))
    made = equalize(fold(model.module, model.signature), [torch.randn(4, 3, 8, 8)])
    for pair in pairs(made.graph):
        first, second = parameter(made.graph, pair.first.args[1]), parameter(made.graph, pair.second.args[1])
        own = first.detach().abs().flatten(1).amax(1)
        depthwise_second = second.shape[1] == 1
        taken = second.detach().reshape(len(own), -1) if depthwise_second else second.detach().transpose(0, 1).flatten(1)
        torch.testing.assert_close(own, taken.abs().amax(1), rtol=0.02, atol=0)


def test_a_relu6_that_nothing_reaches_is_opened_and_one_that_clips_stays(wrap):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        module[0].weight *= torch.tensor([0.01, 0.1, 0.3, 0.5]).view(-1, 1, 1, 1)
        module[2].bias[0] = 7.0
    model = wrap(module)
    graph, x = fold(model.module, model.signature), torch.randn(50, 3, 8, 8)
    made = equalize(graph, [x])
    assert len(made.opened) == 1
    kinds = [str(n.target).split(".")[1] for n in made.graph.graph.nodes if n.op == "call_function"]
    assert kinds == ["conv2d", "relu", "conv2d", "hardtanh", "conv2d"]
    with torch.no_grad():
        torch.testing.assert_close(made.graph(x), graph(x), rtol=1e-4, atol=1e-5)


def test_a_mixture_between_two_layers_is_refused_in_one_sentence(wrap):
    torch.manual_seed(2)
    model = wrap(spread(nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), OverChannels(), nn.Linear(8, 4))))
    with pytest.raises(ModelError, match="equalization changed output 'output' by") as caught:
        equalize(fold(model.module, model.signature), [torch.randn(4, 3, 8, 8)])
    assert "\n" not in str(caught.value)


def test_an_equalized_mobilenet_goes_back_into_its_modules(wrap):
    torch.manual_seed(1)
    model = wrap(mobilenet(width=4, activation="relu", channel_spread=100.0), (3, 16, 16))
    x = torch.randn(8, 3, 16, 16)
    made = equalize(fold(model.module, model.signature), [x])
    assert len(made.pairs) >= 13
    module = refold(model.module, made.graph, [x])
    assert not any(isinstance(m, nn.BatchNorm2d) for m in module.modules())
    with torch.no_grad():
        wanted = model.module(x)
        assert float((module(x) - wanted).abs().max()) <= 1e-3 * float(wanted.std())


def test_weights_that_modules_cannot_hold_are_refused(wrap):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Parameter(torch.randn(3, 3, 1, 1))

        def forward(self, x):
            return torch.nn.functional.conv2d(torch.relu(self.norm(self.conv(x))), self.other)

    model = wrap(Twice())
    graph = fold(model.module, model.signature)
    with pytest.raises(ModelError, match="the top"):
        refold(model.module, graph, [torch.randn(2, 3, 8, 8)])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mean_of_every_layer_is_what_it_was_in_float(wrap, per_channel, bias):
    torch.manual_seed(4)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=bias), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, bias=bias), nn.Flatten(1), nn.Linear(128, 5)
    )
    model = wrap(spread(module))
    graph, x = fold(model.module, model.signature), torch.rand(64, 3, 8, 8)
    corrected = correct(graph, [x], per_channel=per_channel, bits=4)
    rounded = [rounding(g, per_channel) for g in (graph, corrected)]
    with torch.no_grad():
        wanted = graph(x).mean(0)
        before, after = ((r(x).mean(0) - wanted).abs().max() for r in rounded)
    assert float(after) < 1e-4 * float(wanted.abs().max())
    assert float(before) > 10 * float(after)
    weights = [k for k, v in graph.state_dict().items() if v.ndim > 1]
    assert all(torch.equal(corrected.state_dict()[k], graph.state_dict()[k]) for k in weights)


def rounding(graph, per_channel):
    """The graph with its weights on a grid of 4 bits."""
    made = copy.deepcopy(graph)
    with torch.no_grad():
        for node in layers(made):
            weight = parameter(made, node.args[1])
            weight.copy_(weight_fake_quantize(weight, 7, per_channel))
    return made


def test_layers_are_named_as_their_modules(wrap):
    model = wrap(mobilenet(width=4), (3, 16, 16))
    names = [layer_name(n) for n in layers(fold(model.module, model.signature))]
    assert len(names) == 23
    assert all(isinstance(model.module.get_submodule(n), nn.Conv2d | nn.Linear) for n in names)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"width": 0}, "must be at least 1"),
        ({"activation": "gelu"}, "'gelu' is unknown; known: relu6, relu"),
        ({"channel_spread": 30.0}, "needs activation: relu"),
        ({"channel_spread": 0.5, "activation": "relu"}, "must be at least 1 and finite"),
    ],
)
def test_a_mobilenet_that_cannot_be_is_refused(options, why):
    with pytest.raises(ModelError, match=why):
        mobilenet(**options)
