"""An exponential moving average of a network's weights and buffers (Polyak averaging, as in Tarvainen and Valpola 2017)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The running average of a network's state; whole-number buffers (counters, switches) are copied, not averaged."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.state = snapshot(module)

    @torch.no_grad()
    def update(self, module: nn.Module, masks: Mapping[str, Tensor]) -> None:
        """Take in the network as it is now.

        The n-th update (from 0) uses min(decay, (1 + n) / (10 + n)), so that the random start is soon forgotten. Weights
        outside `masks` (parameter name -> mask of what is kept) are zero in the average too.
        """
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        now = module.state_dict()
        real = [name for name, tensor in now.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in real], [now[n] for n in real], 1 - decay)
        for name in now.keys() - set(real):
            self.state[name].copy_(now[name])
        for name, mask in masks.items():
            self.state[name].mul_(mask.to(self.state[name].device))
        self.updates += 1


def snapshot(module: nn.Module, device: str | None = None) -> dict[str, Tensor]:
    """A copy of a network's state, on the network's device by default."""
    return {name: tensor.detach().to(device, copy=True) for name, tensor in module.state_dict().items()}


@contextmanager
def holding(module: nn.Module, average: Average | None) -> Iterator[nn.Module]:
    """The network holds the average inside the block, and its own state again after it."""
    if average is None:
        yield module
        return
    own = snapshot(module)
    module.load_state_dict(average.state)
    try:
        yield module
    finally:
        module.load_state_dict(own)
