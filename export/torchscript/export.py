"""TorchScript files, traced (with modules compiled within) or scripted, frozen. PyTorch deprecates it for torch.export."""

import copy
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from artifacts.errors import ModelError, TightshipError, nearest
from artifacts.specs import Signature
from artifacts.types import ExportedFile, TorchModel
from compress.fold import example_tensors
from zoo.outputs import named_outputs

FILE = "model.pt"
PAST = {"trace": "traced", "script": "scripted"}
KEEP = {"trace": ", or name the modules that hold such control flow under export.torchscript.script", "script": ""}
NOTE = "TorchScript is deprecated by PyTorch in favor of torch.export"


def trace(model: TorchModel, folder: Path) -> ExportedFile:
    """Record one run in eval mode, freeze, save; the modules of `model.scripted` are compiled, not recorded.

    Raises:
        ModelError: there is no such module, or TorchScript cannot take the model, or makes another program of it.
    """

    def record(module: torch.nn.Module) -> Any:
        hybrid = copy.deepcopy(module)
        for name, part in find_modules(hybrid, model.scripted).items():
            hybrid.set_submodule(name, torch.jit.script(part))
        example, plain = example_tensors(model.signature), _plainly_named(model.signature)
        # the tracer takes a dict only where it is told that its keys do not depend on the inputs
        return torch.jit.trace(hybrid if plain else _Named(hybrid).eval(), example, strict=plain)  # type: ignore[no-untyped-call]

    file = _write(model, folder, "torchscript-trace", record)
    kept = (f"hybrid: traced, with {', '.join(model.scripted)} scripted",) if model.scripted else ()
    return replace(file, notes=(*file.notes, *kept))


class _Named(torch.nn.Module):
    """A network whose outputs come in one dict by their names, however they are nested."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return named_outputs(self.inner(*inputs))


def _plainly_named(signature: Signature) -> bool:
    """Whether the outputs are a tensor or a tuple of tensors, which every program can return as they are."""
    names = [spec.name for spec in signature.outputs]
    return names in (["output"], [f"output_{index}" for index in range(len(names))])


def find_modules(module: torch.nn.Module, names: Sequence[str]) -> dict[str, torch.nn.Module]:
    """The modules that a recipe calls by their dotted names in the network, by their names here.

    Raises:
        ModelError: there is no such module; the message names the nearest.
    """
    inside = dict(module.named_modules())
    found = {}
    for name in names:
        # a network that computes in 16 bits lies in one that casts
        place = next((p for p in (name, f"inner.{name}") if p in inside), None)
        if place is None:
            known = [known for known in inside if known]
            raise ModelError(
                f"export.torchscript.script names {name!r}, which the network does not have; {nearest(name, known)}."
            )
        found[place] = inside[place]
    return found


def script(model: TorchModel, folder: Path) -> ExportedFile:
    """Compile the module's own code, control flow included, in eval mode; freeze, save."""
    return _write(model, folder, "torchscript-script", torch.jit.script)


def _write(model: TorchModel, folder: Path, name: str, compile_module: Any) -> ExportedFile:
    module = copy.deepcopy(model.module).eval()
    kind = name.rpartition("-")[2]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            frozen = torch.jit.freeze(compile_module(module))
        except TightshipError:
            raise
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"TorchScript cannot {kind} the model: {first}; use another target, or the other kind.") from error
        frozen.save(str(folder / FILE))
        _tidy(folder / FILE)
        _compare(folder / FILE, module, model.signature, kind)
    return ExportedFile(name, folder, FILE, model.signature, notes=(NOTE,))


def _tidy(path: Path) -> None:
    """Number generated class names from 0, besides what `strip` does: equal models make equal files."""
    entries = _entries(path)
    code = b"".join(data for name, data in entries.items() if "/code/" in name)
    found = dict.fromkeys(re.findall(rb"___torch_mangle_\d+", code + "".join(entries).encode()))
    fresh = {old: b"___torch_mangle_%d" % i for i, old in enumerate(found)}

    def renamed(text: bytes) -> bytes:
        return re.sub(rb"___torch_mangle_\d+", lambda m: fresh.get(m[0], m[0]), text)

    named = {renamed(name.encode()).decode(): data for name, data in entries.items()}
    _pack(path, {n: renamed(data) if "/code/" in n or n.endswith("/data.pkl") else data for n, data in named.items()})


def strip(path: Path) -> None:
    """Take source paths and stack traces out of a program's file, and its number of writing."""
    _pack(path, _entries(path))


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist() if not n.endswith((".debug_pkl", "serialization_id"))}


def _pack(path: Path, entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def _compare(path: Path, module: torch.nn.Module, signature: Signature, kind: str) -> None:
    """Hold the saved program against the module at other batch sizes and other values than those it was made with."""
    program = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    axes = {
        spec.name: spec.batch_axis for spec in signature.outputs if signature.dynamic[:1] and signature.dynamic[0] in spec.shape
    }
    for size, factor in ((2, 1.0), (1, 1.0), (3, 10.0), (3, -10.0)):
        inputs = _resized(signature, size, factor)
        try:
            # each has inputs of its own: either may write into them
            expected, found = (named_outputs(made(*(x.clone() for x in inputs))) for made in (module, program))
        except Exception as error:
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ModelError(
                f"the {PAST[kind]} TorchScript program or its model cannot run a batch of {size}: {last}."
            ) from error
        for name, wanted in expected.items():
            axis = axes.get(name)
            rows = size if axis is None else wanted.shape[axis]
            same = rows == size and found[name].shape == wanted.shape
            spread = float(wanted.double().std(correction=0)) if same else 0.0
            if not (
                same
                and torch.allclose(wanted.double(), found[name].double(), rtol=1e-3, atol=1e-3 * spread + 1e-6, equal_nan=True)
            ):
                raise ModelError(
                    f"the {PAST[kind]} TorchScript program computes another {name!r} than the model for a batch of {size}; "
                    "remove control flow that depends on data, shapes that fix the batch and active dropout"
                    f"{KEEP[kind]}."
                )


def _resized(signature: Signature, size: int, factor: float) -> tuple[torch.Tensor, ...]:
    """Example inputs with another size of the first dynamic dimension."""
    made = []
    for spec, tensor in zip(signature.inputs, example_tensors(signature), strict=True):
        for axis, dimension in enumerate(spec.shape):
            if signature.dynamic and dimension == signature.dynamic[0]:
                tensor = tensor.index_select(axis, torch.tensor([0, 1, 0][:size]))
        made.append(tensor * factor if tensor.is_floating_point() else tensor)
    return tuple(made)
