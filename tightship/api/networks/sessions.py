"""A deployed file that is open: it takes tensors or arrays, and gives the same."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.arrays import joined, load_arrays, save_arrays
from artifacts.errors import DataError, nearest
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Array, Arrays, Engine

if TYPE_CHECKING:
    import torch

    from tightship.api.networks.models import ExampleInputs


class Session:
    """An artifact that is loaded and can be run; made by `Artifact.session`.

    >>> import tightship as ts, torch
    >>> with ts.export(torch.nn.Linear(4, 2), torch.zeros(1, 4)).session() as session:
    ...     outputs = session(torch.ones(3, 4))
    >>> outputs["output"].shape
    torch.Size([3, 2])
    """

    def __init__(self, signature: Signature, run: Callable[[Arrays], Arrays], close: Callable[[], object]) -> None:
        self.signature, self._run, self._close = signature, run, close

    def __call__(self, inputs: "ExampleInputs") -> "dict[str, Array] | dict[str, torch.Tensor]":
        """Run one batch.

        Args:
            inputs: a tensor or an array, several in the order of the signature, or a dict by name; examples along the first
                axis. A file that takes a fixed number of them, such as ExecuTorch's, is called several times for a multiple.

        Returns:
            The outputs by name: tensors if any input was one, else arrays.

        Raises:
            DataError: a name, a type or a shape is not what the file takes.
        """
        given = _named(inputs, self.signature)
        arrays = {name: _array(value) for name, value in given.items()}
        parts = [self._checked(part) for part in _calls(arrays, self.signature)]
        # a runtime may hand out one buffer again and again
        found = [{name: np.array(value) for name, value in self._run(part).items()} for part in parts]
        outputs = joined(found, self.signature.outputs)
        torch = sys.modules.get("torch")
        if torch is None or not any(isinstance(value, torch.Tensor) for value in given.values()):
            return outputs
        return {name: torch.from_numpy(value) for name, value in outputs.items()}

    def _checked(self, arrays: Arrays) -> Arrays:
        """The arrays of one call in the file's order, held against what it takes."""
        feeds = {spec.name: _fitting(spec, arrays[spec.name]) for spec in self.signature.inputs}
        self.signature.refuse_outside({name: array.shape for name, array in feeds.items()}, "the inputs")
        return feeds

    run = __call__

    def close(self) -> None:
        """Let go of the file and of the process that holds it, if there is one."""
        self._close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_here(engine: Engine, threads: int) -> Session:
    """An engine opened in this process."""
    from runtimes.registry import find

    runtime = find(engine.target).runtime()
    with torch_threads():
        opened = runtime.open(engine, threads)

    def run(feeds: Arrays) -> Arrays:
        with torch_threads(threads):
            return opened.run(feeds)

    return Session(engine.signature, run, getattr(opened, "close", lambda: None))


@contextmanager
def torch_threads(count: int | None = None) -> Iterator[None]:
    """PyTorch on so many threads, and on as many as before once the block ends: its runtimes set them for the whole process."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    if torch and count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch and before is not None:
            torch.set_num_threads(before)


def open_apart(engine: Engine, threads: int) -> Session:
    """An engine opened in a process of its own, in its target's environment."""
    from benchmarks.process.child import Child

    work = tempfile.TemporaryDirectory(prefix="tightship-session-")
    folder = Path(work.name)
    child = Child(engine, folder / "child.log", threads)
    opened = False

    def run(feeds: Arrays) -> Arrays:
        nonlocal opened
        save_arrays(folder / "in.npz", feeds)
        if not opened:
            child.open(folder / "in.npz")
            opened = True
        count = max((len(array) for array in feeds.values() if array.ndim), default=1)
        child.ask("run", inputs=str(folder / "in.npz"), outputs=str(folder / "out.npz"), batch=count)
        return load_arrays(folder / "out.npz")

    def close() -> None:
        child.close()
        work.cleanup()

    return Session(engine.signature, run, close)


def _named(inputs: Any, signature: Signature) -> dict[str, Any]:
    names = [spec.name for spec in signature.inputs]
    if isinstance(inputs, Mapping):
        for name in inputs:
            if name not in names:
                raise DataError(f"the file has no input {name!r}; {nearest(str(name), names)}.")
        missing = [name for name in names if name not in inputs]
        if missing:
            raise DataError(f"the file's input {missing[0]!r} is not given; it takes {', '.join(names)}.")
        return dict(inputs)
    values = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if len(values) != len(names):
        raise DataError(f"the file takes {', '.join(names)}, and {len(values)} inputs are given; give one for each.")
    return dict(zip(names, values, strict=True))


def _array(value: Any) -> Array:
    torch = sys.modules.get("torch")
    return value.detach().cpu().numpy() if torch is not None and isinstance(value, torch.Tensor) else np.asarray(value)


def _calls(arrays: Arrays, signature: Signature) -> list[Arrays]:
    """The inputs of each call: several where the file takes a fixed number of examples and whole multiples are given."""
    sizes = {spec.shape[0] if spec.shape else None for spec in signature.inputs}
    counts = {len(array) if array.ndim else None for array in arrays.values()}
    size = sizes.pop() if len(sizes) == 1 else None
    count = counts.pop() if len(counts) == 1 else None
    if not isinstance(size, int) or not count or count % size or count == size:
        return [arrays]
    return [{name: array[at : at + size] for name, array in arrays.items()} for at in range(0, count, size)]


def _fitting(spec: TensorSpec, array: Array) -> Array:
    """An array that is what the file takes.

    Raises:
        DataError: its type or its shape is another.
    """
    if str(array.dtype) != spec.dtype:
        raise DataError(f"input {spec.name!r} is {array.dtype}, and the file takes {spec.dtype}; convert it.")
    fits = len(spec.shape) == array.ndim and all(
        isinstance(want, str) or want == has for want, has in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        has, takes = ("x".join(map(str, shape)) or "scalar" for shape in (array.shape, spec.shape))
        raise DataError(f"input {spec.name!r} has the shape {has}, and the file takes {takes}.")
    return np.ascontiguousarray(array) if array.ndim else array
