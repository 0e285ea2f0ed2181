"""TorchScript on the CPU: frozen programs, optimized for inference as they are opened, and those of the lite interpreter."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from artifacts.errors import ModelError, RequestError
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement
from export.torchscript import lite
from runtimes.options import read_options
from runtimes.torch.memory_format import Caller, lay_out_program
from runtimes.torch.options import TorchScriptOptions

STRUCTURAL = ("prim::", "aten::size", "aten::Int", "aten::len", "aten::__")


class TorchScriptSession:
    """A loaded program."""

    def __init__(self, program: Any, names: tuple[str, ...], channels_last: bool = False) -> None:
        self._program, self._names, self._call = program, names, Caller(program, names, channels_last)

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: the program needs its tensors in the plain layout.
        """
        return self._call(inputs)

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the program for these inputs, by their names in its graph."""
        from runtimes.torch.torchscript_intermediates import inner_tensors

        return inner_tensors(self._program, [torch.from_numpy(inputs[n]) for n in self._names])

    def placement(self) -> Placement:
        """Operators of the inlined graph; in an int8 program what is not `quantized::` falls back to float."""
        counts: dict[str, int] = {}
        for node in self._program.inlined_graph.nodes():
            counts[node.kind()] = counts.get(node.kind(), 0) + 1
        return placement_of(counts, "the program's inlined graph")


class LiteSession:
    """A program that the lite interpreter has loaded."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path, self._call = path, Caller(lite.load(path), names)

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        return self._call(inputs)

    def placement(self) -> Placement:
        """Operators that the bytecode calls; which kernels they meet on a phone is a matter of the build there."""
        how = "calls in the program's bytecode, run by this build's kernels; a build for phones has others"
        return placement_of(lite.calls_of(self._path), how)


def placement_of(counts: Mapping[str, int], how: str) -> Placement:
    """Operators by where they run: in a program with `quantized::` ones, layers in float and further floats are outside."""
    counts = {kind: n for kind, n in counts.items() if not kind.startswith(STRUCTURAL)}
    int8 = any(kind.startswith("quantized::") for kind in counts)
    slow = ("aten::conv", "aten::_convolution", "aten::linear", "aten::addmm", "aten::dequantize")
    outside = {k: n for k, n in counts.items() if int8 and k.startswith(slow)}
    if int8 and outside.get("aten::dequantize", 0) <= 1:
        outside.pop("aten::dequantize", None)  # the one that gives float results back
    return Placement({k: n for k, n in counts.items() if k not in outside}, outside, how)


class TorchScriptCpu:
    """torch.jit on the CPU."""

    tells_tensors = True

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        return Availability(True, f"torch {torch.__version__}, TorchScript (deprecated by PyTorch)")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """The program is opened as it is."""
        return Engine("torchscript-cpu", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> TorchScriptSession | LiteSession:
        """See `runtimes.base.Runtime`.

        Raises:
            ModelError: the file is no TorchScript program.
            RequestError: the engine's options are not those of this target, or its file cannot follow them.
        """
        told = read_options(TorchScriptOptions, engine.options, "torchscript-cpu")
        names = tuple(s.name for s in engine.signature.inputs)
        torch.set_num_threads(threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if engine.path.suffix == lite.SUFFIX:
                if told.channels_last:
                    raise RequestError(
                        f"{engine.path.name} is a lite-interpreter file, whose weights no channels_last lays out."
                    )
                return LiteSession(engine.path, names)
            return TorchScriptSession(_program(engine.path, told.channels_last), names, told.channels_last)


def _program(path: Path, channels_last: bool) -> Any:
    try:
        program = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"TorchScript cannot open {path.name}: {first}") from error
    if channels_last:
        # what the optimization makes lies in blocks of channels, whatever layout it was given
        return lay_out_program(program)
    return program if "quantized::" in str(program.inlined_graph) else torch.jit.optimize_for_inference(program)
