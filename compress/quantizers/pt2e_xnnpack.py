"""int8 for ExecuTorch: PT2E with the XNNPACK quantizer (symmetric, weights per channel)."""

import copy
import warnings

import torch
from torch import nn

from artifacts.errors import TargetUnavailable
from compress.fold import example_tensors
from compress.loop import subset, tensors
from compress.quantizers import Calibration


def quantize(calibration: Calibration) -> nn.Module:
    """A converted graph whose quantize/dequantize pairs XNNPACK's delegate takes; the float model is left as it is.

    Raises:
        TargetUnavailable: executorch or torchao is not installed.
    """
    try:
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    except ImportError as error:
        raise TargetUnavailable(f"int8 for ExecuTorch needs {error.name}: pip install 'tightship[mobile]'.") from None
    model, split = calibration.model, calibration.split
    indices = subset(split, calibration.config.calibration_samples, calibration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = tuple(x[:1] for x in example_tensors(model.signature))
        graph = torch.export.export(copy.deepcopy(model.module).eval(), example).module()
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for index in indices:  # the graph holds a fixed batch of one, as it will run
                prepared(*tensors(split, index[None])[0].values())
        made: nn.Module = convert_pt2e(prepared)
    return made
