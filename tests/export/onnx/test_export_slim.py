"""ONNX files hold what is computed and nothing else: no dead weights, no copies, nothing that could be computed beforehand."""

import onnx
import pytest
import torch
from torch import nn

from export.onnx.export import export as export_onnx
from export.onnx.graph import graphs, nodes
from zoo.mobilenet import mobilenet
from zoo.resnet import resnet


class Transformer(nn.Module):
    """A learned position, PyTorch's own encoder layer, a mean and a head."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 5, 16))
        self.layer, self.head = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.layer(x + self.position).mean(1))


class Attention(nn.Module):
    """Attention as it is written by hand: shapes read from the input, one product for queries, keys and values."""

    def __init__(self):
        super().__init__()
        self.all, self.out, self.norm, self.head = nn.Linear(16, 48), nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x):
        batch, time, width = x.shape
        q, k, v = self.all(self.norm(x)).reshape(batch, time, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.head((x + self.out(y.transpose(1, 2).reshape(batch, time, width)))[:, 0])


MODELS = {
    "resnet": (lambda: resnet(depth=8, width=8, classes=10, channels=3), (3, 16, 16)),
    "mobilenet": (lambda: mobilenet(width=8), (3, 16, 16)),
    "transformer": (Transformer, (5, 16)),
    "attention": (Attention, (5, 16)),
}


@pytest.fixture(params=MODELS)
def proto(request, wrap, tmp_path):
    """An exported network."""
    build, shape = MODELS[request.param]
    return request.param, onnx.load(export_onnx(wrap(build(), {"x": shape}), tmp_path).path)


def test_nothing_is_dead_copied_or_could_be_computed_beforehand(proto):
    _, model = proto
    every = list(nodes(model.graph.node))
    constants = {weight.name for graph in graphs(model.graph) for weight in graph.initializer}
    used = {name for node in every for name in node.input} | {o.name for g in graphs(model.graph) for o in g.output}
    assert not constants - used
    assert not [node.op_type for node in every if not set(node.output) & used]
    assert not [node.op_type for node in every if node.op_type in ("Identity", "Constant", "Dropout")]
    assert not [node.op_type for node in every if node.input and constants.issuperset(filter(None, node.input))]
    assert not [node.op_type for node in every if node.domain]
    assert not model.functions
