"""Activation ranges of an ONNX file, read batch by batch: memory does not grow with the number of samples."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import numpy as np
import onnx
from numpy.typing import NDArray

from artifacts.errors import ModelError
from artifacts.types import Array, Arrays, Range, Split
from compress.quantizers.histograms import Histogram

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
        import torch

        data, self.names = observed_model(path)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # a training found how many are quick here; the values are the same with any number
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._inputs = {i.name for i in self._session.get_inputs()}

    def values(self, inputs: Arrays) -> Arrays:
        """Every float tensor of one batch, by name, inputs included."""
        fed = {k: v for k, v in inputs.items() if k in self._inputs}
        return {**fed, **dict(zip(self.names, self._session.run(self.names, fed), strict=True))}


def batches(split: Split, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The indices in batches of fixed size."""
    return [indices[i : i + BATCH] for i in range(0, len(indices), BATCH)]


def _is_float(value: Array) -> TypeGuard[NDArray[np.floating]]:
    return np.issubdtype(value.dtype, np.floating)


def _seen(
    observer: Observer, split: Split, indices: NDArray[np.int64]
) -> Iterator[tuple[str, NDArray[np.floating], float, float]]:
    """Every float tensor of every batch, with its smallest and largest value; -inf, as masks have it, is the lowest of floats.

    Raises:
        ModelError: a tensor took a value that is infinite or not a number.
    """
    for part in batches(split, indices):
        for name, value in observer.values(split.batch(part)[0]).items():
            if _is_float(value) and value.size:
                low, high = float(value.min()), float(value.max())
                if low == -np.inf and np.isfinite(high):
                    low = float(np.finfo(np.float32).min)
                    yield name, np.maximum(value, low), low, high
                    continue
                if not (np.isfinite(low) and np.isfinite(high)):
                    raise ModelError(
                        f"in calibration tensor {name!r} reached from {low:g} to {high:g}; "
                        "mend the model or its training data first."
                    )
                yield name, value, low, high


def minmax(observer: Observer, split: Split, indices: NDArray[np.int64]) -> dict[str, Range]:
    """The smallest and largest value of every float tensor.

    Raises:
        ModelError: a tensor took a value that is infinite or not a number.
    """
    found: dict[str, Range] = {}
    for name, _, smallest, largest in _seen(observer, split, indices):
        low, high = found.get(name, (np.inf, -np.inf))
        found[name] = (min(low, smallest), max(high, largest))
    return found


def histograms(observer: Observer, split: Split, indices: NDArray[np.int64]) -> dict[str, Histogram]:
    """The histogram of every float tensor, in one pass.

    Raises:
        ModelError: a tensor took a value that is infinite or not a number.
    """
    found: dict[str, Histogram] = {}
    for name, value, smallest, largest in _seen(observer, split, indices):
        found.setdefault(name, Histogram()).add(value, smallest, largest)
    return found
