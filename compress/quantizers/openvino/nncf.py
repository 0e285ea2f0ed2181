"""int8 for OpenVINO by NNCF: it places the roundings that the CPU plugin fuses; PTQ and QAT share that structure.

Post-training ranges are NNCF's own, or those of the recipe's calibrator; ranges learned in training come with the model and
are matched to the IR's tensors by value.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.types import ExportedFile, Range
from compress.fakequant import affine
from compress.quantizers import Calibration
from compress.quantizers.calibrators import calibrate
from compress.quantizers.isa import has_vnni
from compress.quantizers.onnx.qdq import match
from compress.quantizers.openvino.graph import IrObserver, attends, layers_of, pooled_with_padding, save, source_of
from compress.quantizers.pt2e.streaming import batches
from compress.training.loop import subset

if TYPE_CHECKING:
    import openvino as ov

FILE = "model.xml"


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """U8 activations, S8 weights per channel, biases corrected; with learned ranges, those and the trained biases.

    Without VNNI the 8-bit products saturate, so weights then keep to 7 bits.

    Raises:
        TargetUnavailable: nncf or openvino is not installed.
        RequestError: the config asks for what NNCF cannot do for this target.
        ModelError: nothing in the file can be quantized.
    """
    try:
        import openvino as ov

        os.environ.setdefault("NNCF_CI", "1")  # read as it is imported: it reports its use over the network otherwise
        import nncf
    except ImportError as error:
        raise TargetUnavailable(f"int8 for OpenVINO needs {error.name}: pip install 'tightship[openvino]'.") from None
    del nncf
    config = calibration.config
    if config.weight_bits != 8:
        raise RequestError(f"weight_bits: {config.weight_bits}: int8 for openvino-cpu stores weights in 8 bits; leave it out.")
    plain = ov.Core().read_model(file.path)
    kept = layers_of(plain, calibration.model, config.keep_float)
    made = _place(plain, calibration, kept)
    how = _set_ranges(made, plain, calibration)
    if kept:
        how += f", {len(kept)} operators kept in float"
    save(made, folder / FILE)
    note = "NNCF, U8S8, VNNI" if has_vnni() else "NNCF, U8S8, weights in 7 bits: this CPU has no VNNI"
    return ExportedFile(file.format, folder, FILE, file.signature, "int8", ("OpenVINO IR 11", note, how))


def _place(plain: "ov.Model", calibration: Calibration, kept: Iterable[str]) -> "ov.Model":
    """The quantized model as NNCF makes it: weights in int8, and a FakeQuantize on every activation that is rounded.

    Raises:
        ModelError: nothing was quantized.
    """
    import nncf
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        OverflowFix,
        QuantizationParameters,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    config, split = calibration.config, calibration.split
    learned = bool(calibration.model.ranges)
    parts = batches(split, subset(split, config.calibration_samples, calibration.seed))
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        made = nncf.quantize(
            plain,
            nncf.Dataset(parts, lambda indices: split.batch(indices)[0]),
            subset_size=1 if learned else len(parts),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            # keeps softmax, norms and what masks touch in float
            model_type=nncf.ModelType.TRANSFORMER if attends(plain) else None,
            target_device=nncf.TargetDevice.CPU,
            ignored_scope=nncf.IgnoredScope(names=list(kept)),
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.DISABLE if has_vnni() else OverflowFix.ENABLE,
                # for fused q, k and v its factors made answers depend on the batch (NNCF 3.4)
                smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
                # training has settled the biases already
                disable_bias_correction=learned,
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                weights_quantization_params=QuantizationParameters(per_channel=config.per_channel),
            ),
        )
    if not any(op.get_type_name() == "FakeQuantize" for op in made.get_ops()):
        raise ModelError("nothing in the OpenVINO file could be quantized; leave out `quantize` for this model.")
    return made


def _set_ranges(made: "ov.Model", plain: "ov.Model", calibration: Calibration) -> str:
    """Give the activations their ranges, where these are not NNCF's; what was done, in words."""
    config, split = calibration.config, calibration.split
    indices = subset(split, config.calibration_samples, calibration.seed)
    seen = f"{len(indices)} calibration samples, {config.calibrator}"
    roundings = [op for op in made.get_ops() if op.get_type_name() == "FakeQuantize"]
    if not calibration.model.ranges:
        if config.calibrator != "minmax":
            _write(roundings, calibrate(IrObserver(plain), split, indices, config, symmetric=False))
        return seen
    observer = IrObserver(plain)
    ranges = match(calibration, observer, split.batch(indices[:8])[0])
    learned = sum(source_of(op, ranges) is not None for op in roundings)
    how = f"{learned} ranges learned in training"
    if learned < len(roundings):
        ranges = calibrate(observer, split, indices, config, symmetric=False) | ranges
        how += f", {len(roundings) - learned} from {seen}"
    _write(roundings, ranges)
    return how


def _write(roundings: "Iterable[ov.Node]", ranges: Mapping[str, Range]) -> None:
    """Set each FakeQuantize whose tensor has a range to 256 levels of it, one of them zero."""
    import numpy as np
    from openvino import opset13

    for op in roundings:
        name = source_of(op, ranges)
        if name is None:
            continue
        low, high = ranges[name]
        if low < 0 and pooled_with_padding(op):
            low, high = -128 / 127 * max(high, -low * 127 / 128), max(high, -low * 127 / 128)
        scale, zero_point = affine(low, high)
        for port, level in ((1, -zero_point), (2, 255 - zero_point)):
            limit = opset13.constant(np.full(op.input(port).get_shape(), level * scale, np.float32)).output(0)
            for end in (port, port + 2):  # the range that is taken, and the range that is given back
                op.input(end).replace_source_output(limit)
