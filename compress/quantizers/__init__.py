"""How files become smaller numbers: one file per quantizer, and the one list of them."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from artifacts.types import Split, TorchModel
from compress.configs import QuantizeConfig


@dataclass(frozen=True)
class Calibration:
    """What a quantizer may look at: a fixed, seeded subset of the training data, and how to use it."""

    split: Split
    config: QuantizeConfig
    seed: int
    model: TorchModel
    """The float model that is quantized; its `ranges`, if it has any, were learned in training."""


@dataclass(frozen=True)
class Quantizer:
    """One row of the list; nothing heavy is imported until `load()` is called."""

    name: str
    works_on: Literal["module", "file"]
    """`module`: (Calibration) -> nn.Module, before export; `file`: (ExportedFile, folder, Calibration) -> ExportedFile."""
    entry_point: str
    libraries: tuple[str, ...]
    by_vnni: bool = False
    """Whether the file is another one where it is made on a CPU without VNNI."""
    own_grid: bool = False
    """Whether it rounds weights on a grid of its runtime's own, which `compress.quantizers.rounding` does not know."""

    def load(self) -> Callable[..., Any]:
        """The function that quantizes."""
        module, _, name = self.entry_point.partition(":")
        made: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return made


QUANTIZERS: dict[str, Quantizer] = {
    q.name: q
    for q in (
        Quantizer("onnx-qdq", "file", "compress.quantizers.onnx.qdq:quantize_asymmetric", ("onnx", "onnxruntime"), True),
        Quantizer("onnx-qdq-symmetric", "file", "compress.quantizers.onnx.qdq:quantize_symmetric", ("onnx", "onnxruntime")),
        Quantizer("fx-int8", "module", "compress.quantizers.pt2e.fx_int8:quantize", ("torch",)),
        Quantizer("fx-dynamic", "module", "compress.quantizers.torch_dynamic:quantize", ("torch",)),
        Quantizer("torch-half", "module", "compress.quantizers.half:quantize_module", ("torch",)),
        Quantizer("onnx-dynamic", "file", "compress.quantizers.onnx.dynamic:quantize", ("onnx", "onnxruntime"), True),
        Quantizer("onnx-weights", "file", "compress.quantizers.onnx.weights:quantize", ("onnx", "onnxruntime")),
        Quantizer("onnx-half", "file", "compress.quantizers.half:quantize_onnx", ("onnx", "onnxruntime")),
        Quantizer("onnx-stock", "file", "compress.quantizers.onnx.stock:quantize", ("onnx", "onnxruntime")),
        Quantizer("nncf", "file", "compress.quantizers.openvino.nncf:quantize", ("nncf", "openvino"), True),
        Quantizer("openvino-half", "file", "compress.quantizers.openvino.half:quantize", ("openvino",)),
        Quantizer("litert-int8", "file", "compress.quantizers.litert.int8:quantize", ("ai-edge-quantizer",)),
        Quantizer("ncnn-half", "module", "compress.quantizers.ncnn_half:quantize", ("pnnx",)),
        Quantizer("coreml-half", "module", "compress.quantizers.coreml.half:quantize", ("coremltools",)),
        Quantizer("coreml-weights", "file", "compress.quantizers.coreml.weights:quantize", ("coremltools",), own_grid=True),
        Quantizer("pt2e-stock", "module", "compress.quantizers.pt2e.xnnpack:quantize_stock", ("torchao", "executorch")),
        Quantizer("pt2e-x86", "module", "compress.quantizers.pt2e.x86:quantize", ("torch", "torchao"), True),
        Quantizer("pt2e-xnnpack", "module", "compress.quantizers.pt2e.xnnpack:quantize", ("torchao", "executorch")),
    )
}
