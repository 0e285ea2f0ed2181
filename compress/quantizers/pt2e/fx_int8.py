"""int8 for TorchScript: FX graph mode, the x86 engine. A legacy path of PyTorch that still runs."""

import copy
import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.fx import GraphModule

from artifacts.errors import ModelError
from artifacts.types import TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration
from compress.quantizers.layers import check_layers
from compress.quantizers.rounding import limit_of
from compress.training.loop import subset, tensors
from zoo.calling import arguments
from zoo.outputs import named_outputs

if TYPE_CHECKING:
    from torch.ao.quantization import QConfigMapping

ENGINE = "x86"

WRONG = (
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.functional.conv_transpose1d, nn.functional.conv_transpose2d, nn.functional.conv_transpose3d,
)  # fmt: skip
"""What PyTorch's int8 kernels compute wrongly, so that it stays in float: transposed convolutions (seen in 2.13)."""


def quantize(calibration: Calibration) -> nn.Module:
    """A converted copy with quantized kernels; the float model is left as it is.

    Raises:
        ModelError: FX cannot trace the model, or nothing in it was converted.
    """
    model = calibration.model
    check_layers(model.module, calibration.config.keep_float)
    split, config = calibration.split, calibration.config
    indices = subset(split, config.calibration_samples, calibration.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao.quantization says at every call that it is deprecated
        from torch.ao.quantization import QConfigMapping, get_default_qconfig_mapping
        from torch.ao.quantization.fx.custom_config import PrepareCustomConfig
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        torch.backends.quantized.engine = ENGINE
        mapping: QConfigMapping = get_default_qconfig_mapping(ENGINE)
        if not config.per_channel or config.weight_bits < 8:
            _weights(mapping, config)
        for layer in config.keep_float:
            mapping.set_module_name(layer, None)
        for kind in WRONG:
            mapping.set_object_type(kind, None)
        # what is compiled within the traced program stays in float: FX cannot follow its control flow
        whole = PrepareCustomConfig().set_non_traceable_module_names(list(model.scripted))
        example = arguments(model.module, tensors(split, indices[:2])[0])
        try:
            prepared = prepare_fx(copy.deepcopy(model.module).eval(), mapping, example, whole)
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            raise ModelError(
                f"FX cannot trace the model for TorchScript int8: {first}; leave int8 out for this target."
            ) from error
        with torch.no_grad():
            for start in range(0, len(indices), 32):
                prepared(*arguments(model.module, tensors(split, indices[start : start + 32])[0]))
        _refuse_other_outputs(prepared, model, example)
        keep_alpha(prepared)
        converted: nn.Module = convert_fx(prepared)
    if not any("quantized" in type(m).__module__ for m in converted.modules()):
        raise ModelError("FX converted no layer of the model to int8; leave int8 out for this target.")
    return converted


def scaled_sum(left: torch.Tensor, right: torch.Tensor, *, alpha: float = 1.0, out: None = None) -> torch.Tensor:
    """left + alpha * right, in float."""
    return left + alpha * right


def scaled_difference(left: torch.Tensor, right: torch.Tensor, *, alpha: float = 1.0, out: None = None) -> torch.Tensor:
    """left - alpha * right, in float."""
    return left - alpha * right


def keep_alpha(prepared: GraphModule) -> int:
    """Have sums and differences with an `alpha` computed in float, in place; how many there were.

    The integer kernel that `torch.add` becomes drops it without a word (seen in 2.13).
    """
    count = 0
    for node in prepared.graph.nodes:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if node.op not in ("call_function", "call_method") or node.kwargs.get("alpha", 1) == 1:
            continue
        if name.rstrip("_") in ("add", "sub"):
            node.op, node.target = "call_function", scaled_sum if name.startswith("add") else scaled_difference
            count += 1
    prepared.recompile()
    return count


def _weights(mapping: "QConfigMapping", config: QuantizeConfig) -> None:
    """Have weights rounded to the config's bits, with one scale per output channel or one."""
    from torch.ao.quantization import QConfig
    from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

    limit = limit_of(config.weight_bits)
    kind, scheme = (
        (PerChannelMinMaxObserver, torch.per_channel_symmetric)
        if config.per_channel
        else (MinMaxObserver, torch.per_tensor_symmetric)
    )
    weight = kind.with_args(dtype=torch.qint8, qscheme=scheme, quant_min=-limit, quant_max=limit)
    usual = mapping.global_qconfig
    assert usual is not None
    # layers that fuse must agree, so it is set for all that have no rule of their own
    mapping.set_global(QConfig(activation=usual.activation, weight=weight))  # type: ignore[no-untyped-call]


@torch.no_grad()
def _refuse_other_outputs(prepared: nn.Module, model: TorchModel, example: tuple[torch.Tensor, ...]) -> None:
    """FX follows proxies, so that a network which looks at types in Python may give other outputs than it does by itself."""
    traced = list(named_outputs(prepared(*example)))
    wanted = [spec.name for spec in model.signature.outputs]
    if traced != wanted:
        raise ModelError(
            f"FX makes a program with the outputs {', '.join(traced)}, and the model gives {', '.join(wanted)}: its forward "
            "looks at types in Python; take that out, or leave int8 out for this target."
        )
