"""Calls of PyTorch networks and programs on arrays, in PyTorch's `channels_last` memory format if that is asked for.

That is (N, H, W, C) in memory and (N, C, H, W) to every operator; its conversion of inputs and outputs is part of a call, and
so of its time.
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
        # a network that is seen to write into its inputs is given copies, which are part of its calls; others are not
        self._spoils: bool | None = None

    def __call__(self, inputs: Arrays) -> Arrays:
        """The outputs by name, in the plain layout.

        Raises:
            ModelError: the program needs its tensors in the plain layout.
        """
        given = [torch.from_numpy(inputs[name]) for name in self._names]
        if self._spoils is not False:
            given = [tensor.clone() for tensor in given]
        versions = [tensor._version for tensor in given]
        with torch.inference_mode():
            tensors = [tensor.to(self._device) for tensor in given]
            outputs = self._laid(tensors) if self._laid_out else self._program(*tensors)
            made = {name: tensor.cpu().numpy() for name, tensor in named_outputs(outputs).items()}
        if self._spoils is None:
            self._spoils = versions != [tensor._version for tensor in given]
        return made

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
