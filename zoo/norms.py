"""Weight norms of the old kind, as hooks, made parametrizations: those can be copied, exported and trained on."""

from collections.abc import Collection

from torch import Tensor, nn
from torch.nn.utils import parametrizations, remove_weight_norm
from torch.nn.utils.weight_norm import WeightNorm


def with_parametrizations(module: nn.Module) -> int:
    """Replace `torch.nn.utils.weight_norm`, in place, by `torch.nn.utils.parametrizations.weight_norm`; how many there were.

    State dicts of either kind are loaded afterwards.
    """
    count = 0
    for layer in module.modules():
        for hook in [h for h in layer._forward_pre_hooks.values() if isinstance(h, WeightNorm)]:
            remove_weight_norm(layer, hook.name)
            parametrizations.weight_norm(layer, hook.name, hook.dim)
            count += 1
    return count


def renamed(state: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """A state dict with the names of parametrizations where it has the old ones and the network wants these."""
    made = {}
    for name, tensor in state.items():
        owner, _, leaf = name.rpartition(".")
        kind, _, part = leaf.rpartition("_")
        number = {"g": 0, "v": 1}.get(part)
        new = f"{owner}.parametrizations.{kind}.original{number}".lstrip(".")
        made[new if number is not None and new in wanted and name not in wanted else name] = tensor
    return made
