"""LiteRT's interpreter as it is timed: one example at a time, as the file was converted. Bundles ship this module."""

from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import joined
from artifacts.errors import ModelError
from artifacts.types import Arrays, Engine
from export.litert.reading import ends, open_interpreter


class LiteRtProgram:
    """A loaded file; batches larger than its own run example by example.

    Raises:
        ModelError: the file cannot be opened, or has more or fewer inputs or outputs than asked for.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._interpreter, self._path = open_interpreter(engine.path, threads), engine.path
        inputs, outputs = ends(self._interpreter)
        self._batch = next((s.shape[0] for s in engine.signature.inputs if s.shape), None)
        self._specs = engine.signature.outputs
        self._inputs = _matched([s.name for s in engine.signature.inputs], inputs, engine.path)
        self._outputs = _matched([s.name for s in engine.signature.outputs] or list(outputs), outputs, engine.path)
        kinds = {s.name: np.dtype(s.dtype) for s in engine.signature.outputs}
        self._kinds = {n: kinds.get(n, np.dtype(d["dtype"])) for n, d in self._outputs.items()}
        self._shapes = {name: tuple(detail["shape"]) for name, detail in self._inputs.items()}

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        count = len(next(iter(inputs.values())))
        if self._batch != 1 or count == 1:
            return self._one(inputs)
        rows = [self._one({name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
        return joined(rows, self._specs)

    def _one(self, inputs: Arrays) -> Arrays:
        interpreter = self._interpreter
        for name, detail in self._inputs.items():
            value = inputs[name]
            if value.shape != self._shapes[name]:
                self._resize(name, detail, value)
            # 64-bit tensors became 32-bit ones in conversion
            interpreter.set_tensor(detail["index"], value.astype(detail["dtype"], copy=False))
        interpreter.invoke()
        return {
            name: interpreter.get_tensor(detail["index"]).astype(self._kinds[name], copy=False)
            for name, detail in self._outputs.items()
        }

    def _resize(self, name: str, detail: Any, value: np.ndarray[Any, Any]) -> None:
        try:
            self._interpreter.resize_tensor_input(detail["index"], value.shape, strict=True)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"input {name!r} has shape {value.shape}, but the file takes {self._shapes[name]}.") from error
        self._shapes[name] = value.shape


def _matched(names: list[str], found: dict[str, Any], path: Path) -> dict[str, Any]:
    """The tensors under the names that are asked for: by name, or by place where the file has names of its own.

    Raises:
        ModelError: there are more or fewer of them than asked for.
    """
    if len(names) != len(found):
        raise ModelError(f"{path.name} has the tensors {', '.join(found)}, not {', '.join(names)}; give it those.")
    if set(names) == set(found):
        return {name: found[name] for name in names}
    return dict(zip(names, found.values(), strict=True))
