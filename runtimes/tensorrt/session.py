"""A TensorRT engine that is loaded: buffers through PyTorch, a CUDA stream of its own, and its layers by precision."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.types import Arrays, Placement
from runtimes.base import Placed
from runtimes.tensorrt.engine_key import Profile, Shape

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT64": "int64",
    "INT32": "int32",
    "INT8": "int8",
    "UINT8": "uint8",
    "BOOL": "bool",
}
"""TensorRT's names of the types that an input or an output can have, and PyTorch's."""
PRECISIONS = {"int8": "int8", "fp8": "fp8", "int4": "int4", "bf16": "bf16", "half": "fp16", "fp16": "fp16"}
"""Words in the inspector's text, and the precision they mean; they changed between versions."""
PRECISIONS |= {"float": "fp32", "fp32": "fp32", "int32": "int32", "int64": "int64", "bool": "bool"}
DEVICE = "cuda"
HEAVY = ("convolution", "gemm", "matrixmultiply", "matmul", "fullyconnected")
HOW = "TensorRT's engine inspector, by layer type and precision; fallback: layers with weights outside int8"


def called(outputs: Sequence[str], told: Sequence[str]) -> dict[str, str]:
    """What the signature calls each output of an engine: a file cannot call an output as it calls an input."""
    others = iter([name for name in told if name not in outputs])
    return {name: name if name in told else next(others, name) for name in outputs}


class TensorRtSession(Placed):
    """A loaded engine; one batch at a time, copied to the GPU and back."""

    def __init__(
        self,
        engine: Any,
        context: Any,
        profiles: Mapping[str, Profile],
        rebuild: str,
        quantized: bool,
        keep: tuple[Any, ...] = (),
        told: Sequence[str] = (),
    ) -> None:
        import tensorrt as trt
        import torch

        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self.inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self.outputs = [name for name in names if name not in self.inputs]
        self._called = called(self.outputs, told)
        self._dtypes = {name: _dtype(name, engine.get_tensor_dtype(name).name) for name in names}
        # `keep` holds what TensorRT wants alive as long as the engine
        self._engine, self._context, self._keep = engine, context, keep
        self._profiles, self._rebuild, self._quantized = profiles, rebuild, quantized
        # TensorRT waits for the whole device when it runs on the default stream
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def run(self, inputs: Arrays) -> Arrays:
        """Run one batch.

        Raises:
            RequestError: an input is missing, of another type, or outside the shapes the engine was built for.
        """
        import torch

        with torch.cuda.stream(self._stream):
            # held until the end: TensorRT keeps addresses, not tensors
            tensors = {name: self._feed(name, inputs) for name in self.inputs}
            tensors |= {name: self._room(name) for name in self.outputs}
            for name, tensor in tensors.items():
                self._context.set_tensor_address(name, tensor.data_ptr())
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise TargetUnavailable("TensorRT could not start the engine; free GPU memory and open it again.")
            return {self._called[name]: _array(tensors[name]) for name in self.outputs}

    def placement(self) -> Placement:
        """How many layers run in which precision; float layers with weights in an int8 engine are the fallback."""
        import tensorrt as trt

        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        return placement_of(inspector.get_engine_information(trt.LayerInformationFormat.JSON), self._quantized)

    def _feed(self, name: str, inputs: Arrays) -> Any:
        import numpy as np
        import torch

        if name not in inputs:
            raise RequestError(f"input {name!r} is missing; the engine takes {', '.join(self.inputs)}.")
        array = np.ascontiguousarray(inputs[name])
        if array.dtype.name != self._dtypes[name]:
            raise RequestError(f"input {name!r} is {array.dtype}, and the engine takes {self._dtypes[name]}; cast it.")
        if name in self._profiles:
            _check_shape(name, array.shape, self._profiles[name], self._rebuild)
        if not self._context.set_input_shape(name, array.shape):
            expected = tuple(self._engine.get_tensor_shape(name))
            raise RequestError(f"input {name!r} has shape {array.shape}, and the engine takes {expected}; reshape it.")
        return torch.from_numpy(array).to(DEVICE, non_blocking=True)

    def _room(self, name: str) -> Any:
        import torch

        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise ModelError(f"output {name!r} has a shape {shape} that depends on the values; give it a fixed size.")
        return torch.empty(shape, dtype=getattr(torch, self._dtypes[name]), device=DEVICE)


def _dtype(name: str, kind: str) -> str:
    if kind not in DTYPES:
        raise ModelError(f"tensor {name!r} is {kind}, and a session takes {', '.join(DTYPES)}; export it as one of them.")
    return DTYPES[kind]


def _check_shape(name: str, shape: Shape, profile: Profile, rebuild: str) -> None:
    smallest, _, largest = profile
    inside = len(shape) == len(smallest) and all(a <= b <= c for a, b, c in zip(smallest, shape, largest, strict=True))
    if not inside:
        raise RequestError(
            f"input {name!r} has shape {shape}, and the engine takes {smallest} to {largest}; "
            f"send smaller batches, or give other sizes (DIMENSION=SMALLEST,USUAL,LARGEST) to `{rebuild}`."
        )


def _array(tensor: Any) -> Any:
    """A NumPy copy, which also waits for the stream; NumPy has no bfloat16, so that becomes float32."""
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).cpu().numpy()


def placement_of(information: str, quantized: bool) -> Placement:
    """Read the inspector's JSON, of TensorRT 10 or 11.

    >>> placement_of('{"Layers": [{"LayerType": "CaskConvolution", "Weights": {"Type": "Int8"}}]}', True).accelerated
    {'CaskConvolution int8': 1}
    """
    accelerated: Counter[str] = Counter()
    fallback: Counter[str] = Counter()
    for layer in json.loads(information).get("Layers", []):
        # an engine built without detail lists names alone
        detail = layer if isinstance(layer, dict) else {}
        kind, precision = str(detail.get("LayerType", "layer")), _precision(detail)
        heavy = any(word in f"{kind} {detail.get('ParameterType', '')}".lower() for word in HEAVY)
        outside = quantized and heavy and precision != "int8"
        (fallback if outside else accelerated)[f"{kind} {precision}"] += 1
    return Placement(dict(accelerated), dict(fallback), HOW)


def _precision(layer: Mapping[str, Any]) -> str:
    """The precision of a layer's weights, or else of its first input."""
    weights = layer.get("Weights")
    tensors = [weights.get("Type", "")] if isinstance(weights, dict) else []
    for tensor in layer.get("Inputs") or []:
        tensors += [tensor.get(field, "") for field in ("DataType", "Format/Datatype")]
    for text in (str(tensor).lower() for tensor in tensors):
        for word, precision in PRECISIONS.items():
            if word in text:
                return precision
    return "unknown"
