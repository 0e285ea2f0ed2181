"""What each node of an ONNX file took, from ONNX Runtime's own profile."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from artifacts.records.roofline import LayerTime, LayerTimes
from artifacts.types import Arrays
from runtimes.layer_names import CONVOLUTIONS, MATRICES, OnnxLayers, matrix_macs

WARM_RUNS = 10
RUNS = 60
"""The half that took least counts: a run in which others took the core says nothing of a layer."""

_TIME = "_kernel_time"

Run = list[dict[str, Any]]
"""The events of the nodes in one run."""


def layer_times(opened: Callable[[str], Any], path: Path, inputs: Arrays) -> LayerTimes:
    """The mean time of each node, over the quicker half of the runs after warm-up.

    Args:
        opened: opens the file with a profile that begins with the given path.
        path: the ONNX file, which tells what its nodes multiply.
        inputs: one call's.
    """
    with TemporaryDirectory() as folder:
        session = opened(f"{folder}/profile")
        for _ in range(WARM_RUNS + RUNS):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs = sorted(_runs(events)[WARM_RUNS:], key=lambda run: sum(e["dur"] for e in run))
    kept = runs[: max(1, len(runs) // 2)]
    named = OnnxLayers(path, inputs)
    layers = tuple(_layer(list(same), named) for same in zip(*kept, strict=True))
    return LayerTimes(layers, len(kept), f"ONNX Runtime's profile, mean of the quicker {len(kept)} of {len(runs)} runs")


def _runs(events: list[dict[str, Any]]) -> list[Run]:
    """The nodes' events run by run, each in the order of the first; a run with other nodes is left out."""
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith(_TIME)]
    ends = sorted(e["ts"] + e["dur"] for e in events if e["name"] == "model_run")
    runs: list[Run] = [[] for _ in ends]
    at = 0
    for event in sorted(nodes, key=lambda e: e["ts"]):
        while at < len(ends) and event["ts"] > ends[at]:
            at += 1
        if at < len(ends):
            runs[at].append(event)
    order = {_key(e): n for n, e in enumerate(runs[-1])} if runs else {}
    whole = [run for run in runs if {_key(e) for e in run} == set(order) and len(run) == len(order)]
    return [sorted(run, key=lambda e: order[_key(e)]) for run in whole]


def _key(event: dict[str, Any]) -> tuple[str, str]:
    return event["name"], str(event["args"].get("node_index", ""))


def _layer(same: Run, named: OnnxLayers) -> LayerTime:
    name, operator = same[0]["name"].removesuffix(_TIME), str(same[0]["args"].get("op_name", ""))
    ms = sum(e["dur"] for e in same) / len(same) / 1e3
    if operator not in (*CONVOLUTIONS, *MATRICES):
        return LayerTime(name, operator, ms)
    found = named.find(name)
    macs = found.macs if found else None
    if macs is None and operator in MATRICES:
        macs = matrix_macs(same[0]["args"])
    return LayerTime(name, operator, ms, found.layer if found else None, macs, _precision(same[0]["args"]))


def _precision(told: dict[str, Any]) -> str | None:
    """What a node multiplies in, by the types of its tensors: activations and weights of 8 bits, or else floats."""
    types = [kind for shape in told.get("input_type_shape", []) for kind in shape]
    if {"uint8", "int8"} & set(types[:4]) and not str(told.get("op_name")).startswith("MatMulNBits"):
        return "int8"
    return {"float": "fp32", "float16": "fp16"}.get(types[0]) if types else None
