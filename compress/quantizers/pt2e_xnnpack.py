"""int8 for ExecuTorch: PT2E with the XNNPACK quantizer (symmetric, weights per channel)."""

import copy
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.fx import GraphModule, Node

from artifacts.errors import TargetUnavailable
from compress.fold import example_tensors
from compress.loop import subset, tensors
from compress.quantizers import Calibration
from compress.quantizers.layers import check_layers, names_layer
from compress.quantizers.rounding import limit_of
from compress.shortcuts import as_convolutions


def quantize(calibration: Calibration) -> nn.Module:
    """A converted graph whose quantize/dequantize pairs XNNPACK's delegate takes; the float model is left as it is.

    Padded shortcuts are convolutions, so that they stay in the delegate.

    Raises:
        TargetUnavailable: executorch or torchao is not installed.
    """
    return _quantize(calibration, as_convolutions)


def quantize_stock(calibration: Calibration) -> nn.Module:
    """The same steps on the graph as torch.export gives it: what a user of the stock tools deploys.

    Raises:
        TargetUnavailable: executorch or torchao is not installed.
    """
    return _quantize(calibration, lambda graph: 0)


def _quantize(calibration: Calibration, improve: Callable[[GraphModule], int]) -> nn.Module:
    try:
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    except ImportError as error:
        raise TargetUnavailable(f"int8 for ExecuTorch needs {error.name}: pip install 'tightship[mobile]'.") from None
    model, split, config = calibration.model, calibration.split, calibration.config
    check_layers(model.module, config.keep_float)
    limit = limit_of(config.weight_bits)
    indices = subset(split, calibration.config.calibration_samples, calibration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = tuple(x[:1] for x in example_tensors(model.signature))
        graph = torch.export.export(copy.deepcopy(model.module).eval(), example).module()
        improve(graph)
        quantizer = XNNPACKQuantizer().set_global(
            get_symmetric_quantization_config(is_per_channel=config.per_channel, weight_qmin=-limit, weight_qmax=limit)
        )
        quantizer.set_filter_function(lambda node: not _belongs(node, config.keep_float))
        prepared = prepare_pt2e(graph, quantizer)
        with torch.no_grad():
            for index in indices:  # the graph holds a fixed batch of one, as it will run
                prepared(*tensors(split, index[None])[0].values())
        made: nn.Module = convert_pt2e(prepared)
    return made


def _belongs(node: Node, layers: Iterable[str]) -> bool:
    """Whether an operator of the exported graph is inside one of the named layers, by its weight or by where it was called."""
    weights = (str(a.target) for a in node.args if isinstance(a, Node) and a.op == "get_attr")
    calls = (f"{name}." for name, _ in node.meta.get("nn_module_stack", {}).values() if name)
    return any(names_layer(name.removeprefix("L['self']."), layers) for name in (*weights, *calls))
