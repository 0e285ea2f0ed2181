"""Weights and activations in 16-bit floats (`fp16`, `bf16`); inputs and outputs stay float32."""

import copy
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from artifacts.errors import ModelError, RequestError
from artifacts.types import ExportedFile
from compress.fold import fold
from compress.quantizers import Calibration
from compress.quantizers.layers import nodes_of

FILE = "model.onnx"


def quantize_onnx(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """fp16 for ONNX Runtime. On the CPU it is a way to store: operators without a kernel for it run in float32, between casts.

    Raises:
        ModelError: the converter cannot take the model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every value that becomes zero
        from onnxruntime.quantization.onnx_model import ONNXModel
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = onnx.load(file.path)
        kept = nodes_of(model, calibration.model, calibration.config.keep_float)
        try:
            made = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
            ONNXModel(made).topological_sort()  # it appends its casts at the end
            del made.graph.value_info[:]  # and leaves the types that were
            onnx.checker.check_model(made, full_check=True)
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise ModelError(f"the ONNX file cannot be converted to fp16: {type(error).__name__}: {first}.") from error
    onnx.save(made, folder / FILE)
    note = "fp16 as stored; on a CPU it is computed in float32 wherever there is no fp16 kernel"
    return ExportedFile(file.format, folder, FILE, file.signature, "fp16", (*file.notes, note))


class Half(nn.Module):
    """A network that computes in a 16-bit type between float32 inputs and outputs."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner.to(dtype), dtype

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...] | dict[str, Tensor]:
        """Floating inputs are rounded on the way in; outputs are float32."""
        outputs = self.inner(*(x.to(self.dtype) if x.is_floating_point() else x for x in inputs))
        if isinstance(outputs, Tensor):
            return _single(outputs)
        if isinstance(outputs, dict):
            return {name: _single(value) for name, value in outputs.items()}
        return tuple(_single(value) for value in outputs)


def _single(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def quantize_module(calibration: Calibration) -> nn.Module:
    """A copy in fp16 or bf16, as the scheme says; the float model is left as it is.

    Raises:
        RequestError: `keep_float` is given, and the program has one type throughout.
    """
    config = calibration.config
    if config.keep_float:
        raise RequestError(
            f"keep_float: a TorchScript program in {config.scheme} has one type throughout; leave keep_float out for it."
        )
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[config.scheme]
    module = copy.deepcopy(calibration.model.module).eval()
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        # folded in float32 first: batch norms that are folded in 16 bits are another function
        folded = fold(module, calibration.model.signature)
        for node in folded.graph.nodes:
            if node.kwargs.get("dtype") is torch.float32:
                node.kwargs = {**node.kwargs, "dtype": dtype}
        folded.recompile()
        module = folded
    return Half(module, dtype).eval()
