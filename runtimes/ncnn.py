"""ncnn on the CPU: one example at a time, since ncnn has no batch."""

from pathlib import Path
from typing import Any

import numpy as np

from artifacts.errors import ModelError
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement

FP16 = b"\x47\x6b\x30\x01"
"""What a weight in fp16 begins with in a `.bin` file (0x01306B47, little-endian; ncnn's `ModelBin::load`)."""
HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")
MOVES = ("Input", "Split", "MemoryData", "Noop")
"""Layers that compute nothing."""


class NcnnSession:
    """A loaded network; batches run example by example."""

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
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _one(self, inputs: Arrays) -> Arrays:
        with self._net.create_extractor() as extractor:
            # ncnn reads the arrays where they lie: they must outlive the call
            fed = [np.ascontiguousarray(inputs[name], _ncnn_type(dtype)) for name, _, dtype in self._inputs]
            for (_, blob, _), value in zip(self._inputs, fed, strict=True):
                extractor.input(blob, self._ncnn.Mat(value))
            return {name: self._extract(extractor, blob, shape) for name, blob, shape in self._outputs}

    def _extract(self, extractor: Any, blob: str, shape: tuple[int, ...] | None) -> Any:
        failed, made = extractor.extract(blob)
        if failed:
            raise ModelError(f"ncnn cannot compute {blob}: error {failed}.")
        value = np.array(made)
        return value.reshape(shape) if shape and int(np.prod(shape)) == value.size else value[None]

    def tensors(self, inputs: Arrays) -> Arrays:
        """Every blob inside the network for one example, by its name in the file."""
        names = [self._net.blobs()[i].name for layer in self._net.layers() for i in layer.tops]
        with self._net.create_extractor() as extractor:
            extractor.set_light_mode(False)
            fed = [np.ascontiguousarray(inputs[name][0], _ncnn_type(dtype)) for name, _, dtype in self._inputs]
            for (_, blob, _), value in zip(self._inputs, fed, strict=True):
                extractor.input(blob, self._ncnn.Mat(value))
            return {name: np.array(self._extract(extractor, name, None), np.float32) for name in names}

    def placement(self) -> Placement:
        """The layers: with kernels that work on packed (SIMD) data, or on plain data."""
        packed: dict[str, int] = {}
        plain: dict[str, int] = {}
        for layer in self._net.layers():
            if layer.type not in MOVES:
                counts = packed if layer.support_packing else plain
                counts[layer.type] = counts.get(layer.type, 0) + 1
        return Placement(packed, plain, "the network's layers: with kernels for packed (SIMD) data against those without")


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


def _ncnn_type(dtype: str) -> type[np.generic]:
    """EndToEnd numbers are 32-bit in ncnn."""
    return np.int32 if np.dtype(dtype).kind in "iu" else np.float32


class NcnnCpu:
    """ncnn's CPU kernels."""

    tells_tensors = True

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import ncnn
        except ImportError as error:
            return Availability(False, f"{error.name} is not installed: pip install 'tightship[ncnn]'")
        return Availability(True, f"ncnn {ncnn.__version__}")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """The files are opened as they are."""
        return Engine("ncnn-cpu", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> NcnnSession:
        """See `runtimes.base.Runtime`."""
        return NcnnSession(engine, threads)
