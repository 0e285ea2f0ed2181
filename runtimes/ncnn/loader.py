"""ncnn as it is timed: one example at a time, since ncnn has no batch. Bundles ship this module."""

from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import joined
from artifacts.errors import ModelError
from artifacts.types import Arrays, Engine

FP16 = b"\x47\x6b\x30\x01"
"""What a weight in fp16 begins with in a `.bin` file (0x01306B47, little-endian; ncnn's `ModelBin::load`)."""
HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")


class NcnnProgram:
    """A loaded network; batches run example by example.

    Raises:
        ModelError: the files cannot be opened, or take another number of inputs.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        import ncnn

        self._ncnn = ncnn
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        # fp16 arithmetic would round a float32 file to 16 bits unasked
        half = _stored_half(engine.path)
        for option in HALF:
            setattr(self._net.opt, option, half)
        weights = engine.path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelError(f"{engine.path.name} has its weights in {weights.name}, which is not beside it.")
        if self._net.load_param(str(engine.path)) or self._net.load_model(str(weights)):
            raise ModelError(f"ncnn cannot open {engine.path.name} with {weights.name}.")
        inputs, outputs = list(self._net.input_names()), list(self._net.output_names())
        if len(inputs) != len(engine.signature.inputs) or not outputs:
            raise ModelError(f"{engine.path.name} takes {len(inputs)} inputs, not {len(engine.signature.inputs)}.")
        self._specs = engine.signature.outputs
        self._inputs = [(s.name, _blob(inputs, "in", i), s.dtype) for i, s in enumerate(engine.signature.inputs)]
        given = engine.signature.outputs
        self._outputs = [(s.name, _blob(outputs, "out", i), _shape(s.shape)) for i, s in enumerate(given)]
        self._outputs = self._outputs or [(name, name, None) for name in outputs]

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        count = len(next(iter(inputs.values())))
        if count == 1:
            return self._one({name: value[0] for name, value in inputs.items()})
        rows = [self._one({name: value[i] for name, value in inputs.items()}) for i in range(count)]
        return joined(rows, self._specs)

    def _one(self, inputs: Arrays) -> Arrays:
        with self._net.create_extractor() as extractor:
            fed = [np.ascontiguousarray(inputs[name], ncnn_type(dtype)) for name, _, dtype in self._inputs]
            for (_, blob, _), value in zip(self._inputs, fed, strict=True):
                # copied: an operator that works in place would write into the caller's array, and may crash there
                extractor.input(blob, self._ncnn.Mat(value).clone())
            return {name: self._extract(extractor, blob, shape) for name, blob, shape in self._outputs}

    def _extract(self, extractor: Any, blob: str, shape: tuple[int, ...] | None) -> Any:
        failed, made = extractor.extract(blob)
        if failed:
            raise ModelError(f"ncnn cannot compute {blob}: error {failed}.")
        value = np.array(made)
        return value.reshape(shape) if shape and int(np.prod(shape)) == value.size else value[None]


def _stored_half(path: Path) -> bool:
    """Whether the weights beside a `.param` file are stored in fp16."""
    try:
        with path.with_suffix(".bin").open("rb") as file:
            return file.read(4) == FP16
    except OSError:
        return False


def _blob(names: list[str], stem: str, index: int) -> str:
    """The blob of the input or output at a place: pnnx numbers them, other files have names of their own in that order."""
    numbered = f"{stem}{index}"
    return numbered if numbered in names else names[min(index, len(names) - 1)]


def _shape(shape: tuple[int | str, ...]) -> tuple[int, ...] | None:
    sizes = tuple(d for d in shape if isinstance(d, int))
    return sizes if len(sizes) == len(shape) else None


def ncnn_type(dtype: str) -> type[np.generic]:
    """Whole numbers are 32-bit in ncnn, and bytes, which it has not, real numbers."""
    given = np.dtype(dtype)
    return np.int32 if given.kind in "iu" and given.itemsize > 1 else np.float32
