"""AOTInductor packages (.pt2): the network compiled to machine code for the CPU at hand, by torch.export and Inductor.

https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""

import inspect
import json
import os
import re
import shutil
import sys
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import ExportedFile, TorchModel
from compress.fold import dynamic_shapes, example_tensors, fold
from compress.quantizers.half import Half
from export.aotinductor.package import CPU_FLAGS, SIGNATURE, TORCH, vector_flags

FILE = "model.pt2"


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.pt2`, for this CPU only; every dynamic dimension of the signature stays dynamic.

    A network that a quantizer made is compiled with Inductor's freezing, without which its integer layers run in float. A
    float network is not: oneDNN's fused layers take a small network several times as long.

    Raises:
        TargetUnavailable: there is no C++ compiler.
        ModelError: the model cannot be exported or compiled.
    """
    missing = compiler_missing()
    if missing:
        raise TargetUnavailable(f"AOTInductor files need a C++ compiler: {missing}.")
    from torch._inductor import aoti_compile_and_package

    program = _program(model)
    metadata = {
        SIGNATURE: json.dumps(asdict(model.signature)),
        CPU_FLAGS: " ".join(vector_flags()),
        TORCH: str(torch.__version__),
    }
    options: dict[str, Any] = {
        "freezing": _is_made(model.module),
        # otherwise the number of threads of this process is baked into the loops
        "cpp.dynamic_threads": True,
        "cpp.threads": os.cpu_count() or 1,
        "aot_inductor.metadata": metadata,
    }
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            aoti_compile_and_package(program, package_path=str(folder / FILE), inductor_configs=options)
    except Exception as error:
        raise ModelError(f"AOTInductor cannot compile the model: {_first(error)}.") from error
    _tidy(folder / FILE)
    note = f"machine code for this CPU ({' '.join(vector_widths())}), compiled by torch {torch.__version__}"
    return ExportedFile("aotinductor", folder, FILE, model.signature, notes=(note,))


def compiler_missing() -> str | None:
    """What is wrong with the C++ compiler and what mends it; none if it is there."""
    wanted = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(wanted):
        return None
    return f"{wanted} is not on the PATH; install it (Debian: apt-get install g++) or set CXX"


def vector_widths() -> tuple[str, ...]:
    """The same in few words, as a person compares machines by."""
    from compress.quantizers.isa import instructions

    return instructions()


def _program(model: TorchModel) -> "torch.export.ExportedProgram":
    module = inference_graph(model)
    shapes: tuple[Any, ...] = tuple(dynamic_shapes(model.signature).values())
    kinds = [p.kind for p in inspect.signature(module.forward).parameters.values()]
    if kinds == [inspect.Parameter.VAR_POSITIONAL]:
        shapes = (shapes,)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, example_tensors(model.signature), dynamic_shapes=shapes)
    except Exception as error:
        raise ModelError(
            f"torch.export cannot trace the model: {_first(error)}; "
            "remove control flow that depends on data, and shapes that fix the batch."
        ) from error


def inference_graph(model: TorchModel) -> nn.Module:
    """The network with its batch norms folded; one that a quantizer made is taken as it is."""
    # a graph converted by PT2E is already in inference form and refuses eval()
    return model.module if _is_made(model.module) else fold(model.module, model.signature)


def _is_made(module: nn.Module) -> bool:
    """Whether a quantizer made it: a graph converted by PT2E, or a network between casts to 16 bits."""
    return isinstance(module, torch.fx.GraphModule | Half)


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}".rstrip(".")


def _tidy(path: Path) -> None:
    """Take the compiler's command lines, which name folders of this machine, out of the sources in the package."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            kept = re.sub(rb"(?m)^// .*(/\w+){2,}.*$", b"//", data) if name.endswith(".cpp") else data
            archive.writestr(zipfile.ZipInfo(name), kept)
