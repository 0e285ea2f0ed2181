"""A compiled model with one request, driven through OpenVINO's C interface.

The Python interface looks at what it was handed and makes a dictionary of results in every call: 3 % of a network of 5 ms, 7 %
of one of 1 ms. Here a call is one C function; inputs and outputs lie in the request's own memory. The functions are those of
https://docs.openvino.ai/2025/api/c_cpp_api/group__ov__c__api.html.
"""

import ctypes
import os
import sys
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.types import Arrays

Handle = ctypes.c_void_p
Quick = Callable[[Arrays], Arrays | None]
Shape = tuple[int, ...]
TYPES = {
    "boolean": "?", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8",
    "f16": "f2", "f32": "f4", "f64": "f8",
}  # fmt: skip
"""The element types that lie in memory as NumPy has them."""


class _Dimension(ctypes.Structure):
    """`ov_dimension_t`, and `ov_rank_t`, which is the same."""

    _fields_ = (("min", ctypes.c_int64), ("max", ctypes.c_int64))


class _PartialShape(ctypes.Structure):
    """`ov_partial_shape_t`."""

    _fields_ = (("rank", _Dimension), ("dims", ctypes.POINTER(_Dimension)))


def _partial(shape: Shape) -> _PartialShape:
    dims = (_Dimension * len(shape))(*(_Dimension(n, n) for n in shape))
    return _PartialShape(_Dimension(len(shape), len(shape)), dims)


@cache
def library() -> ctypes.CDLL | None:
    """OpenVINO's C library of this installation; none where it has none, and on systems where this was never run."""
    import openvino

    if sys.platform != "linux":
        return None
    found = sorted(Path(openvino.__file__).parent.glob("libs/libopenvino_c.so*"))
    try:
        loaded = ctypes.CDLL(str(found[0]))
    except (IndexError, OSError):
        return None
    loaded.ov_get_last_err_msg.restype = ctypes.c_char_p
    # the fixed arguments of a function that takes more of them: some processors pass those in another way
    loaded.ov_core_compile_model.argtypes = [Handle, Handle, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(Handle)]
    loaded.ov_infer_request_infer.argtypes = [Handle]
    return loaded


def fits(model: Any) -> bool:
    """Whether a model can be driven so: there is a library, no shape is open, no state is kept, all types are of `TYPES`."""
    ports = [*model.inputs, *model.outputs]
    return bool(
        library()
        and model.inputs
        and not model.get_variables()
        and not any(port.get_partial_shape().is_dynamic for port in ports)
        and all(port.get_element_type().get_type_name() in TYPES for port in ports)
    )


class Program:
    """A model compiled for fixed shapes."""

    stateful = False

    def __init__(self, path: Path, model: Any, settings: dict[str, Any]) -> None:
        """Compile.

        Args:
            path: the file.
            model: the same as Python's interface read it, of the shapes to compile for.
            settings: the properties to compile it with.

        Raises:
            RuntimeError: OpenVINO refuses, and says why.
        """
        lib = library()
        assert lib, "`fits` says whether the library is there"
        self._lib = lib
        read = self._made(lib.ov_model_free, lib.ov_core_read_model, _core(), os.fsencode(path), None)
        count = len(model.inputs)
        shapes = (_PartialShape * count)(*(_partial(tuple(port.get_shape())) for port in model.inputs))
        ports = (ctypes.c_size_t * count)(*range(count))
        _checked(lib.ov_model_reshape_by_port_indexes(read, ports, shapes, ctypes.c_size_t(count)))
        told = [ctypes.c_char_p(str(text).encode()) for pair in settings.items() for text in pair]
        self._compiled, made = Handle(), ctypes.c_size_t(len(told))
        _checked(lib.ov_core_compile_model(_core(), read, b"CPU", made, ctypes.byref(self._compiled), *told))
        weakref.finalize(self, lib.ov_compiled_model_free, self._compiled)
        self._request = self._made(lib.ov_infer_request_free, lib.ov_compiled_model_create_infer_request, self._compiled)
        self._inputs = [self._view(lib.ov_infer_request_get_input_tensor_by_index, i, p) for i, p in enumerate(model.inputs)]
        self._outputs = [self._view(lib.ov_infer_request_get_output_tensor_by_index, i, p) for i, p in enumerate(model.outputs)]
        self._infer: Callable[[Handle], int] = lib.ov_infer_request_infer

    def __call__(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Run once; the results are the caller's own memory."""
        for view, array in zip(self._inputs, arrays, strict=True):
            np.copyto(view, array)
        if status := self._infer(self._request):
            _checked(status)
        return [view.copy() for view in self._outputs]

    def quick(self, names: list[str], results: list[str]) -> Quick | None:
        """A call with as little Python around it as there can be, for a model of one input and one output.

        What lies around a call is cold after each inference: through `__call__` and a dictionary of results it is 2.1 % of
        a call of 1.8 ms, and so 1.3 % (docs/targets/openvino.md).

        Args:
            names: the inputs in a caller's dictionary.
            results: the outputs in what is returned.

        Returns:
            None for other models; else a function for as long as this program lives. It returns None where `__call__` is to
            be asked: an input of another shape or type, or a call that failed.
        """
        if len(self._inputs) != 1 or len(self._outputs) != 1:
            return None
        name, result, view, made = names[0], results[0], self._inputs[0], self._outputs[0]
        shape, dtype, infer, request = view.shape, view.dtype, self._infer, self._request

        def run(inputs: Arrays) -> Arrays | None:
            array = inputs[name]
            if array.shape != shape or array.dtype != dtype:
                return None
            view[...] = array
            return None if infer(request) else {result: made.copy()}

        return run

    def get_property(self, name: str) -> str:
        """What the program was compiled with."""
        value = ctypes.c_char_p()
        _checked(self._lib.ov_compiled_model_get_property(self._compiled, name.encode(), ctypes.byref(value)))
        told = (value.value or b"").decode()
        self._lib.ov_free(value)
        return told

    def _made(self, free: Any, make: Any, *arguments: Any) -> Handle:
        """What a function makes; freed with this program."""
        made = Handle()
        _checked(make(*arguments, ctypes.byref(made)))
        weakref.finalize(self, free, made)
        return made

    def _view(self, getter: Any, index: int, port: Any) -> NDArray[Any]:
        """A tensor's memory, which stays where it is as long as the request lives."""
        data = Handle()
        tensor = self._made(self._lib.ov_tensor_free, getter, self._request, ctypes.c_size_t(index))
        _checked(self._lib.ov_tensor_data(tensor, ctypes.byref(data)))
        shape, dtype = tuple(port.get_shape()), np.dtype(TYPES[port.get_element_type().get_type_name()])
        size = int(np.prod(shape)) * dtype.itemsize
        memory = memoryview((ctypes.c_byte * size).from_address(data.value)) if data.value else memoryview(bytearray(size))
        return np.frombuffer(memory, dtype).reshape(shape)


@cache
def _core() -> Handle:
    lib = library()
    assert lib
    made = Handle()
    _checked(lib.ov_core_create(ctypes.byref(made)))
    return made


def _checked(status: int) -> None:
    if status:
        lib = library()
        said = lib.ov_get_last_err_msg() if lib else None
        raise RuntimeError((said or b"").decode(errors="replace") or f"status {status} of its C interface")
