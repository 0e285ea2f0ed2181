"""int8 with ranges taken from each input as it comes (`int8-dynamic`), for linear layers and LSTMs in ONNX Runtime."""

import logging
from pathlib import Path

import onnx

from artifacts.errors import ModelError
from artifacts.types import ExportedFile
from compress.quantizers import Calibration
from compress.quantizers.isa import has_vnni
from compress.quantizers.layers import as_matmul, count_layers, nodes_of

FILE = "model.onnx"
OPERATORS = ("MatMul", "LSTM")
"""Gemm is rewritten as MatMul and Add first. ONNX Runtime has no dynamic GRU, and its ConvInteger is slower than float."""


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """Weights in int8; activations rounded to uint8 as they come, so there is nothing to calibrate.

    Raises:
        ModelError: the file has no linear layer and no LSTM.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    config = calibration.config
    model = onnx.load(file.path)
    weighted = count_layers(model)
    kept = as_matmul(model, nodes_of(model, calibration.model, config.keep_float))
    reduce = not has_vnni()
    root = logging.getLogger()  # the quantizer logs its advice there
    level = root.level
    root.setLevel(max(level, logging.ERROR))
    try:
        quantize_dynamic(
            model,
            folder / FILE,
            op_types_to_quantize=list(OPERATORS),
            per_channel=config.per_channel,
            reduce_range=reduce,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
        )
    finally:
        root.setLevel(level)
    made = onnx.load(folder / FILE)
    done = sum(n.op_type in ("MatMulInteger", "DynamicQuantizeLSTM") for n in made.graph.node)
    if not done:
        raise ModelError("int8-dynamic found no linear layer and no LSTM in the ONNX file; use scheme int8 for this model.")
    made.producer_name, made.producer_version = "tightship", ""
    onnx.save(made, folder / FILE)
    note = f"int8 weights, activations rounded as they come: {done} of {weighted} layers"
    notes = (*file.notes, note, *(("weights in 7 bits: this CPU has no VNNI",) if reduce else ()))
    return ExportedFile(file.format, folder, FILE, file.signature, "int8-dynamic", notes)
