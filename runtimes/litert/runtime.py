"""LiteRT with XNNPACK's delegate. It runs in the environment that LiteRT needs, so it imports numpy and LiteRT alone."""

from typing import Any

import numpy as np

from artifacts.environments import LITERT
from artifacts.types import Arrays, Availability, Engine, Placement
from runtimes.base import Placed, Runtime, ShowsTensors
from runtimes.litert.loader import LiteRtProgram

DELEGATE = "DELEGATE"


class LiteRtSession(LiteRtProgram, Placed, ShowsTensors):
    """A loaded file."""

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the file for one call, integers as the floats that they stand for.

        LiteRT's own kernels compute them, because XNNPACK's delegate keeps nothing of what lies inside it.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        inside = Interpreter(str(self._path), experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True)
        for name, detail in self._inputs.items():
            inside.resize_tensor_input(detail["index"], inputs[name].shape)
        inside.allocate_tensors()
        for name, detail in self._inputs.items():
            inside.set_tensor(detail["index"], inputs[name].astype(detail["dtype"], copy=False))
        inside.invoke()
        made = dict.fromkeys(int(i) for operator in inside._get_ops_details() for i in operator["outputs"])
        details = {d["index"]: d for d in inside.get_tensor_details()}
        return {details[i]["name"]: _floats(inside.get_tensor(i), details[i]) for i in made if i in details}

    def placement(self) -> Placement:
        """The file's operators: inside XNNPACK's delegate, or run by LiteRT's own kernels."""
        operators = self._interpreter._get_ops_details()
        delegates = [o for o in operators if o["op_name"] == DELEGATE]
        plain = [o for o in operators if o["op_name"] != DELEGATE]
        taken = _delegated(plain, delegates)
        inside: dict[str, int] = {}
        outside: dict[str, int] = {}
        for operator in plain:
            counts = inside if operator["index"] in taken else outside
            counts[operator["op_name"]] = counts.get(operator["op_name"], 0) + 1
        partitions = f"{len(delegates)} partition" + ("" if len(delegates) == 1 else "s")
        return Placement(inside, outside, f"the interpreter's operators: XNNPACK's delegate ({partitions}) against the rest")


def _floats(value: np.ndarray[Any, Any], detail: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The numbers that a tensor stands for: scale * (value - zero point), per channel where it has several."""
    quantized = detail["quantization_parameters"]
    scales, zeros = quantized["scales"], quantized["zero_points"]
    if not len(scales):
        return value
    shape = [1] * value.ndim
    if len(scales) > 1:
        shape[quantized["quantized_dimension"]] = -1
    return np.asarray((value.astype(np.float32) - zeros.reshape(shape)) * scales.reshape(shape), np.float32)


def _delegated(operators: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """The operators that a delegate computes: those between its inputs and its outputs."""
    producer = {int(tensor): operator for operator in operators for tensor in operator["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        given = set(map(int, delegate["inputs"]))
        waiting = [int(t) for t in delegate["outputs"]]
        while waiting:
            tensor = waiting.pop()
            operator = producer.get(tensor)
            if tensor in given or operator is None or operator["index"] in taken:
                continue
            taken.add(operator["index"])
            waiting += [int(t) for t in operator["inputs"] if t >= 0]
    return taken


class LiteRtXnnpack(Runtime):
    """LiteRT's interpreter on the CPU, with the XNNPACK delegate that it applies by itself."""

    target = "litert-xnnpack"
    session = LiteRtSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import ai_edge_litert.interpreter  # noqa: F401  the import is the question
        except ImportError as error:
            return Availability(False, f"{error.name} cannot be imported: {LITERT.command}")
        from importlib.metadata import version

        return Availability(True, f"ai-edge-litert {version('ai-edge-litert')} in an environment of its own")

    def open(self, engine: Engine, threads: int) -> LiteRtSession:
        """See `runtimes.base.Runtime`."""
        return LiteRtSession(engine, threads)
