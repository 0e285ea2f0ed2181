"""What a network takes and gives, found by running it on examples."""

import copy
from typing import TYPE_CHECKING

import numpy as np

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Arrays
from zoo.outputs import named_outputs
from zoo.splits import TaskData

if TYPE_CHECKING:
    from torch import Tensor, nn


def trace_signature(module: "nn.Module", data: TaskData) -> Signature:
    """Inputs from the data in the order in which the network takes them, outputs from one run on two examples.

    The first axis of an output is the batch.

    Raises:
        ModelError: the network cannot run on the data, returns something other than tensors of real numbers, or answers
            differently when asked again.
    """
    return signature_on(module, data.inputs, data.example_inputs(2), "the data's first two examples")


def signature_on(
    module: "nn.Module", inputs: tuple[TensorSpec, ...], examples: Arrays, whose: str, batched: bool = True
) -> Signature:
    """These inputs in call order, and the outputs of one run on examples.

    Args:
        module: left as it is.
        inputs: of the network, in any order.
        examples: by the inputs' names.
        whose: how a message calls the examples.
        batched: whether the first axis of an output is the batch; else its size is fixed as the others are.

    Raises:
        ModelError: the network cannot run on them, returns something other than tensors of real numbers, or answers
            differently when asked again.
    """
    import torch

    from zoo.calling import call, call_order

    order = call_order(module, [spec.name for spec in inputs])
    training = module.training
    try:
        module.eval()
        with torch.no_grad():
            # a copy, so that state which it changes in forward is not changed here
            asked = copy.deepcopy(module)
            named, again = (named_outputs(call(asked, examples)) for _ in range(2))
            more = _with_one_more(asked, examples) if batched else None
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the model cannot run on {whose}: {type(error).__name__}: {error}.") from error
    finally:
        module.train(training)
    for name, array in examples.items():
        if array.dtype.kind == "c":
            raise ModelError(
                f"the model's input {name!r} is complex, which no target takes; give its real and imaginary parts."
            )
    _refuse_unsteady(named, again)
    specs = tuple(_output(name, tensor, more) for name, tensor in named.items())
    return Signature(tuple(sorted(inputs, key=lambda spec: order.index(spec.name))), specs)


def _with_one_more(module: "nn.Module", examples: Arrays) -> "dict[str, Tensor] | None":
    """The outputs for one example more; none where the network cannot take it."""
    from zoo.calling import call

    again = {name: np.concatenate([array, array[:1]]) if array.ndim else array for name, array in examples.items()}
    try:
        return named_outputs(call(module, again))
    except Exception:
        return None


def _output(name: str, tensor: "Tensor", more: "dict[str, Tensor] | None") -> TensorSpec:
    """An output: the axis that grows with the number of examples is the batch; without `more` no axis does."""
    shape, dtype = tuple(map(int, tensor.shape)), str(tensor.dtype).removeprefix("torch.")
    if more is None:
        return TensorSpec(name, dtype, shape)
    larger = tuple(map(int, more[name].shape))
    grows = [axis for axis, (few, many) in enumerate(zip(shape, larger, strict=False)) if few != many]
    if len(larger) != len(shape) or len(grows) > 1 or any(larger[axis] - shape[axis] != 1 for axis in grows):
        raise ModelError(
            f"the model's output {name!r} has shape {shape} for one number of examples and {larger} for one more: its examples "
            "do not lie along one axis; return it as (N, ...), such as embeddings instead of their products."
        )
    if not grows:
        return TensorSpec(name, dtype, shape, None)
    return TensorSpec(name, dtype, (*shape[: grows[0]], "batch", *shape[grows[0] + 1 :]), grows[0])


def _refuse_unsteady(first: "dict[str, Tensor]", second: "dict[str, Tensor]") -> None:
    """Refuse what no file can hold: complex outputs, and answers that depend on how often the model was asked."""
    import torch

    for name, value in first.items():
        if value.is_complex():
            raise ModelError(
                f"the model's output {name!r} is complex, which no target takes; return its real and imaginary parts."
            )
        same = value.shape == second[name].shape
        if not same or not torch.allclose(value, second[name], rtol=1e-4, atol=1e-5, equal_nan=True):
            raise ModelError(
                f"the model answers differently the second time (output {name!r}): dropout that never stops, or state that "
                "forward changes; make state an input and an output."
            )
