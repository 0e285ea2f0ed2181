"""Core ML packages (`.mlpackage`) by coremltools, which converts on any system: a fixed batch of one, as a device runs it."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ExportedFile, TorchModel
from compress.fold import example_tensors, fold
from compress.quantizers.coreml.half import ComputedHalf
from compress.quantizers.coreml.package import save
from export.fixed import fixed
from zoo.outputs import named_outputs

FILE = "model.mlpackage"
TYPES: dict[str, type[np.generic]] = {"float32": np.float32, "float16": np.float16, "int32": np.int32, "int64": np.int32}
"""What a tensor of the model is in Core ML, which has no 64-bit numbers."""


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.mlpackage`, an ML Program for iOS 16 and macOS 13 or later.

    Raises:
        TargetUnavailable: coremltools is not installed.
        ModelError: the model cannot be traced, or Core ML lacks one of its operators or types.
    """
    try:
        import coremltools as ct
    except ImportError as error:
        raise TargetUnavailable(f"Core ML files need {error.name}: pip install 'tightship[coreml]'.") from None
    signature = fixed(model.signature)
    half = isinstance(model.module, ComputedHalf)
    module = model.module.inner if isinstance(model.module, ComputedHalf) else model.module
    program = _traced(_Flat(fold(module, model.signature)).eval(), signature)
    precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
    try:
        made = ct.convert(
            program,
            convert_to="mlprogram",
            inputs=[ct.TensorType(s.name, s.shape, _type(s)) for s in signature.inputs],
            outputs=[ct.TensorType(s.name, dtype=_type(s)) for s in signature.outputs] or None,
            compute_precision=precision,
            minimum_deployment_target=ct.target.iOS16,
            skip_model_load=True,
        )
    except ModelError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(
            f"coremltools cannot convert the model: {type(error).__name__}: {(lines or ['no message'])[0].rstrip('.')}; "
            "take coreml out, or change the model."
        ) from error
    save(made, folder / FILE)
    kind = "fp16" if half else "fp32"
    return ExportedFile("coreml", folder, FILE, signature, kind, ("fixed batch of 1", f"ML Program that computes in {kind}"))


class _Flat(nn.Module):
    """A network whose outputs are a tensor or a tuple: coremltools knows no dicts, and their names are given apart."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """The outputs in order."""
        made = tuple(named_outputs(self.inner(*inputs)).values())
        return made[0] if len(made) == 1 else made


def _traced(module: nn.Module, signature: Signature) -> Any:
    """The network as a traced program.

    Raises:
        ModelError: it cannot be traced.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.jit.trace(module, example_tensors(signature), strict=False)  # type: ignore[no-untyped-call]
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"the model cannot be traced for Core ML: {type(error).__name__}: {first}.") from error


def _type(spec: TensorSpec) -> type[np.generic]:
    if spec.dtype not in TYPES:
        known = ", ".join(TYPES)
        raise ModelError(
            f"{spec.name!r} is {spec.dtype}, which Core ML does not take; it takes {known}: convert it in the model."
        )
    return TYPES[spec.dtype]
