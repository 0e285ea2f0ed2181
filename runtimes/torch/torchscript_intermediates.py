"""The tensors inside a TorchScript program: the results of its graph's operators, given back as further results."""

from typing import Any

import torch

from artifacts.errors import ModelError
from artifacts.types import Arrays


def inner_tensors(program: Any, inputs: list[torch.Tensor]) -> Arrays:
    """What every operator at the top of the graph makes of one call's inputs, by its name there, in order.

    Args:
        program: a frozen program: its weights are constants of the graph.
        inputs: one call's, in order.

    Raises:
        ModelError: the program keeps its weights beside the graph.
    """
    graph = program.inlined_graph.copy()
    own = next(iter(graph.inputs()))
    if list(own.uses()):
        raise ModelError("the program is not frozen, so its graph cannot be run without it.")
    graph.eraseInput(0)
    for _ in list(graph.outputs()):
        graph.eraseOutput(0)
    computed = [value for node in graph.nodes() if node.kind() != "prim::Constant" for value in node.outputs()]
    tensors = [value for value in computed if isinstance(value.type(), torch._C.TensorType)]
    names = [value.debugName() for value in tensors]
    together = graph.create("prim::TupleConstruct", tensors, 1)
    together.output().setType(torch._C.TupleType([value.type() for value in tensors]))
    graph.registerOutput(graph.appendNode(together).output())
    function: Any = torch._C._create_function_from_graph("inside", graph)
    with torch.inference_mode():
        results = function(*inputs)
    found = dict(zip(names, results, strict=True))
    return {name: _floats(tensor).numpy() for name, tensor in found.items() if _is_float(tensor)}


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_quantized  # those of oneDNN are floats too


def _floats(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.to_dense() if tensor.is_mkldnn else tensor.dequantize() if tensor.is_quantized else tensor
    return plain.float()
