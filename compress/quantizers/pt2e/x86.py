"""int8 for AOTInductor on x86: PT2E with the X86 Inductor quantizer (U8 activations, S8 weights per channel)."""

import warnings

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from artifacts.errors import TargetUnavailable
from compress.fold import dynamic_shapes, example_tensors, fold
from compress.quantizers import Calibration
from compress.quantizers.isa import has_vnni
from compress.quantizers.layers import check_layers
from compress.training.loop import subset

BATCH = 32


def quantize(calibration: Calibration) -> nn.Module:
    """A converted graph that Inductor compiles to oneDNN's integer kernels; the float model is left as it is.

    Without VNNI the 8-bit products saturate, so activations then keep to 7 bits. A model that was trained with fake
    quantization keeps the ranges and the weights' scales that it learned.

    Raises:
        TargetUnavailable: torchao is not installed.
        ModelError: the learned ranges belong to another graph.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # its import also tells Inductor which kernels the pairs become
            from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
                X86InductorQuantizer,
                get_default_x86_inductor_quantization_config,
            )

            from compress.quantizers.pt2e.quantize import convert
    except ImportError as error:
        raise TargetUnavailable(f"int8 for AOTInductor needs {error.name}: pip install 'tightship[mobile]'.") from None
    model, config = calibration.model, calibration.config
    check_layers(model.module, config.keep_float)
    indices = subset(calibration.split, config.calibration_samples, calibration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = tuple(dynamic_shapes(model.signature).values())
        folded = fold(model.module, model.signature)
        graph = torch.export.export(folded, example_tensors(model.signature), dynamic_shapes=shapes).module()
        assert isinstance(graph, GraphModule)
        quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config(reduce_range=not has_vnni()))
    return convert(graph, quantizer, calibration, indices, model.signature.most(BATCH), exact=True, unfit=_one_channel)


def _one_channel(layer: Node, weight: Tensor) -> bool:
    """Whether a call, with its weight (out, in / groups, height, width), is a convolution over an image with one channel.

    With torch 2.13, a compiled package with such a convolution in int8 gives wrong results without an error; where the
    image has more channels, or this layer stays in float, it does not.
    """
    groups = layer.args[6] if len(layer.args) > 6 else 1
    return weight.ndim == 4 and weight.shape[1] == 1 and bool(groups == 1)
