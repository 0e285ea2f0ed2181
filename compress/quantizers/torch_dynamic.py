"""int8 with ranges taken from each input as it comes (`int8-dynamic`) for TorchScript: linear layers, LSTMs and GRUs."""

import copy
import warnings

import torch
from torch import nn

from artifacts.errors import ModelError
from compress.quantizers import Calibration
from compress.quantizers.layers import check_layers, names_layer

KINDS = (nn.Linear, nn.LSTM, nn.GRU)
ENGINE = "x86"


def quantize(calibration: Calibration) -> nn.Module:
    """A converted copy; the float model is left as it is. Recurrent layers have one scale per weight tensor, whatever is asked.

    Raises:
        ModelError: the model has none of these layers.
    """
    config, module = calibration.config, calibration.model.module
    check_layers(module, config.keep_float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao.quantization says at every call that it is deprecated
        from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig, quantize_dynamic

        wanted = {
            name: per_channel_dynamic_qconfig if config.per_channel and isinstance(part, nn.Linear) else default_dynamic_qconfig
            for name, part in module.named_modules()
            if name and type(part) in KINDS and not names_layer(f"{name}.weight", config.keep_float)
        }
        if not wanted:
            raise ModelError("int8-dynamic found no linear layer, LSTM or GRU in the model; use scheme int8 for it.")
        torch.backends.quantized.engine = ENGINE
        made: nn.Module = quantize_dynamic(copy.deepcopy(module).eval(), wanted)  # type: ignore[no-untyped-call]
    return made
