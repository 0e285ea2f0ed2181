"""int8 for ONNX Runtime and TensorRT: QuantizeLinear/DequantizeLinear pairs where their integer kernels expect them.

PTQ and QAT share this one path, so their files have the same structure and the same speed: post-training ranges are
observed here, learned ranges come with the model and are matched to the file's tensors by value.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch.fx import GraphModule, Interpreter

from artifacts.errors import ModelError
from artifacts.types import Arrays, ExportedFile, Range
from compress.fold import fold
from compress.loop import subset
from compress.quantizers import Calibration
from compress.quantizers.integer_pad import pad_in_integers
from compress.quantizers.isa import has_vnni
from compress.quantizers.streaming import Observer, minmax, percentile

FILE = "model.onnx"


def quantize_asymmetric(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """U8 activations, S8 weights per channel: ONNX Runtime's fastest form on x86 with VNNI and on ARM.

    Without VNNI the 8-bit products saturate, so weights then keep to 7 bits.
    """
    reduce = not has_vnni()
    note = "U8S8, weights in 7 bits: this CPU has no VNNI" if reduce else "U8S8, VNNI"
    return _quantize(file, folder, calibration, symmetric=False, reduce_range=reduce, note=note)


def quantize_symmetric(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """S8 activations and weights, zero points 0: what TensorRT takes."""
    return _quantize(file, folder, calibration, symmetric=True, reduce_range=False, note="S8S8 symmetric")


def _quantize(
    file: ExportedFile, folder: Path, calibration: Calibration, *, symmetric: bool, reduce_range: bool, note: str
) -> ExportedFile:
    config, split = calibration.config, calibration.split
    indices = subset(split, config.calibration_samples, calibration.seed)
    observer = Observer(file.path)
    if config.calibrator == "percentile":
        ranges = percentile(observer, split, indices, config.percentile)
    else:
        ranges = minmax(observer, split, indices)
    how = f"{len(indices)} calibration samples, {config.calibrator}"
    if calibration.model.ranges:
        matched = match(calibration, observer, split.batch(indices[:8])[0])
        ranges |= matched
        how = f"{len(matched)} ranges learned in training"
    model = insert_qdq(
        onnx.load(file.path), ranges, symmetric=symmetric, reduce_range=reduce_range, per_channel=config.per_channel
    )
    onnx.save(model, folder / FILE)
    onnx.checker.check_model(str(folder / FILE))
    return ExportedFile(file.format, folder, FILE, file.signature, "int8", (*file.notes, note, how))


def insert_qdq(
    model: onnx.ModelProto,
    ranges: dict[str, Range],
    *,
    symmetric: bool,
    reduce_range: bool,
    per_channel: bool = True,
    exclude: Sequence[str] = (),
) -> onnx.ModelProto:
    """The model with QDQ pairs around each operator that has an integer kernel, but for the nodes in `exclude`."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    root = logging.getLogger()  # the quantizer logs its advice there
    level = root.level
    root.setLevel(max(level, logging.ERROR))
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(model),
        per_channel=per_channel,
        reduce_range=reduce_range,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[],
        nodes_to_exclude=list(exclude),
        op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
        # TensorRT refuses a DequantizeLinear on an int32 bias; ONNX Runtime wants it
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True, "QuantizeBias": not symmetric},
    )
    try:
        quantizer.quantize_model()
    finally:
        root.setLevel(level)
    made: onnx.ModelProto = quantizer.model.model
    if not symmetric:  # TensorRT wants its pairs around every operator
        pad_in_integers(made)
    quantizer.model.topological_sort()  # the quantizer appends its nodes at the end; the specification wants order
    made.producer_name = "tightship"
    if not any(n.op_type == "QuantizeLinear" for n in made.graph.node):
        raise ModelError("nothing in the ONNX file could be quantized; leave out `quantize` for this model.")
    return made


class _Values(Interpreter):
    """Runs a graph and keeps the value of chosen nodes."""

    def __init__(self, module: GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self.names, self.found = names, dict[str, Any]()

    def run_node(self, n: torch.fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.names:
            self.found[n.name] = result.numpy()
        return result


@torch.no_grad()
def match(calibration: Calibration, observer: Observer, inputs: Arrays) -> dict[str, Range]:
    """The learned ranges by the file's tensor names: the tensor that holds the same values has the same range.

    Raises:
        ModelError: a learned range finds no tensor, so the file would not compute what was trained.
    """
    model = calibration.model
    graph = _Values(fold(model.module, model.signature), set(model.ranges))
    graph.run(*(torch.from_numpy(a) for a in inputs.values()))
    seen = observer.values(inputs)
    matched: dict[str, Range] = {}
    for node, limits in model.ranges.items():
        value = graph.found[node]
        spread = float(value.std()) + 1e-12
        same = [
            name
            for name, other in seen.items()
            if other.shape == value.shape and float(np.abs(other - value).max()) < 1e-3 * spread
        ]
        if not same:
            raise ModelError(f"the learned range of {node!r} matches no tensor of the ONNX file; export and training differ.")
        matched |= dict.fromkeys(same, limits)
    return matched
