"""OpenVINO's CPU plugin as it is timed: latency first and one stream unless told otherwise, in the file's own precision.

Bundles ship this module.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import Arrays, Engine
from export.openvino.reading import core, port_name, read
from runtimes.openvino import c_api
from runtimes.openvino.c_api import Program
from runtimes.openvino.infer_requests import Requests, divisible
from runtimes.openvino.options import OpenVinoOptions
from runtimes.options import read_options

PRECISION = ("tightship", "inference_precision")
"""Where a file says that it is meant to be computed in bf16."""

Shapes = tuple[tuple[int, ...], ...]


class _Program:
    """A compiled model with one request, fed by copying into the request's own tensors.

    Handing arrays over, even without copying them, makes a small network a fifth slower: each call then binds new memory.
    """

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self._inputs = [self._request.get_input_tensor(i) for i in range(len(compiled.inputs))]
        self._views = [tensor.data for tensor in self._inputs]
        self._outputs = range(len(compiled.outputs))
        self.stateful = bool(self._request.query_state())

    def __call__(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run once; the results are the caller's own memory."""
        for i, array in enumerate(arrays):
            if self._views[i].shape != array.shape:
                self._inputs[i].shape = array.shape
                self._views[i] = self._inputs[i].data
            np.copyto(self._views[i], array)
        if self.stateful:
            self._request.reset_state()  # each call is a function of its inputs alone
        self._request.infer(share_outputs=True)
        return [self._request.get_output_tensor(i).data.copy() for i in self._outputs]


class OpenVinoProgram:
    """An open model. Inputs of the smallest size run in a program compiled for it, others in one for every size.

    Raises:
        ModelError: the file is no IR, or the CPU plugin cannot compile it.
        TargetUnavailable: the file is meant for bf16 and the CPU has none.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._told = read_options(OpenVinoOptions, engine.options, engine.target)
        self._model, self._threads = read(engine.path), threads
        self._path = engine.path
        self._precision = _precision(self._model)
        self._inputs = [port_name(p, i, engine.signature.inputs) for i, p in enumerate(self._model.inputs)]
        self._outputs = [port_name(p, i, engine.signature.outputs) for i, p in enumerate(self._model.outputs)]
        self._limits = [p.get_partial_shape() for p in self._model.inputs]
        self._shapes, fixed = smallest(self._model)
        self._program = self._direct(fixed) if self._shapes and c_api.fits(fixed) else _Program(self._compile(fixed))
        self._any: Program | _Program | Requests | None = None if self._shapes else self._program
        program = self._program
        self._quick = program.quick(self._inputs, self._outputs) if isinstance(program, Program) else None
        # a program for many requests at once is only as fast as it was compiled to be if it is given several
        self._divides = self._told.hint == "throughput" and divisible(engine.signature, self._program.stateful)

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: an input is missing, or of a shape or type that the file does not take.
        """
        try:
            if self._quick and (made := self._quick(inputs)):
                return made
            arrays = [inputs[name] for name in self._inputs]
        except KeyError as error:
            raise ModelError(f"the file takes {', '.join(self._inputs)}; {error} was not given.") from None
        shapes = tuple([a.shape for a in arrays])
        program = self._program if shapes == self._shapes else self._for_any(shapes)
        try:
            return dict(zip(self._outputs, program(arrays), strict=True))
        except TypeError as error:
            raise ModelError(f"an input is not of the type that the file takes: {error}.") from None

    def _for_any(self, shapes: Shapes) -> Program | _Program | Requests:
        import openvino as ov

        # OpenVINO itself runs a shape that contradicts the file's, and returns something
        for name, limit, shape in zip(self._inputs, self._limits, shapes, strict=True):
            if not limit.compatible(ov.PartialShape(list(shape))):
                raise ModelError(f"input {name!r} has shape {shape}; the file takes {limit}.")
        if self._any is None:
            self._any = (Requests if self._divides else _Program)(self._compile(self._model))
        return self._any

    def _settings(self, **more: Any) -> dict[str, Any]:
        return {
            **self._told.settings(),
            "INFERENCE_NUM_THREADS": self._threads,
            # by default a CPU with bf16 computes float files in bf16
            "INFERENCE_PRECISION_HINT": self._precision,
            # by default activations before compressed weights are rounded to 8 bits
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            **more,
        }

    def _compile(self, model: Any, **more: Any) -> Any:
        with _compiling():
            return core().compile_model(model, "CPU", self._settings(**more))

    def _direct(self, fixed: Any) -> Program:
        with _compiling():
            return Program(self._path, fixed, self._settings())


@contextmanager
def _compiling() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ModelError(f"OpenVINO cannot compile the file: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1]


def _precision(model: Any) -> str:
    """The type that floats are computed in.

    Raises:
        TargetUnavailable: the file asks for bf16 and this CPU has none.
    """
    asked = model.get_rt_info(list(PRECISION)).astype(str) if model.has_rt_info(list(PRECISION)) else "f32"
    if asked == "bf16" and "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise TargetUnavailable("the file is meant to be computed in bf16, which this CPU does not have; use the fp32 file.")
    return str(asked)


def smallest(model: Any) -> tuple[Shapes | None, Any]:
    """The model with every dynamic dimension at its smallest, at least 1, and those shapes; none where they do not fit."""
    shapes = [[d.get_length() if not d.is_dynamic else max(1, d.get_min_length()) for d in p.get_partial_shape()]
              if p.get_partial_shape().rank.is_static else None for p in model.inputs]  # fmt: skip
    if not model.is_dynamic():
        return tuple(tuple(s or ()) for s in shapes), model
    fixed = model.clone()
    try:
        fixed.reshape(dict(zip(fixed.inputs, shapes, strict=True)))
    except Exception:  # sizes that hang together otherwise: whoever runs the file knows them
        return None, model
    return tuple(tuple(s or ()) for s in shapes), fixed
