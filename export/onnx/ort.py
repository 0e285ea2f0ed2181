"""What a file in ONNX Runtime's own format says that it takes and gives; ONNX Runtime reads it."""

from pathlib import Path
from typing import Any

from artifacts.errors import ModelError, RequestError
from artifacts.specs import Signature, TensorSpec
from export.base import Shapes

DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
"""ONNX Runtime's names of element types -> NumPy's."""


def signature_of(path: Path, given: Shapes | None = None) -> Signature:
    """What an .ort file says of its inputs and outputs.

    Raises:
        ModelError: ONNX Runtime cannot open it.
        RequestError: it takes or gives something that is no array.
    """
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot open {path.name}: {str(error).splitlines()[0]}") from error

    def spec(argument: Any) -> TensorSpec:
        dtype = DTYPES.get(argument.type)
        if dtype is None:
            raise RequestError(f"{path.name}: {argument.name!r} is of type {argument.type}, which has no NumPy form.")
        dims = tuple(d if isinstance(d, int) else str(d or f"{argument.name}_{i}") for i, d in enumerate(argument.shape))
        return TensorSpec(argument.name, dtype, dims)

    return Signature(tuple(map(spec, session.get_inputs())), tuple(map(spec, session.get_outputs())))
