"""The layers of a network, one by one."""

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from artifacts.json import Row
from artifacts.types import Arrays
from tightship.recipe.recipe import Recipe
from zoo.data import load_data

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from compress.macs.watching import Ran

WHOLE = "(itself)"
"""The name of what the network computes outside all of its layers."""


def layers_of(recipe: Recipe) -> tuple[list[Row], int]:
    """The layers of a recipe's model; see `layers_of_module`."""
    from zoo.models import build, complete

    data = load_data(recipe.data.ref())
    return layers_of_module(build(complete(recipe.model.ref(), data)).eval(), data.train.batch(np.arange(1))[0])


def layers_of_module(module: "nn.Module", inputs: Arrays) -> tuple[list[Row], int]:
    """Name, type, output shape of one example, parameters, MACs and float bytes of every layer, in call order.

    A layer is a module without others in it, and any other that computes with parameters, or multiplies, by itself. One that
    is called several times stands there once, with the MACs of all calls. A parameter counts where it is used first. What
    a layer multiplies and nobody can count is named (`uncounted`); `macs` is None where nothing else is counted there.

    Args:
        module: in eval mode; it runs once, so it must be one's own.
        inputs: one example.

    Returns: these, and how many activations one example needs at once, at most.
    """
    from benchmarks.roofline.work import work_of

    calls = _Calls(module)
    try:
        work = work_of(module, inputs, calls.ran)
    finally:
        calls.leave()
    return [layer.row() for layer in calls.layers.values() if layer.shown], work.alive


@dataclass
class _Layer:
    name: str
    kind: str
    leaf: bool
    output: list[int] = field(default_factory=list)
    parameters: int = 0
    bytes: int = 0
    macs: int = 0
    uncounted: set[str] = field(default_factory=set)

    @property
    def shown(self) -> bool:
        return self.leaf or bool(self.parameters or self.macs or self.uncounted)

    def row(self) -> Row:
        macs = None if self.uncounted and not self.macs else self.macs
        return {"name": self.name or WHOLE, "type": self.kind, "output": self.output, "parameters": self.parameters,
                "macs": macs, "bytes": self.bytes, "uncounted": sorted(self.uncounted)}  # fmt: skip


class _Calls:
    """Which layer runs, and what the operators do that run in it."""

    def __init__(self, module: "nn.Module") -> None:
        import torch

        from compress.macs.weights import Stored

        self._stored, self._seen = Stored(module.parameters()), set[int]()
        self._running = [_Layer("", type(module).__name__, leaf=False)]
        self.layers = {"": self._running[0]}
        self._hooks: list[RemovableHandle] = []
        for name, layer in module.named_modules():
            if not name or isinstance(layer, torch.jit.ScriptModule):  # what is in a script runs without hooks
                continue
            entering = layer.register_forward_pre_hook(partial(self._entered, name))
            self._hooks += [entering, layer.register_forward_hook(self._left, always_call=True)]

    def _entered(self, name: str, layer: "nn.Module", _: object) -> None:
        leaf = next(layer.children(), None) is None
        self._running.append(self.layers.setdefault(name, _Layer(name, type(layer).__name__, leaf)))

    def _left(self, _: "nn.Module", __: object, output: object) -> None:
        from torch import Tensor
        from torch.utils._pytree import tree_leaves

        layer = self._running.pop()
        first = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
        layer.output = list(first.shape[1:]) if first is not None and not first.is_nested else []

    def ran(self, ran: "Ran") -> None:
        """An operator ran in the innermost layer that is called now."""
        layer = self._running[-1]
        layer.macs += ran.product.macs if ran.product else 0
        layer.uncounted |= {ran.name} if ran.unknown else set()
        for held in (held for tensor in ran.taken for held in self._stored.within(tensor)):
            if id(held) not in self._seen:
                self._seen.add(id(held))
                layer.parameters += held.numel()
                layer.bytes += 4 * held.numel()

    def leave(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()
