"""Teachers: networks that nothing changes, and exported files run by their own runtime."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from artifacts.errors import ModelError, nearest
from artifacts.types import Array, Arrays
from compress.distillation.folding import fold_norms
from compress.training.batches import Inputs, all_outputs, widened

SUFFIXES = {".onnx": "ONNX", ".pt": "TorchScript", ".ts": "TorchScript", ".torchscript": "TorchScript"}


class Runner(Protocol):
    """Gives the outputs, each (N, ...), for a batch, without gradients."""

    def outputs(self, inputs: Inputs) -> dict[str, Tensor]:
        """What the teacher says of one batch, by output, where the inputs are."""
        ...


@dataclass(frozen=True)
class Teacher:
    """One teacher and what its word is worth beside the others'."""

    run: Runner
    weight: float = 1.0

    def outputs(self, inputs: Inputs) -> dict[str, Tensor]:
        """What it says of one batch, by output."""
        return self.run.outputs(inputs)


def same_output(said: Mapping[str, Tensor], name: str, place: int) -> Tensor:
    """The teacher's output of this name, or at this place where it calls its outputs otherwise.

    Raises:
        ModelError: it has no such output.
    """
    if name in said:
        return said[name]
    if place >= len(said):
        raise ModelError(f"a teacher gives the outputs {', '.join(said)} and not {name!r}; take a teacher of the same outputs.")
    return list(said.values())[place]


def frozen(module: nn.Module) -> nn.Module:
    """A copy for teaching: eval mode, no gradients; the caller's network is left as it is."""
    teacher = copy.deepcopy(module).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher


class Network:
    """A network as a teacher: a frozen copy, kept out of every other module so that nothing puts it in train mode."""

    def __init__(self, module: nn.Module) -> None:
        self.module = frozen(module)
        self._folded = False

    def fold(self, keep: Collection[str] = ()) -> None:
        """Fold its batch norms once, but for those of layers in `keep`; only rounding changes."""
        if not self._folded:
            fold_norms(self.module, keep)
            self._folded = True

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> dict[str, Tensor]:
        """Every output by name, computed where the inputs are."""
        self.module.to(next(iter(inputs.values())).device)
        return all_outputs(self.module, inputs)


def open_file(path: Path) -> Runner:
    """An exported file as a teacher: ONNX run by onnxruntime on the CPU, or TorchScript.

    Raises:
        ModelError: there is no such file, or nothing here can open it.
    """
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES] if path.parent.is_dir() else []
        hint = f"; {nearest(path.name, beside)}" if beside else ""
        raise ModelError(f"there is no teacher file at {path}{hint}.")
    kind = SUFFIXES.get(path.suffix)
    if kind is None:
        raise ModelError(f"the teacher file {path.name} is neither ONNX nor TorchScript; known: {', '.join(SUFFIXES)}.")
    try:
        return _Onnx(path) if kind == "ONNX" else _Scripted(path)
    except Exception as error:
        raise ModelError(f"the teacher file {path} cannot be opened as {kind}: {str(error).strip().splitlines()[0]}.") from None


class _Scripted:
    """A TorchScript file on the CPU; its weights are not copied, since nothing else holds them."""

    def __init__(self, path: Path) -> None:
        self.module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        self.module.eval()

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> dict[str, Tensor]:
        """See `Runner`."""
        found = all_outputs(self.module, {name: x.cpu() for name, x in inputs.items()})
        return {name: value.to(next(iter(inputs.values())).device) for name, value in found.items()}


class _Onnx:
    """An ONNX file in onnxruntime; inputs are matched by name, or by order where the file calls them otherwise."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # idle threads that spin would take the processor from the training step
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.path, self.specs = path, self.session.get_inputs()
        first = self.specs[0].shape[0] if self.specs and self.specs[0].shape else None
        self.batch: int | None = first if isinstance(first, int) else None
        self.named = [output.name for output in self.session.get_outputs()]

    def outputs(self, inputs: Inputs) -> dict[str, Tensor]:
        """See `Runner`."""
        if len(inputs) != len(self.specs):
            raise ModelError(f"the teacher file {self.path.name} takes {len(self.specs)} inputs; the task has {len(inputs)}.")
        by_order = dict(zip((s.name for s in self.specs), inputs, strict=True))
        arrays = {}
        for spec in self.specs:
            tensor = inputs[spec.name if spec.name in inputs else by_order[spec.name]]
            arrays[spec.name] = tensor.detach().cpu().numpy().astype(_dtype(spec.type), copy=False)
        parts = [self._run(part) for part in _parts(arrays, self.batch)]
        count, device = len(next(iter(inputs.values()))), next(iter(inputs.values())).device
        whole = {name: np.concatenate([part[name] for part in parts])[:count] for name in self.named}
        return {name: widened(torch.from_numpy(value).to(device)) for name, value in whole.items()}

    def _run(self, arrays: Arrays) -> Arrays:
        try:
            outputs: list[Array] = self.session.run(self.named, arrays)
        except Exception as error:
            raise ModelError(f"the teacher file {self.path.name} refuses the task's inputs: {error}.") from None
        return dict(zip(self.named, (np.atleast_1d(value) for value in outputs), strict=True))


def _dtype(name: str) -> str:
    """NumPy's name of `tensor(float)` and its like."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _parts(arrays: Arrays, size: int | None) -> Iterator[Arrays]:
    """The batch in pieces of the size that the file was exported for, the last one filled up with its last example."""
    count = len(next(iter(arrays.values())))
    if size is None:
        yield arrays
        return
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        yield {name: array[rows] for name, array in arrays.items()}


def as_teachers(teacher: nn.Module | Sequence[Teacher]) -> list[Teacher]:
    """One network, or several teachers with their weights normalized to a sum of one.

    Raises:
        ModelError: there is no teacher.
    """
    if isinstance(teacher, nn.Module):
        return [Teacher(Network(teacher))]
    if not teacher:
        raise ModelError("distillation needs a teacher; none was given.")
    total = sum(t.weight for t in teacher)
    return [Teacher(t.run, t.weight / total) for t in teacher]


def check_outputs(student: nn.Module, teachers: Sequence[Teacher], example: Inputs, apply: Callable[..., Tensor]) -> None:
    """Refuse teachers whose first output has another shape than the student's.

    Raises:
        ModelError: names both shapes.
    """
    wanted = tuple(apply(student, example).shape[1:])
    for number, teacher in enumerate(teachers, 1):
        found = tuple(next(iter(teacher.outputs(example).values())).shape[1:])
        if found != wanted:
            which = f"teacher {number}" if len(teachers) > 1 else "the teacher"
            raise ModelError(
                f"{which} gives outputs of shape {found} per example and the student {wanted}; "
                "take a teacher of the same task and classes."
            )
