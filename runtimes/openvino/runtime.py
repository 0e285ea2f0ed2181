"""OpenVINO on the CPU: latency first and one stream unless told otherwise, the precision that the file says and no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.records.roofline import LayerTimes
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement
from runtimes.openvino import c_api
from runtimes.openvino.c_api import Program
from runtimes.openvino.infer_requests import Requests, divisible
from runtimes.openvino.options import OpenVinoOptions
from runtimes.openvino.placement import place, timed_runs
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


class OpenVinoSession:
    """An open model. Inputs of the smallest size run in a program compiled for it, others in one for every size."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._told = read_options(OpenVinoOptions, engine.options, engine.target)
        self._model, self._threads = _read(engine.path), threads
        self._path = engine.path
        self._precision = _precision(self._model)
        self._inputs = [_name(p, i, engine.signature.inputs) for i, p in enumerate(self._model.inputs)]
        self._outputs = [_name(p, i, engine.signature.outputs) for i, p in enumerate(self._model.outputs)]
        self._limits = [p.get_partial_shape() for p in self._model.inputs]
        self._shapes, fixed = _smallest(self._model)
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

    def placement(self) -> Placement:
        """Operators as the CPU plugin compiled them, from its runtime model.

        Outside are reference kernels, and layers that run in a wider type than the file says.
        """
        _, fixed = _smallest(self._model)
        counted = self._compile(fixed, PERF_COUNT=True)
        if self._shapes is not None:
            timed_runs(counted, self._shapes)
        return place(counted.get_runtime_model(), self._model, self._precision)

    def layer_times(self, inputs: Arrays) -> LayerTimes:
        """What each node takes in a call on these inputs, by the CPU plugin's own counters."""
        from runtimes.openvino.profile import layer_times

        fixed = self._shaped(inputs)
        return layer_times(self._compile(fixed, PERF_COUNT=True), fixed, self._inputs, inputs)

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the file for these inputs, by the operators' names in it."""
        from runtimes.openvino.intermediates import inner_tensors

        return inner_tensors(self._shaped(inputs), self._compile, [inputs[name] for name in self._inputs])

    def _shaped(self, inputs: Arrays) -> Any:
        """A copy of the model for inputs of these shapes alone."""
        fixed = self._model.clone()
        fixed.reshape({port: list(inputs[name].shape) for port, name in zip(fixed.inputs, self._inputs, strict=True)})
        return fixed

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
            return _core().compile_model(model, "CPU", self._settings(**more))

    def _direct(self, fixed: Any) -> Program:
        with _compiling():
            return Program(self._path, fixed, self._settings())


@contextmanager
def _compiling() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ModelError(f"OpenVINO cannot compile the file: {_last_line(error)}") from error


@cache
def _core() -> Any:
    import openvino as ov

    return ov.Core()


def _read(path: Path) -> Any:
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise ModelError(f"OpenVINO cannot open {path.name}: its weights {path.with_suffix('.bin').name} are not beside it.")
    try:
        model = _core().read_model(path)
    except Exception as error:
        raise ModelError(f"OpenVINO cannot open {path.name}: it is not an IR that this version reads.") from error
    if not model.outputs:
        raise ModelError(f"OpenVINO cannot open {path.name}: it has no outputs.")
    return model


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1]


def _precision(model: Any) -> str:
    """The type that floats are computed in.

    Raises:
        TargetUnavailable: the file asks for bf16 and this CPU has none.
    """
    asked = model.get_rt_info(list(PRECISION)).astype(str) if model.has_rt_info(list(PRECISION)) else "f32"
    if asked == "bf16" and "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise TargetUnavailable("the file is meant to be computed in bf16, which this CPU does not have; use the fp32 file.")
    return str(asked)


def _smallest(model: Any) -> tuple[Shapes | None, Any]:
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


def _name(port: Any, index: int, specs: tuple[TensorSpec, ...]) -> str:
    """What the signature calls a port, or else what the file does."""
    names = port.get_names()
    own = specs[index : index + 1]  # first: one tensor that is given back twice has both names
    known = next((s.name for s in (*own, *specs) if s.name in names), None)
    return known or (min(names) if names else str(port.get_node().get_friendly_name()))


def signature_of(path: Path) -> Signature:
    """The inputs and outputs of an IR file.

    Raises:
        TargetUnavailable: openvino is not installed.
        ModelError: the file cannot be read.
        RequestError: it takes or gives something that is no array.
    """
    try:
        import openvino  # noqa: F401
    except ImportError:
        raise TargetUnavailable("reading OpenVINO files needs openvino: pip install 'tightship[openvino]'.") from None
    model = _read(path)

    def spec(index: int, port: Any) -> TensorSpec:
        name, shape = _name(port, index, ()), port.get_partial_shape()
        if shape.rank.is_dynamic:
            raise RequestError(f"{path.name} does not say how many dimensions {name!r} has; give --inputs FILE.npz.")
        dims = tuple(f"{name}_{i}" if d.is_dynamic else d.get_length() for i, d in enumerate(shape))
        try:
            return TensorSpec(name, str(port.get_element_type().to_dtype()), dims)
        except RuntimeError:
            kind = port.get_element_type()
            raise RequestError(f"{path.name}: {name!r} is of type {kind}, which has no NumPy form.") from None

    inputs = tuple(spec(i, p) for i, p in enumerate(model.inputs))
    return Signature(inputs, tuple(spec(i, p) for i, p in enumerate(model.outputs)))


class OpenVinoCpu:
    """OpenVINO's CPU plugin."""

    tells_layers = True
    tells_tensors = True

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import openvino as ov
        except ImportError as error:
            return Availability(False, f"{error.name} is not installed: pip install 'tightship[openvino]'")
        devices, version = _core().available_devices, ov.__version__.partition("-")[0]
        if "CPU" not in devices:
            return Availability(False, f"openvino {version} has no CPU plugin here; it has {', '.join(devices) or 'none'}")
        return Availability(True, f"openvino {version}")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """IR files are opened as they are."""
        return Engine("openvino-cpu", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> OpenVinoSession:
        """See `runtimes.base.Runtime`.

        Raises:
            ModelError: the file is no IR, or the CPU plugin cannot compile it.
            TargetUnavailable: the file is meant for bf16 and the CPU has none.
        """
        return OpenVinoSession(engine, threads)
