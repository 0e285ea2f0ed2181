"""What OpenVINO's CPU plugin made of a model, read from its runtime model."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from artifacts.types import Placement

LAYERS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq"})
"""Types of layers that carry the work: they have fallen back if they run in a wider type than the file says."""

IDLE = frozenset({"Input", "Output", "Const", "Reshape"})
"""Nodes that compute nothing: a reshape without a copy is only another view."""

NOTES = ("layerType", "primitiveType", "runtimePrecision", "execTimeMcs")
"""What the plugin notes of each node, and we read."""

RUNS = 10


def timed_runs(compiled: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    """Run a program that was compiled with counters a few times, on zeros of these shapes, so that its nodes have times."""
    request = compiled.create_infer_request()
    zeros = [np.zeros(s, p.get_element_type().to_dtype()) for s, p in zip(shapes, compiled.inputs, strict=True)]
    for _ in range(RUNS):
        request.infer(zeros)


def place(runtime: Any, model: Any, precision: str) -> Placement:
    """Count the nodes that ran, by layer type and kernel.

    Args:
        runtime: the runtime model of a program that was compiled with counters and has run.
        model: the model as it was read from the file.
        precision: the type that floats are computed in, `f32` or `bf16`.
    """
    int8 = any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())
    inside, outside = Counter[str](), Counter[str]()
    time = Counter[bool]()
    for op in runtime.get_ordered_ops():
        layer, kernel, runs_in, microseconds = (op.get_rt_info()[key].astype(str) for key in NOTES)
        if layer in IDLE:
            continue
        fell = fallen(layer, kernel, runs_in, int8, precision)
        (outside if fell else inside)[f"{layer}: {kernel}"] += 1
        time[fell] += int(microseconds) if microseconds.isdigit() else 0
    total = sum(time.values())
    share = f"; {time[True] / total:.0%} of the time outside" if total else ""
    return Placement(dict(inside), dict(outside), f"OpenVINO's runtime model on the CPU{share}")


def fallen(layer: str, kernel: str, runs_in: str, int8: bool, precision: str) -> bool:
    """Whether a node runs outside the kernels that the file was made for.

    >>> fallen("Convolution", "brgconv_avx512_I8", "u8", True, "f32"), fallen("Convolution", "ref_any_f32", "f32", False, "f32")
    (False, True)
    """
    if kernel.startswith("ref"):
        return True
    if layer not in LAYERS:
        return False
    if int8:
        return runs_in not in ("u8", "i8")
    return precision == "bf16" and runs_in != "bf16"
