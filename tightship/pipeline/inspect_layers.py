"""The layers of a network, one by one."""

from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.json import Row
from artifacts.types import Arrays
from tightship.recipe.recipe import Recipe
from zoo.data import load_data

if TYPE_CHECKING:
    from torch import nn


def layers_of(recipe: Recipe) -> tuple[list[Row], int]:
    """The layers of a recipe's model; see `layers_of_module`."""
    from zoo.models import build, complete

    data = load_data(recipe.data.ref())
    return layers_of_module(build(complete(recipe.model.ref(), data)).eval(), data.train.batch(np.arange(1))[0])


def layers_of_module(module: "nn.Module", inputs: Arrays) -> tuple[list[Row], int]:
    """Name, type, output shape of one example, parameters, MACs and float bytes of every leaf layer, in call order.

    Args:
        module: in eval mode; hooks are left on it, so it must be one's own.
        inputs: one example.

    Returns: these, and how many activations one example needs at once, at most.
    """
    import torch
    from torch import nn

    from benchmarks.roofline.work import work_of
    from zoo.calling import call

    rows: list[Row] = []

    def note(name: str, layer: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            shape = list(output.shape[1:]) if isinstance(output, torch.Tensor) else []
            parameters = sum(p.numel() for p in layer.parameters())
            rows.append({"name": name, "type": type(layer).__name__, "output": shape, "parameters": parameters,
                         "macs": _macs(layer, shape), "bytes": 4 * parameters})  # fmt: skip

        return hook

    for name, layer in module.named_modules():
        if not any(True for _ in layer.children()) and name:
            layer.register_forward_hook(note(name, layer))
    with torch.no_grad():
        call(module, inputs)
    layers = list(rows)
    return layers, work_of(module, inputs).alive


def _macs(layer: Any, output: list[int]) -> int:
    weight = getattr(layer, "weight", None)
    if weight is None or weight.ndim < 2:
        return 0
    positions = int(np.prod(output[1:])) if weight.ndim > 2 else int(np.prod(output[:-1]))
    return int(weight.numel()) * max(1, positions)
