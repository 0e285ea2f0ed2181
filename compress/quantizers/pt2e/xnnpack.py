"""int8 for ExecuTorch: PT2E with the XNNPACK quantizer (symmetric, weights per channel)."""

import copy
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.fx import GraphModule, Node

from artifacts.errors import TargetUnavailable
from compress.constants import fold_constants
from compress.edits.shortcuts import as_convolutions
from compress.fold import example_tensors, is_layer, operator
from compress.quantizers import Calibration
from compress.quantizers.layers import check_layers, names_layer
from compress.quantizers.rounding import limit_of
from compress.training.loop import subset

PRODUCTS = ("matmul", "bmm", "mm", "addmm", "baddbmm", "embedding", "conv_transpose1d", "conv_transpose2d")
"""Operators that multiply, and tables; convolutions and linear layers beside them."""


def quantize(calibration: Calibration) -> nn.Module:
    """A converted graph whose quantize/dequantize pairs XNNPACK's delegate takes; the float model is left as it is.

    Padded shortcuts are convolutions, so that they stay in the delegate. A model that was trained with fake quantization
    keeps the ranges and the weights' scales that it learned.

    Raises:
        TargetUnavailable: executorch or torchao is not installed.
        ModelError: the learned ranges belong to another graph.
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

        from compress.quantizers.pt2e.quantize import convert
    except ImportError as error:
        raise TargetUnavailable(f"int8 for ExecuTorch needs {error.name}: pip install 'tightship[mobile]'.") from None
    model, config = calibration.model, calibration.config
    check_layers(model.module, config.keep_float)
    limit = limit_of(config.weight_bits)
    indices = subset(calibration.split, config.calibration_samples, calibration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = tuple(x[:1] for x in example_tensors(model.signature))
        graph = torch.export.export(copy.deepcopy(model.module).eval(), example).module()
        assert isinstance(graph, GraphModule)
        fold_constants(graph)
        improve(graph)
        quantizer = XNNPACKQuantizer().set_global(
            get_symmetric_quantization_config(is_per_channel=config.per_channel, weight_qmin=-limit, weight_qmax=limit)
        )
        masked = scores(graph)
        quantizer.set_filter_function(lambda node: node not in masked and not _belongs(node, config.keep_float))
    # the graph holds a fixed batch of one, as it will run
    return convert(graph, quantizer, calibration, indices, 1)


def scores(graph: GraphModule) -> set[Node]:
    """What lies between a softmax and the multiplications whose results it is of: a mask leaves no steps for the rest there."""
    found = set[Node]()
    waiting = [source for node in graph.graph.nodes if operator(node) == "softmax" for source in node.all_input_nodes]
    while waiting:
        node = waiting.pop()
        if node in found or node.op != "call_function" or is_layer(node) or operator(node) in PRODUCTS:
            continue
        found.add(node)
        waiting += node.all_input_nodes
    return found


def _belongs(node: Node, layers: Iterable[str]) -> bool:
    """Whether an operator of the exported graph is inside one of the named layers, by its weight or by where it was called."""
    weights = (str(a.target) for a in node.args if isinstance(a, Node) and a.op == "get_attr")
    calls = (f"{name}." for name, _ in node.meta.get("nn_module_stack", {}).values() if name)
    return any(names_layer(name.removeprefix("L['self']."), layers) for name in (*weights, *calls))
