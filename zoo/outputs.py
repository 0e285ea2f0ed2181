"""What a network returns, by name. PyTorch alone: bundles ship this file as it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from artifacts.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def named_outputs(outputs: Any) -> "dict[str, Tensor]":
    """A model's outputs by name: a tensor is `output`, a tuple `output_0`..., a dict keeps its keys.

    Raises:
        ModelError: an output is not a tensor.
    """
    from torch import Tensor

    if isinstance(outputs, Tensor):
        return {"output": outputs}
    if isinstance(outputs, Mapping):
        named = dict(outputs)
    elif isinstance(outputs, tuple | list):
        named = {f"output_{i}": value for i, value in enumerate(outputs)}
    else:
        raise ModelError(f"the model returns a {type(outputs).__name__}; return a tensor, a tuple or a dict of tensors.")
    wrong = [key for key, value in named.items() if not isinstance(value, Tensor)]
    if wrong or not named:
        raise ModelError(f"the model's output {(wrong or ['(none)'])[0]!r} is not a tensor; flatten nested outputs.")
    return named
