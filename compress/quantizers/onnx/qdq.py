"""int8 for ONNX Runtime and TensorRT: QuantizeLinear/DequantizeLinear pairs where their integer kernels expect them.

PTQ and QAT share this one path, so their files have the same structure and the same speed: post-training ranges are
observed here, learned ranges come with the model and are matched to the file's tensors by value.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter

from artifacts.errors import ModelError
from artifacts.types import Arrays, ExportedFile, Range
from compress.fold import fold
from compress.quantizers import Calibration
from compress.quantizers.calibrators import calibrate
from compress.quantizers.isa import has_vnni
from compress.quantizers.layers import nodes_of
from compress.quantizers.onnx.attention import float_operators
from compress.quantizers.onnx.integer_pad import pad_in_integers
from compress.quantizers.onnx.keep_float import keep_in_float
from compress.quantizers.pt2e.streaming import Observer
from compress.quantizers.rounding import limit_of
from compress.training.loop import subset
from zoo.calling import arguments

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
    ranges = calibrate(observer, split, indices, config, symmetric=symmetric)
    how = f"{len(indices)} calibration samples, {config.calibrator}"
    if calibration.model.ranges:
        matched = match(calibration, observer, split.batch(indices[:8])[0])
        ranges |= matched
        how = f"{len(matched)} ranges learned in training"
    plain = onnx.load(file.path)
    kept = nodes_of(plain, calibration.model, config.keep_float)
    left = float_operators(plain, ranges)
    model = insert_qdq(
        plain,
        ranges,
        symmetric=symmetric,
        reduce_range=reduce_range and config.weight_bits == 8,
        per_channel=config.per_channel,
        exclude=[*kept, *left],
        weight_bits=config.weight_bits,
    )
    if config.weight_bits == 4:
        # ONNX Runtime 1.31 runs a convolution in float if its weight is stored as INT4
        note = f"{note.split(',')[0]}, weights in 4 bits (-7..7) stored and run as int8"
    if kept:
        how += f", {len(kept)} operators kept in float"
    if left:
        how += f", {len(left)} operators of attention, norms and GELU left in float"
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
    weight_bits: int = 8,
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
        extra_options={
            "ActivationSymmetric": symmetric,
            "WeightSymmetric": True,
            "QuantizeBias": not symmetric,
            "TensorQuantOverrides": narrow(model, limit_of(weight_bits), per_channel, exclude) if weight_bits < 8 else {},
        },
    )
    try:
        quantizer.quantize_model()
    finally:
        root.setLevel(level)
    made: onnx.ModelProto = quantizer.model.model
    if not symmetric:  # TensorRT wants its pairs around every operator
        pad_in_integers(made)
        keep_in_float(made, exclude)
    quantizer.model.topological_sort()  # the quantizer appends its nodes at the end; the specification wants order
    made.producer_name = "tightship"
    if not any(n.op_type == "QuantizeLinear" for n in made.graph.node):
        raise ModelError("nothing in the ONNX file could be quantized; leave out `quantize` for this model.")
    return made


def narrow(model: onnx.ModelProto, limit: int, per_channel: bool, exclude: Sequence[str]) -> dict[str, list[dict[str, object]]]:
    """Scales that round every constant weight of a layer to -limit..limit, in the form that the quantizer takes."""
    from onnxruntime.quantization import QuantType

    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer if len(i.dims) > 1}
    found: dict[str, list[dict[str, object]]] = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.name in exclude or node.input[1] not in constants:
            continue
        weight = constants[node.input[1]]
        turned = node.op_type == "Gemm" and any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if node.op_type == "Conv" or turned else weight.ndim - 1
        others = tuple(i for i in range(weight.ndim) if i != axis) if per_channel else None
        largest = np.maximum(np.atleast_1d(np.abs(weight).max(axis=others)), 1e-12)
        place = {"axis": axis} if per_channel else {}
        found[node.input[1]] = [
            {**place, "quant_type": QuantType.QInt8, "scale": np.float32(m / limit), "zero_point": np.int8(0)} for m in largest
        ]
    return found


class _Values(Interpreter):
    """Runs a graph and keeps the value of chosen nodes."""

    def __init__(self, module: GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self.names, self.found = names, dict[str, NDArray[np.floating]]()

    def run_node(self, n: torch.fx.Node) -> object:
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
    graph.run(*arguments(graph.module, inputs))
    seen = observer.values(inputs)
    matched: dict[str, Range] = {}
    for node, limits in model.ranges.items():
        value = graph.found[node]
        spread = float(value.std()) + 1e-12
        same = [
            name
            for name, other in seen.items()
            if other.shape == value.shape and float(np.abs(np.subtract(other, value)).max()) < 1e-3 * spread
        ]
        if not same:
            raise ModelError(f"the learned range of {node!r} matches no tensor of the ONNX file; export and training differ.")
        matched |= dict.fromkeys(same, limits)
    return matched
