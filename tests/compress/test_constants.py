"""What is computed from weights alone is computed once, and nothing else is."""

import torch
from torch import nn

from compress.constants import fold_constants


class Sliced(nn.Module):
    def __init__(self):
        super().__init__()
        self.packed, self.scale = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(3, 1))
        self.other = nn.Linear(3, 2)

    def forward(self, x):
        first, second = self.packed.chunk(2)
        return self.other(nn.functional.linear(x, first * self.scale)) + second.sum() + torch.rand(1) * 0


def exported(network, x):
    return torch.export.export(network.eval(), (x,)).module()


def test_slices_and_products_of_weights_become_weights():
    x = torch.randn(5, 4)
    network = Sliced()
    graph = exported(network, x)
    assert fold_constants(graph) == 2
    assert torch.allclose(graph(x), network(x), atol=1e-6)
    told = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert not any("chunk" in name for name in told)
    assert any("rand" in name for name in told), "what is random stays"
    assert "other.weight" in {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}


def test_weight_norm_leaves_a_plain_layer():
    x = torch.randn(5, 4)
    network = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    graph = exported(network, x)
    assert fold_constants(graph) == 1
    (layer,) = [node for node in graph.graph.nodes if "linear" in str(node.target)]
    assert layer.args[1].op == "get_attr"
    assert torch.allclose(graph(x), network(x), atol=1e-6)


def test_a_constant_that_would_be_much_larger_is_left():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.row = nn.Parameter(torch.randn(1, 4))

        def forward(self, x):
            return x + self.row.expand(100, 4)

    graph = exported(Wide(), torch.randn(100, 4))
    assert fold_constants(graph) == 0
