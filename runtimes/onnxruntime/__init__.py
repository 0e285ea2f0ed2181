"""ONNX Runtime on CPU, CUDA and TensorRT."""

from runtimes.target import Target

_LOADER = "runtimes.onnxruntime.loader:OrtProgram"
_CHECK = "runtimes.onnx_operators:refuse_unknown"
TARGETS = (
    Target(
        "onnxruntime-cpu",
        "runtimes.onnxruntime.runtime:OnnxRuntimeCpu",
        ("onnx",),
        "onnx-qdq",
        ("onnxruntime",),
        instead={"onnxruntime": "onnxruntime-gpu"},
        qat=True,
        stock=("onnx-stock", "onnx-stock"),
        schemes={
            "int8-dynamic": "onnx-dynamic",
            "int8-weights": "onnx-weights",
            "int4-weights": "onnx-weights",
            "fp16": "onnx-half",
        },
        options="runtimes.onnxruntime.options:OrtCpuOptions",
        also_opens=("ort",),
        unpacks_palettes=True,
        loader=_LOADER,
        file_check=_CHECK,
    ),
    Target(
        "onnxruntime-cuda",
        "runtimes.onnxruntime.runtime:OnnxRuntimeCuda",
        ("onnx",),
        "onnx-qdq-symmetric",
        ("onnxruntime-gpu",),
        extra="gpu",
        qat=True,
        device="cuda",
        options="runtimes.onnxruntime.options:OrtOptions",
        also_opens=("ort",),
        unpacks_palettes=True,
        loader=_LOADER,
        file_check=_CHECK,
    ),
    Target(
        "onnxruntime-tensorrt",
        "runtimes.onnxruntime.runtime:OnnxRuntimeTensorRt",
        ("onnx",),
        "onnx-qdq-symmetric",
        ("onnxruntime-gpu",),
        extra="gpu",
        qat=True,
        device="cuda",
        options="runtimes.onnxruntime.options:OrtOptions",
        unpacks_palettes=True,
        file_check=_CHECK,
    ),
)
