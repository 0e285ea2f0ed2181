"""What a network weighs is counted on the network."""

import numpy as np
import pytest
from torch import nn

from compress.counting import cost_of, count, parameters, prunable, size

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
