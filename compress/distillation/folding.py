"""Batch norms of a network that only ever runs in eval mode, folded into the convolutions before them: a teacher costs less so.

w' = w · γ/√(σ²+ε), b' = β + (b - μ) · γ/√(σ²+ε) (Jacob et al. 2018, arXiv:1712.05877, section 3.2). Modules keep their names,
so that layers can still be watched.
"""

from collections import Counter
from collections.abc import Collection, Iterator

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_norms(module: nn.Module, keep: Collection[str] = ()) -> int:
    """Fold what can be folded, in place; a network whose forward torch.fx cannot trace is left as it is.

    Args:
        module: in eval mode.
        keep: dotted names of layers whose outputs are looked at, which stay what they are.

    Returns:
        How many norms were folded.
    """
    pairs = [(layer, norm) for layer, norm in _pairs(module) if layer not in keep and norm not in keep]
    for layer, norm in pairs:
        convolution, batch_norm = module.get_submodule(layer), module.get_submodule(norm)
        assert isinstance(convolution, CONVOLUTIONS)
        assert isinstance(batch_norm, NORMS)
        module.set_submodule(layer, fuse_conv_bn_eval(convolution, batch_norm))
        module.set_submodule(norm, nn.Identity().eval())
    return len(pairs)


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Convolutions whose result goes to a norm and nowhere else, by name; both called once and with nothing attached."""
    kinds = [type(m) for m in module.modules()]
    if not any(k in CONVOLUTIONS for k in kinds) or not any(k in NORMS for k in kinds):
        return  # forward is not called for nothing
    try:
        with torch.no_grad():
            graph = fx.Tracer().trace(module)
    except Exception:  # whatever forward does that cannot be traced, it can be run
        return
    modules = dict(module.named_modules())
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer, norm = str(before.target), str(node.target)
        if calls[layer] == calls[norm] == 1 and _foldable(modules[layer], modules[norm]):
            yield layer, norm


def _foldable(layer: nn.Module, norm: nn.Module) -> bool:
    # a subclass may compute something else, and a hook may change the weights
    plain = type(layer) in CONVOLUTIONS and type(norm) in NORMS and not layer._forward_pre_hooks and not layer._forward_hooks
    return plain and not norm._forward_hooks and getattr(norm, "running_mean", None) is not None
