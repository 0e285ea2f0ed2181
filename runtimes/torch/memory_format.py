"""Tensors in PyTorch's `channels_last` memory format: (N, H, W, C) in memory, (N, C, H, W) to every operator.

The conversion of inputs and outputs is part of a call, and so of its time.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from artifacts.errors import ModelError
from artifacts.types import Arrays
from compress.training.memory_format import laid_out
from zoo.outputs import named_outputs


class Caller:
    """Calls a network or program on arrays, by name.

    Args:
        program: takes tensors in order.
        names: of its inputs, in order.
        channels_last: whether 4-D inputs are laid out (N, H, W, C), and 4-D outputs back.
        device: where the program is.
    """

    def __init__(
        self, program: Callable[..., Any], names: Sequence[str], channels_last: bool = False, device: str = "cpu"
    ) -> None:
        self._program, self._names, self._laid_out, self._device = program, tuple(names), channels_last, device

    def __call__(self, inputs: Arrays) -> Arrays:
        """The outputs by name, in the plain layout.

        Raises:
            ModelError: the program needs its tensors in the plain layout.
        """
        with torch.inference_mode():
            tensors = [torch.from_numpy(inputs[name]).to(self._device) for name in self._names]
            outputs = self._laid(tensors) if self._laid_out else self._program(*tensors)
            return {name: tensor.cpu().numpy() for name, tensor in named_outputs(outputs).items()}

    def _laid(self, tensors: Sequence[Tensor]) -> Any:
        try:
            outputs = self._program(*map(laid_out, tensors))
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
            raise ModelError(
                "the network cannot run with channels_last, because a `view` in it needs the plain layout: say `flatten` or "
                "`reshape` there, or leave out channels_last."
            ) from error
        return {name: tensor.contiguous() for name, tensor in named_outputs(outputs).items()}


def lay_out_program(program: Any) -> Any:
    """The TorchScript program, frozen, with its 4-D weights laid out; those packed for int8 kernels stay as they are."""
    if hasattr(program, "training"):  # only a program that is frozen has lost it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.jit.freeze(program.eval())
    for node in program.graph.findAllNodes("prim::Constant", True):
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            node.t_("value", laid_out(node.t("value")))
    return program
