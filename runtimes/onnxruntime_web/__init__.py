"""ONNX Runtime Web in a headless browser."""

from artifacts.environments import WEB
from runtimes.target import Target

TARGETS = (
    Target(
        "onnxruntime-web",
        "runtimes.onnxruntime_web.runtime:OnnxRuntimeWeb",
        ("onnx",),
        "onnx-qdq",
        ("onnxruntime-web",),
        install=WEB.command,
        qat=True,
        unpacks_palettes=True,
        file_check="runtimes.onnx_operators:refuse_unknown",
    ),
)
