"""What each node of an OpenVINO program took, from the counters of the CPU plugin."""

import re
from math import prod
from typing import Any

from artifacts.records.roofline import LayerTime, LayerTimes
from artifacts.types import Arrays
from runtimes.layer_names import convolution_macs
from runtimes.openvino.placement import IDLE

WARM_RUNS, RUNS = 20, 400
"""The plugin tells whole microseconds of the mean over all runs so far: the warm-up is taken out, the rest must outweigh it."""

PRECISIONS = {"u8": "int8", "i8": "int8", "f32": "fp32", "f16": "fp16", "bf16": "bf16"}

_WEIGHT = re.compile(r"^(.+?)[._](?:weight|bias)(?:$|[._/])")


def layer_times(compiled: Any, model: Any, names: list[str], inputs: Arrays) -> LayerTimes:
    """The mean time of each node that ran.

    Args:
        compiled: a program that was compiled with counters.
        model: the model that it was compiled from, its shapes fixed.
        names: of the inputs, in order.
        inputs: one call's.
    """
    request = compiled.create_infer_request()
    arrays = [inputs[name] for name in names]
    before = _after(compiled, request, arrays, WARM_RUNS)
    after = _after(compiled, request, arrays, RUNS)
    weighted = _weighted(model)
    layers = []
    for op in compiled.get_runtime_model().get_ordered_ops():
        name, info = op.get_friendly_name(), op.get_rt_info()
        operator, kernel = info["layerType"].astype(str), info["primitiveType"].astype(str)
        if operator in IDLE or name not in after:
            continue
        total = after[name] * (WARM_RUNS + RUNS) - before.get(name, 0.0) * WARM_RUNS
        origins = (name, *info["originalLayersNames"].astype(str).split(","))
        layer, macs = next((weighted[w] for o in origins for w in weighted if o == w or o.startswith(f"{w}/")), (None, None))
        ms, computed = max(0.0, total) / RUNS / 1e3, PRECISIONS.get(info["runtimePrecision"].astype(str))
        layers.append(LayerTime(name, f"{operator}: {kernel}", ms, layer, macs, computed))
    how = f"OpenVINO's counters in whole microseconds (a layer below one is left out), mean of {RUNS} runs"
    return LayerTimes(tuple(layers), RUNS, how)


def _after(compiled: Any, request: Any, arrays: list[Any], runs: int) -> dict[str, float]:
    """The plugin's means in microseconds, by node, when it has run so many more times."""
    for _ in range(runs):
        request.infer(arrays)
    told = {op.get_friendly_name(): op.get_rt_info()["execTimeMcs"].astype(str)
            for op in compiled.get_runtime_model().get_ordered_ops()}  # fmt: skip
    return {name: float(text) for name, text in told.items() if text.isdigit()}


def _weighted(model: Any) -> dict[str, tuple[str | None, int | None]]:
    """The layer and the MACs of each operator that multiplies with a weight, by its name."""
    found: dict[str, tuple[str | None, int | None]] = {}
    for op in model.get_ordered_ops():
        kind = op.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"):
            continue
        shapes = [_shape(op.output(0)), *(_shape(op.input(n).get_source_output()) for n in (0, 1))]
        found[op.get_friendly_name()] = (_layer(op), _macs(op, shapes))
    return found


def _shape(port: Any) -> tuple[int, ...] | None:
    shape = port.get_partial_shape()
    return tuple(shape.to_shape()) if shape.is_static else None


def _macs(op: Any, shapes: list[tuple[int, ...] | None]) -> int | None:
    out, left, right = shapes
    if out is None or left is None or right is None:
        return None
    kind = op.get_type_name()
    if kind == "MatMul":
        return prod(out) * left[-2 if op.get_attributes().get("transpose_a") else -1]
    if kind == "ConvolutionBackpropData":
        return prod(left) * prod(right[1:])
    # the weight of a grouped one has its groups in front
    return convolution_macs(out, right[1:] if kind == "GroupConvolution" else right)


def _layer(op: Any) -> str | None:
    """The layer by the name of its weight, or by that of the bias that is added next."""
    names = _constants(op.input(1).get_source_output().get_node(), 5)
    for target in op.output(0).get_target_inputs():
        node = target.get_node()
        if node.get_type_name() == "Add":
            names += [n for i in (0, 1) for n in _constants(node.input(i).get_source_output().get_node(), 3)]
    return next((match[1] for match in map(_WEIGHT.match, names) if match), None)


def _constants(node: Any, depth: int) -> list[str]:
    if node.get_type_name() == "Constant":
        return [node.get_friendly_name()]
    if not depth or node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul"):
        return []
    return [n for port in node.inputs() for n in _constants(port.get_source_output().get_node(), depth - 1)]
