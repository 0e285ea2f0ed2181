"""Which operators multiply nothing that counts: moves, norms, activations, poolings, embeddings, sums."""

import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch._ops import HigherOrderOperator, OpOverload

_CHANGES = ("pointwise", "view_copy", "reduction")
"""Tags of PyTorch for operators that go element by element, that only move numbers, and that sum them up."""

_HEAVY = re.compile(
    r"(mm|mv|matmul|attention|rnn|lstm|gru)$"
    r"|^(conv(?!ert)|linalg|linear|fft|trilinear|cdist|pdist|euclidean|cholesky|transformer|triangular|spsolve|mm)"
    r"|^(addr|v?dot|lu|qr|svd|geqrf|ormqr|matmul)$"
)
"""Parts of the names of PyTorch's operators that multiply more than element by element."""

_NOT_HEAVY = frozenset({"aten.linalg_cross", "aten.lu_unpack", "aten.upsample_linear1d", "aten._thnn_fused_lstm_cell",
                        "aten._thnn_fused_gru_cell", "aten.mkldnn_reorder_conv2d_weight", "aten.mkldnn_reorder_conv3d_weight",
                        "aten._cudnn_rnn_flatten_weight"})  # fmt: skip
"""Whose names only sound so: what they do goes element by element, or moves numbers."""

_OURS = frozenset({"aten", "prims", "prim", "quantized_decomposed", "torchvision", "profiler", "inductor_prims", "rngprims"})
"""Whose operators can be told by their names; nobody knows what another's do."""


def may_multiply(operator: "OpOverload[..., object] | HigherOrderOperator") -> bool:
    """Whether an operator without a formula may multiply what should be counted."""
    tags = getattr(operator, "tags", ())
    if any(getattr(torch.Tag, name, None) in tags for name in _CHANGES) or getattr(operator, "is_view", False):
        return False
    name = name_of(operator)
    package, _, short = name.partition(".")
    if package not in _OURS:
        return True
    return name not in _NOT_HEAVY and any(_HEAVY.search(part) for part in short.split("_") if part)


def name_of(operator: "OpOverload[..., object] | HigherOrderOperator") -> str:
    """Such as `aten.addmm`: without the overload, and without the underscore of those that write in place."""
    packet = getattr(operator, "overloadpacket", None)
    return str(packet).rstrip("_") if packet is not None else str(operator.name())  # type: ignore[no-untyped-call]
