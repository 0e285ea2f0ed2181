"""ONNX's reference evaluator as a target: what `tightship` needs to know of it, and nothing heavy."""

from runtimes.target import Target

TARGETS = (
    Target(
        "onnx-reference",
        "own_runtime.runtime:OnnxReference",
        ("onnx",),
        "onnx-qdq",
        # its own version is among those that decide what it computes
        ("onnx", "tightship-onnx-reference"),
        runs_with=("onnx",),
        loader="own_runtime.loader:ReferenceProgram",
    ),
)
