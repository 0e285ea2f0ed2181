"""Linear layers with weights in blocks of 4 or 8 bits (`int4-weights`, `int8-weights`) for ONNX Runtime's MatMulNBits."""

import logging
from pathlib import Path

import onnx

from artifacts.errors import ModelError
from artifacts.types import ExportedFile
from compress.quantizers import Calibration
from compress.quantizers.layers import as_matmul, count_layers, nodes_of
from compress.quantizers.rounding import WEIGHT_ONLY

FILE = "model.onnx"


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """Weights rounded symmetrically in blocks of `block_size` inputs, each with a scale; all arithmetic in float.

    Raises:
        ModelError: the file has no linear layer.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    config = calibration.config
    bits = WEIGHT_ONLY[config.scheme]
    model = onnx.load(file.path)
    weighted = count_layers(model)
    kept = as_matmul(model, nodes_of(model, calibration.model, config.keep_float))
    quiet = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        quantizer = MatMulNBitsQuantizer(
            model, bits=bits, block_size=config.block_size, is_symmetric=True, nodes_to_exclude=kept
        )
        quantizer.process()
    finally:
        quiet.setLevel(level)
    made = quantizer.model.model
    done = sum(n.op_type == "MatMulNBits" for n in made.graph.node)
    if not done:
        raise ModelError(f"{config.scheme} found no linear layer in the ONNX file; use scheme int8 for this model.")
    made.producer_name = "tightship"
    onnx.save(made, folder / FILE)
    note = f"int{bits} weights in blocks of {config.block_size}, float arithmetic: {done} of {weighted} layers"
    return ExportedFile(file.format, folder, FILE, file.signature, config.scheme, (*file.notes, note))
