"""The folded graph computes what the model computes, and folds only what may be folded."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from artifacts.errors import ModelError
from compress.fold import fold, is_layer


def norms(graph) -> int:
    return sum("batch_norm" in str(n.target) for n in graph.graph.nodes)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.second(self.conv(self.first(self.conv(x))))


class Tied(Shared):
    def __init__(self):
        super().__init__()
        self.other = nn.Conv2d(3, 3, 3, padding=1)
        self.other.weight = self.conv.weight

    def forward(self, x):
        return self.second(self.other(self.first(self.conv(x))))


class Functional(nn.Module):
    """Weights that are not held by a layer, and a bias that two convolutions use."""

    def __init__(self):
        super().__init__()
        self.kernel, self.weight = nn.Parameter(torch.randn(4, 3, 3, 3)), nn.Parameter(torch.randn(4, 3, 3, 3))
        self.bias, self.norm, self.again = nn.Parameter(torch.randn(4)), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x):
        left = self.norm(F.conv2d(x, self.kernel, self.bias))
        return left + self.again(F.conv2d(x, self.weight)) + F.conv2d(x, self.weight.flip(0), self.bias)


class LinearOverTime(nn.Module):
    """The norm's channels are the steps, not the features; here there are as many."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)

    def forward(self, x):
        return self.norm(self.linear(x[:, 0]))


class Used(nn.Module):
    """The convolution's own result is needed too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return y + self.norm(y)


CASES = {
    "conv-norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()), 0),
    "conv-with-bias": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4)), 0),
    "norm-without-affine": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 0),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)), 0),
    "linear-norm": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.BatchNorm1d(5)), 0),
    "conv-without-norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 0),
    "norm-first": (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 1),
    "two-norms": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)), 0),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)), 1),
    "batch-statistics": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), 1),
    "shared-conv": (Shared, 2),
    "tied-weights": (Tied, 2),
    "used-twice": (Used, 1),
    "linear-over-time": (LinearOverTime, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_folded_graph_equals_the_model(wrap, name):
    make, left = CASES[name]
    torch.manual_seed(1)
    model = wrap(make())
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    graph = fold(model.module, model.signature)
    for batch in (1, 2, 7):
        x = torch.randn(batch, 3, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(graph(x), model.module(x), rtol=1e-4, atol=1e-5)
    assert norms(graph) == left
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())


def test_weights_that_no_layer_holds_are_folded_rightly(wrap):
    torch.manual_seed(1)
    model = wrap(Functional())
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(fold(model.module, model.signature)(x), model.module(x), rtol=1e-4, atol=1e-4)


def test_the_trained_network_folds_every_norm(tiny, examples):
    graph = fold(tiny.module, tiny.signature)
    assert norms(graph) == 0
    assert sum(map(is_layer, graph.graph.nodes)) == 10
    with torch.no_grad():
        torch.testing.assert_close(graph(examples), tiny.module(examples), rtol=1e-4, atol=1e-4)


def test_a_folded_graph_folds_to_itself(tiny, examples):
    graph = fold(tiny.module, tiny.signature)
    again = fold(graph, tiny.signature)
    assert again is not graph
    with torch.no_grad():
        assert torch.equal(again(examples), graph(examples))


def test_a_model_in_training_mode_is_folded_in_eval_and_left_training(wrap):
    model = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9)))
    model.module.train()
    graph = fold(model.module, model.signature)
    assert model.module.training
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(graph(x), model.module.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "forward", [lambda x: x if x.sum() > 0 else -x, lambda x: x.reshape(2, -1), lambda x: x[: int(x.max())]]
)
def test_what_cannot_be_traced_is_one_sentence(wrap, forward):
    class Odd(nn.Module):
        def forward(self, x):
            return forward(x)

    model = wrap(Odd())
    with pytest.raises(ModelError, match=r"torch\.export cannot trace the model") as caught:
        fold(model.module, model.signature)
    assert "\n" not in str(caught.value)
