"""What a network weighs is counted on the network."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.counting import cost_of, count, macs, parameters, prunable, size

EXAMPLE = {"x": np.zeros((2, 3, 8, 8), np.float32)}


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 10))


@pytest.mark.parametrize("metric", ["macs", "parameters", "bytes"])
def test_a_goal_is_measured_by_the_figure_that_is_reported(network, metric):
    assert cost_of(metric, EXAMPLE)(network) == count(network, EXAMPLE)[metric] > 0


def test_bytes_count_what_is_stored_with_the_weights(network):
    assert parameters(network) == 216 + 16 + 2890
    assert size(network) == 4 * (parameters(network) + 16) + 8  # running statistics, and a whole number of 8 bytes
    assert size(network.half()) == 2 * (parameters(network) + 16) + 8


def test_a_weight_that_layers_share_is_counted_once():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    network = nn.Sequential(first, second)
    assert list(prunable(network)) == ["0.weight"]
    assert parameters(network) == 24


class Flow(nn.Module):
    """A branch whose sides cost differently, or loops of a layer, on what the example holds."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.layer, self.wide = kind, nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 60), nn.Linear(60, 6))

    def forward(self, x):
        from torch._higher_order_ops import while_loop
        from torch._higher_order_ops.scan import scan

        if self.kind == "cond":
            return torch.cond(x.sum() > 0, lambda x: self.layer(x), lambda x: self.wide(x), (x,))
        if self.kind == "while_loop":
            start = torch.zeros((), dtype=torch.int64)
            return while_loop(lambda at, x: at < 3, lambda at, x: (at + 1, self.layer(x)), (start, x))[1]
        rows = x.unsqueeze(1).repeat(1, 5, 1)
        step = lambda state, now: (self.layer(state) + now, now * 2)  # noqa: E731
        return scan(step, x.new_zeros(x.shape[0], 6), rows, dim=1)[0]


@pytest.mark.parametrize(
    ("kind", "sign", "expected"), [("cond", 1, 36), ("cond", -1, 720), ("while_loop", 1, 3 * 36), ("scan", 1, 5 * 36)]
)
def test_of_a_branch_or_a_loop_the_path_that_the_example_takes_is_counted(kind, sign, expected):
    from benchmarks.roofline.work import work_of

    network = Flow(kind)
    example = {"x": np.full((1, 6), sign, np.float32)}
    assert macs(network, example) == expected
    work = work_of(network, example)
    assert work.macs == expected
    assert not work.uncounted
    assert work.weights == (42 if expected != 720 else 60 * 6 * 2 + 66)
    with torch.no_grad():
        network(torch.ones(3, 6))  # what was compiled under the counter must not be met again
