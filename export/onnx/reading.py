"""What an ONNX file says that it takes and gives, and the files that belong to it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artifacts.errors import ModelError, RequestError
from artifacts.specs import Signature, TensorSpec
from export.base import Shapes
from export.onnx.metadata import read_ranges

if TYPE_CHECKING:
    from onnx import ValueInfoProto


def signature_of(path: Path, given: Shapes | None = None) -> Signature:
    """The inputs and outputs of a file, and the ranges that a file of ours notes; a nameless size is `NAME_AXIS`.

    Args:
        path: the file.
        given: shapes of inputs, for those of which the file does not say how many dimensions they have.

    Raises:
        RequestError: it is no ONNX file, takes or gives something that is no array, or leaves open what is not given.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise RequestError(f"{path} is not an ONNX file: {error}.") from None
    weights = {i.name for i in model.graph.initializer}
    taken = tuple(_input(v, path, given or {}) for v in model.graph.input if v.name not in weights)
    return Signature(taken, tuple(_spec(v, path) for v in model.graph.output), read_ranges(model))


def _input(value: "ValueInfoProto", path: Path, given: Shapes) -> TensorSpec:
    spec = _spec(value, path)
    if value.type.tensor_type.HasField("shape"):
        return spec
    if value.name not in given:
        raise RequestError(f"{path.name} does not say how many dimensions {value.name!r} has; give --inputs FILE.npz.")
    return TensorSpec(value.name, spec.dtype, given[value.name])


def _spec(value: "ValueInfoProto", path: Path) -> TensorSpec:
    import onnx

    kind = value.type.WhichOneof("value")
    tensor = value.type.tensor_type
    if kind != "tensor_type" or tensor.elem_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        what = "text" if kind == "tensor_type" else str(kind).removesuffix("_type").replace("_", " ")
        raise ModelError(f"{path.name}: {value.name!r} is {what}, not an array of numbers; only arrays can be measured.")
    dtype = str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    dims = (d.dim_value if d.dim_value > 0 else d.dim_param for d in tensor.shape.dim)
    return TensorSpec(value.name, dtype, tuple(d or f"{value.name}_{i}" for i, d in enumerate(dims)))


def sidecars(path: Path) -> tuple[Path, ...]:
    """The files beside it that hold its weights, whatever their names."""
    import onnx

    weights = onnx.load(path, load_external_data=False).graph.initializer
    held = (entry.value for w in weights for entry in w.external_data if entry.key == "location")
    return tuple(path.parent / name for name in dict.fromkeys(held))
