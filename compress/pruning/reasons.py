"""Why channels stay, in words: what of the network's code or layers holds them, and what would let them go."""

from collections.abc import Mapping

import torch_pruning as tp
from torch import nn

from compress.pruning.units import groups_of

OUTPUT = "it makes the model's output"
TIED = "its channels are tied to each other (split and joined again), so each cut takes others with it"
UNEQUAL = "a group norm takes its channels together with those of other layers, so its groups would shift"
MOVED = "channels are moved on their way (padding, reshape or split), so cutting it computes something else"
COMPUTED = (
    "the weight of {!r} is computed from other tensors (weight norm or another parametrization); store its value before pruning"
)
FIXED = "take the number of channels from the tensor (-1 in view and reshape) instead of a constant"
SHOWN = 4


def of_error(error: Exception) -> str:
    """What an error that a cut network raised says of the network."""
    first = str(error).splitlines()[0] if str(error) else ""
    if "is invalid for input of size" in first or "doesn't match the broadcast shape" in first:
        return f"the network's code reshapes its channels to fixed numbers, such as heads ({first}); {FIXED}"
    if "must match the size of tensor" in first:
        return f"its channels meet a tensor whose channels stay, such as a constant or a part of a split ({first})"
    if "nflatten" in first:
        return f"nn.Unflatten gives its channels a fixed number ({first}); use reshape with -1 for the channels"
    if "embed_dim" in first:
        return "nn.MultiheadAttention ties its width to its heads and to the scale of its scores"
    if "Expected hidden size" in first:
        return f"its hidden state comes from elsewhere with a fixed number of features ({first})"
    return f"cutting it fails: {type(error).__name__}: {first}"


def computed(group: tp.dependency.Group, names: Mapping[nn.Module, str]) -> str | None:
    """Names a layer of a group whose weight is no parameter; None if there is none."""
    for dependency, _ in group:
        layer = dependency.target.module
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear) and not isinstance(layer.weight, nn.Parameter):
            return COMPUTED.format(names[layer])
    return None


def tied_to(group: tp.dependency.Group, names: Mapping[nn.Module, str]) -> str:
    """What a group of layers is tied to that cannot lose channels one by one; nothing if there is no such layer."""
    convolutions = [m for m in names if isinstance(m, nn.modules.conv._ConvNd) and groups_of(m) > 1]
    kinds: dict[str, list[nn.Module]] = {
        "the attention": [m for m in names if isinstance(m, nn.MultiheadAttention)],
        "the grouped transposed convolution": [m for m in convolutions if m.transposed],
        "the convolution of one input channel a group": [m for m in convolutions if m.groups == m.in_channels],
        "the grouped convolution": [*convolutions],
        "the group norm": [m for m in names if isinstance(m, nn.GroupNorm) and groups_of(m) > 1],
        "the recurrent layer": [m for m in names if isinstance(m, nn.RNNBase)],
    }
    members = {d.target.module for d, _ in group}
    for kind, layers in kinds.items():
        found = sorted(names[m] for m in layers if m in members)
        if found:
            return f"; it is tied to {kind} {found[0]!r}"
    return ""


def listed(not_cut: Mapping[str, str]) -> str:
    """Layers that stay whole, with the reasons, as a sentence of its own; nothing if there are none."""
    others = {name: reason for name, reason in not_cut.items() if reason != OUTPUT}
    if not others:
        return ""
    shown = "; ".join(f"{name!r}: {reason}" for name, reason in list(others.items())[:SHOWN])
    more = f"; and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f" These stay whole: {shown}{more}."
