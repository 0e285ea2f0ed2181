"""The tensors inside an OpenVINO model: its operators' results, read as further outputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Arrays

GIVEN = ("Parameter", "Constant", "Result")
FLOATS = ("f16", "f32")


def inner_tensors(model: Any, compile_it: Callable[[Any], Any], inputs: list[NDArray[Any]]) -> Arrays:
    """What every operator makes of one call's inputs, by its name in the file, in order.

    Args:
        model: of the shapes of `inputs`; it is changed.
        compile_it: compiles it as the file is run.
        inputs: one call's, in order.
    """
    asked: dict[str, Any] = {}
    for op in model.get_ordered_ops():
        if op.get_type_name() in GIVEN or not _computed(op):
            continue
        for index, port in enumerate(op.outputs()):
            if any(target.get_node().get_type_name() == "Result" for target in port.get_target_inputs()):
                continue  # an output of the file, which cannot be asked for twice
            if port.get_element_type().get_type_name() in FLOATS and port.get_partial_shape().is_static:
                name = str(op.get_friendly_name())
                asked[f"{name}:{index}" if index else name] = port
    own = [str(port.get_node().input_value(0).get_node().get_friendly_name()) for port in model.outputs]
    model.add_outputs(list(asked.values()))
    compiled = compile_it(model)
    results = compiled(inputs)
    found = dict(zip([*own, *asked], compiled.outputs, strict=True))
    return {name: np.array(results[port], np.float32) for name, port in found.items()}


def _computed(op: Any) -> bool:
    """Whether an operator's result is not fixed by the file alone, as that of unpacked weights is."""
    waiting, seen = [op], set()
    while waiting:
        one = waiting.pop()
        if one.get_type_name() == "Parameter":
            return True
        for port in one.inputs():
            source = port.get_source_output().get_node()
            if source.get_name() not in seen:
                seen.add(source.get_name())
                waiting.append(source)
    return False
