"""ncnn files (.param and .bin) by pnnx, from a traced program: one example at a time, since ncnn has no batch."""

import subprocess
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from artifacts.environments import child_environment
from artifacts.errors import ModelError, StageCrashed, TargetUnavailable
from artifacts.specs import Signature
from artifacts.types import ExportedFile, TorchModel
from compress.fold import example_tensors, fold
from compress.quantizers.ncnn_half import StoredHalf
from export.fixed import fixed

FILE, WEIGHTS = "model.param", "model.bin"
MEND = "pip install 'tightship[ncnn]'"
TIMEOUT = 600.0


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.param` (the network) and `model.bin` (its weights).

    Raises:
        TargetUnavailable: ncnn or pnnx is not installed.
        ModelError: the model cannot be traced, or holds an operator that ncnn lacks.
        StageCrashed: pnnx died or did not end.
    """
    try:
        import ncnn  # noqa: F401  asked for before any work
        import pnnx
    except ImportError as error:
        raise TargetUnavailable(f"ncnn files need {error.name}: {MEND}.") from None
    signature = fixed(model.signature)
    half = isinstance(model.module, StoredHalf)
    # ncnn has no bytes: they are given as real numbers, which hold them exactly
    whole, traced = (
        replace(told, inputs=tuple(replace(s, dtype=_without_bytes(s.dtype)) for s in told.inputs))
        for told in (model.signature, signature)
    )
    shapes = ",".join(f"{list(t.shape)}{_kind(t)}".replace(" ", "") for t in example_tensors(traced))
    module = model.module.inner if isinstance(model.module, StoredHalf) else model.module
    unknown: list[str] = []
    # the folded graph has simpler shortcuts; pnnx knows recurrent layers as modules alone
    for form in (fold(module, whole), module):
        with tempfile.TemporaryDirectory() as work:
            _trace(form, traced, Path(work) / "model.pt")
            _convert(pnnx.EXEC_PATH, Path(work) / "model.pt", shapes, half, folder)
        left = _unknown(folder / FILE)
        if not left:
            break
        unknown = unknown or left
    else:
        raise ModelError(
            f"ncnn has no operator for {', '.join(unknown)}, which the model needs; take ncnn-cpu out, or change the model."
        )
    _check(folder / FILE, len(signature.inputs), len(signature.outputs))
    notes = ("fixed batch of 1", "weights stored in fp16" if half else "weights stored in fp32")
    return ExportedFile("ncnn", folder, FILE, signature, "fp16" if half else "fp32", notes)


def _without_bytes(dtype: str) -> str:
    return "float32" if dtype in ("uint8", "int8", "bool") else dtype


def _kind(tensor: torch.Tensor) -> str:
    """What pnnx calls a tensor's type."""
    return {torch.float32: "f32", torch.float16: "f16", torch.int64: "i64", torch.int32: "i32"}.get(tensor.dtype, "f32")


def _trace(module: nn.Module, signature: Signature, path: Path) -> None:
    """Write a network in eval mode as TorchScript."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced: Any = torch.jit.trace(module, example_tensors(signature), strict=False)  # type: ignore[no-untyped-call]
            traced.save(str(path))
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"the model cannot be traced for ncnn: {type(error).__name__}: {first}.") from error


def _convert(program: str, traced: Path, shapes: str, half: bool, folder: Path) -> None:
    """Have pnnx write the two files; what else it writes stays beside the traced program."""
    command = [
        program, str(traced), f"inputshape={shapes}", f"fp16={int(half)}",
        f"ncnnparam={folder / FILE}", f"ncnnbin={folder / WEIGHTS}",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=traced.parent, capture_output=True, text=True, timeout=TIMEOUT, env=child_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        raise StageCrashed(f"pnnx did not end within {TIMEOUT:.0f} s.") from None
    if done.returncode or not (folder / FILE).is_file() or not (folder / WEIGHTS).is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(f"pnnx cannot convert the model for ncnn (exit code {done.returncode}): {last.rstrip('.')}.")


def _layers(path: Path) -> list[list[str]]:
    """The lines of a `.param` file: type, name, number of inputs and outputs, their names, options."""
    return [line.split() for line in path.read_text().splitlines()[2:] if line.strip()]


def _unknown(path: Path) -> list[str]:
    """The operators of a file that ncnn lacks: pnnx writes them into it and says nothing."""
    import ncnn

    return sorted({parts[0] for parts in _layers(path) if ncnn.layer_to_index(parts[0]) < 0})


def _check(path: Path, inputs: int, outputs: int) -> None:
    """Refuse a file that lost an input or an output.

    Raises:
        ModelError: one is gone.
    """
    blobs = {name for parts in _layers(path) for name in parts[4 : 4 + int(parts[2]) + int(parts[3])]}
    missing = [n for n in (*(f"in{i}" for i in range(inputs)), *(f"out{i}" for i in range(outputs))) if n not in blobs]
    if missing:
        raise ModelError(f"pnnx dropped {', '.join(missing)} of the model; an input or output that is not used cannot stay.")
