"""How files become smaller numbers: one file per quantizer, and the one list of them."""

from artifacts.plugins import Registry
from compress.quantizers.base import API, Calibration, Quantizer

__all__ = ["QUANTIZERS", "Calibration", "Quantizer"]

QUANTIZERS: Registry[Quantizer] = Registry(
    "quantizer",
    "tightship.quantizers",
    Quantizer,
    [
        Quantizer("onnx-qdq", "file", "compress.quantizers.onnx.qdq:quantize_asymmetric", ("onnx", "onnxruntime"), True, 64.0),
        Quantizer("onnx-qdq-symmetric", "file", "compress.quantizers.onnx.qdq:quantize_symmetric", ("onnx", "onnxruntime")),
        Quantizer("fx-int8", "module", "compress.quantizers.pt2e.fx_int8:quantize", ("torch",)),
        Quantizer("fx-dynamic", "module", "compress.quantizers.torch_dynamic:quantize", ("torch",)),
        Quantizer("torch-half", "module", "compress.quantizers.half:quantize_module", ("torch",)),
        Quantizer("onnx-dynamic", "file", "compress.quantizers.onnx.dynamic:quantize", ("onnx", "onnxruntime"), True),
        Quantizer("onnx-weights", "file", "compress.quantizers.onnx.weights:quantize", ("onnx", "onnxruntime")),
        Quantizer("onnx-half", "file", "compress.quantizers.half:quantize_onnx", ("onnx", "onnxruntime")),
        Quantizer("onnx-stock", "file", "compress.quantizers.onnx.stock:quantize", ("onnx", "onnxruntime")),
        Quantizer("nncf", "file", "compress.quantizers.openvino.nncf:quantize", ("nncf", "openvino"), True, 63.5),
        Quantizer("openvino-half", "file", "compress.quantizers.openvino.half:quantize", ("openvino",)),
        Quantizer("litert-int8", "file", "compress.quantizers.litert.int8:quantize", ("ai-edge-quantizer",)),
        Quantizer("ncnn-half", "module", "compress.quantizers.ncnn_half:quantize", ("pnnx",)),
        Quantizer("coreml-half", "module", "compress.quantizers.coreml.half:quantize", ("coremltools",)),
        Quantizer("coreml-weights", "file", "compress.quantizers.coreml.weights:quantize", ("coremltools",), own_grid=True),
        Quantizer("pt2e-stock", "module", "compress.quantizers.pt2e.xnnpack:quantize_stock", ("torchao", "executorch")),
        Quantizer("pt2e-x86", "module", "compress.quantizers.pt2e.x86:quantize", ("torch", "torchao"), True),
        Quantizer("pt2e-xnnpack", "module", "compress.quantizers.pt2e.xnnpack:quantize", ("torchao", "executorch")),
    ],
    API,
)
"""By the name that targets use. ONNX Runtime calls the halved grid `reduce_range`, NNCF `half_range`."""
