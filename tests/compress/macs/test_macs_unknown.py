"""What may multiply and nobody knows is named; what multiplies nothing is not."""

import numpy as np
import pytest
import torch
from torch import nn

import tightship as ts
from benchmarks.roofline.work import work_of
from compress.counting import count_all
from compress.macs.light import may_multiply
from tightship.pipeline.inspect_layers import layers_of_module

EXAMPLE = {"x": np.ones((1, 4, 4), np.float32)}


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.layer = function, nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.function(x))


@torch.library.custom_op("counts::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x @ x


@torch.library.custom_op("counts::doubled", mutates_args=(), tags=(torch.Tag.pointwise,))
def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: torch.fft.rfft(x).real[..., :1].expand(-1, -1, 4), "aten._fft_r2c"),
        (lambda x: torch.linalg.inv(x + torch.eye(4)), "aten.linalg_inv_ex"),
        (lambda x: torch.cdist(x, x), "aten._cdist_forward"),
        (lambda x: torch.sparse.mm(x[0].to_sparse(), x[0])[None], "aten._sparse_addmm"),
        (lambda x: twice(x), "counts.twice"),  # the object itself cannot be copied
    ],
    ids=["fourier", "inverse", "distances", "sparse", "own"],
)
def test_an_operator_that_nobody_knows_is_named_everywhere(function, name):
    network = Of(function)
    figures, uncounted = count_all(network, EXAMPLE)
    work = work_of(network, EXAMPLE)
    assert (figures["macs"], uncounted) == (64, (name,))
    assert (work.macs, work.uncounted) == (64, (name,))
    rows, _ = layers_of_module(network, EXAMPLE)
    assert [(row["name"], row["macs"], row["uncounted"]) for row in rows] == [("(itself)", None, [name]), ("layer", 64, [])]
    layers = ts.inspect(network, torch.ones(1, 4, 4))
    assert (layers.total("macs"), layers.uncounted) == (64, (name,))


@pytest.mark.parametrize(
    "function",
    [
        doubled, torch.sort, torch.cumsum, torch.roll, torch.tril, torch.topk, torch.prod, torch.flip, torch.argmax,
        lambda x, *_: torch.linalg.vector_norm(x), lambda x, *_: torch.linalg.cross(x[..., :3], x[..., :3]),
        lambda x, *_: torch.randn_like(x), lambda x, *_: x[:, torch.tensor([0])], lambda x, *_: torch.where(x > 0, x, 0),
    ],
    ids=["own", "sort", "cumsum", "roll", "tril", "topk", "prod", "flip", "argmax", "norm", "cross", "random", "index",
         "where"],
)  # fmt: skip
def test_what_only_moves_sums_or_goes_element_by_element_is_not_named(function):
    class Net(nn.Module):
        def forward(self, x):
            return function(x, *([2] if function is torch.topk else [1] if function in (torch.cumsum, torch.roll) else
                                 [[1]] if function is torch.flip else []))  # fmt: skip

    assert count_all(Net(), EXAMPLE) == ({"parameters": 0, "macs": 0, "bytes": 0, "sparsity": 0}, ())


def test_a_formula_that_is_entered_with_pytorch_is_used():
    from torch.utils.flop_counter import flop_registry, register_flop_formula

    register_flop_formula(torch.ops.counts.twice)(lambda x, out_shape=None, **_: 2 * 4 * 4 * 4)
    try:
        assert count_all(Of(lambda x: twice(x)), EXAMPLE)[0]["macs"] == 64 + 64
    finally:
        del flop_registry[torch.ops.counts.twice]


def test_names_that_only_sound_like_products_are_light():
    aten = torch.ops.aten
    light = (aten._prelu_kernel, aten.upsample_linear1d, aten.lu_unpack, aten._weight_norm_interface, aten.native_group_norm)
    assert not any(may_multiply(getattr(packet, packet.overloads()[0])) for packet in light)
    heavy = (aten.linalg_lu_solve, aten._fft_c2c, aten.hspmm, aten.quantized_gru, aten.linalg_matrix_exp, aten._linalg_svd)
    assert all(may_multiply(getattr(packet, packet.overloads()[0])) for packet in heavy)


def test_a_share_of_macs_that_nobody_knows_cannot_be_kept():
    class Fourier(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, x):
            return torch.fft.rfft(x * self.scale).real.sum(1)

    with pytest.raises(ts.ModelError, match=r"no MACs .* \(aten._fft_r2c: unknown\)"):
        ts.prune(Fourier(), torch.ones(2, 4, 4), macs=0.5)
