"""int8 for TorchScript: FX graph mode, the x86 engine. A legacy path of PyTorch that still runs."""

import copy
import warnings

import torch
from torch import nn

from artifacts.errors import ModelError
from compress.loop import subset, tensors
from compress.quantizers import Calibration

ENGINE = "x86"


def quantize(calibration: Calibration) -> nn.Module:
    """A converted copy with quantized kernels; the float model is left as it is.

    Raises:
        ModelError: FX cannot trace the model, or nothing in it was converted.
    """
    model = calibration.model
    split, config = calibration.split, calibration.config
    indices = subset(split, config.calibration_samples, calibration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao.quantization says at every call that it is deprecated
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        torch.backends.quantized.engine = ENGINE
        example = tuple(tensors(split, indices[:2])[0].values())
        try:
            prepared = prepare_fx(copy.deepcopy(model.module).eval(), get_default_qconfig_mapping(ENGINE), example)
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise ModelError(
                f"FX cannot trace the model for TorchScript int8: {first}; leave int8 out for this target."
            ) from error
        with torch.no_grad():
            for start in range(0, len(indices), 32):
                prepared(*tensors(split, indices[start : start + 32])[0].values())
        converted: nn.Module = convert_fx(prepared)
    if not any("quantized" in type(m).__module__ for m in converted.modules()):
        raise ModelError("FX converted no layer of the model to int8; leave int8 out for this target.")
    return converted
