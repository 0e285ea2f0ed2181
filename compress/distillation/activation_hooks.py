"""Reading what named layers of a network give out while it runs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from artifacts.errors import ModelError, nearest
from compress.training.batches import widened


class ActivationHooks:
    """Keeps the output of named layers from one forward pass to the next; its hooks are gone when the block ends.

    >>> with ActivationHooks(network, ["layer1"], "teacher") as taps:
    ...     network(images)
    ...     taps["layer1"].shape
    torch.Size([8, 16, 32, 32])

    Raises:
        ModelError: the network has no layer of that name, or did not run it.
    """

    def __init__(self, module: nn.Module, names: Iterable[str], whose: str) -> None:
        self.module, self.names, self.whose = module, tuple(dict.fromkeys(names)), whose
        self.seen: dict[str, Tensor] = {}
        self.handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        layers = {name: layer for name, layer in self.module.named_modules() if name}
        for name in self.names:
            if name not in layers:
                raise ModelError(f"the {self.whose} has no layer {name!r}; {nearest(name, layers)}.")
        for name in self.names:
            self.handles.append(layers[name].register_forward_hook(self._keeper(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()
        self.seen.clear()

    def _keeper(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(layer: nn.Module, inputs: object, outputs: object) -> None:
            # a copy, since an activation that works in place may follow
            self.seen[name] = widened(_tensor(outputs, name)).clone()

        return keep

    def __getitem__(self, name: str) -> Tensor:
        """What the layer gave out when it last ran."""
        if name not in self.seen:
            raise ModelError(f"the {self.whose} did not run its layer {name!r}; name one that its forward pass calls.")
        return self.seen[name]


def _tensor(outputs: object, name: str) -> Tensor:
    """The first tensor of a layer's outputs."""
    if isinstance(outputs, Tensor):
        return outputs
    inner = outputs.values() if isinstance(outputs, Mapping) else outputs if isinstance(outputs, tuple | list) else ()
    for value in inner:
        if isinstance(value, Tensor):
            return value
    raise ModelError(f"layer {name!r} gives out no tensor; name another.")
