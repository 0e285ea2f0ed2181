"""Activation ranges of an ONNX file, read batch by batch: memory does not grow with the number of samples."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from artifacts.types import Arrays, Range, Split

BINS = 2048
BATCH = 32


def observed_model(path: Path) -> tuple[bytes, list[str]]:
    """The file with every float tensor between its nodes added to its outputs, and those tensors' names."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    known = {v.name: v.type for v in (*model.graph.value_info, *model.graph.output, *model.graph.input)}
    present = {o.name for o in model.graph.output}
    names = []
    for node in model.graph.node:
        for name in node.output:
            kind = known.get(name)
            if kind is None or kind.tensor_type.elem_type != onnx.TensorProto.FLOAT:
                continue
            names.append(name)
            if name not in present:
                model.graph.output.append(onnx.ValueInfoProto(name=name, type=kind))
    return model.SerializeToString(), names


class Observer:
    """Runs a file and hands back the value of every float tensor in it."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        data, self.names = observed_model(path)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._inputs = {i.name for i in self._session.get_inputs()}

    def values(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Every float tensor of one batch, by name, inputs included."""
        fed = {k: v for k, v in inputs.items() if k in self._inputs}
        return {**fed, **dict(zip(self.names, self._session.run(self.names, fed), strict=True))}


def batches(split: Split, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The indices in batches of fixed size."""
    return [indices[i : i + BATCH] for i in range(0, len(indices), BATCH)]


def minmax(observer: Observer, split: Split, indices: NDArray[np.int64]) -> dict[str, Range]:
    """The smallest and largest value of every float tensor."""
    found: dict[str, Range] = {}
    for part in batches(split, indices):
        for name, value in observer.values(split.batch(part)[0]).items():
            if np.issubdtype(value.dtype, np.floating) and value.size:
                low, high = found.get(name, (np.inf, -np.inf))
                found[name] = (min(low, float(value.min())), max(high, float(value.max())))
    return found


def percentile(observer: Observer, split: Split, indices: NDArray[np.int64], share: float) -> dict[str, Range]:
    """The range that holds `share` percent of the values at either end, from histograms over the min-max range."""
    ends = minmax(observer, split, indices)
    counts = {name: np.zeros(BINS, np.int64) for name in ends}
    for part in batches(split, indices):
        for name, value in observer.values(split.batch(part)[0]).items():
            if name in ends:
                counts[name] += np.histogram(value, bins=BINS, range=ends[name])[0]
    return {name: _trimmed(counts[name], ends[name], share / 100) for name in ends}


def _trimmed(counts: NDArray[np.int64], ends: Range, share: float) -> Range:
    edges = np.linspace(ends[0], ends[1], BINS + 1)
    below = np.cumsum(counts) / max(1, counts.sum())
    last = int(np.searchsorted(below, share))
    first = int(np.searchsorted(below, 1 - share, side="right"))
    return float(edges[min(first, BINS - 1)]), float(edges[min(last + 1, BINS)])
