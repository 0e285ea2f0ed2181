"""TensorRT: engines for the GPU of this machine."""

from runtimes.target import Target

TARGETS = (
    Target(
        "tensorrt",
        "runtimes.tensorrt.runtime:TensorRt",
        ("onnx",),
        "onnx-qdq-symmetric",
        ("tensorrt",),
        extra="gpu",
        qat=True,
        device="cuda",
    ),
)
