"""TorchScript on the CPU: what its sessions tell besides running."""

from collections.abc import Mapping

import torch

from artifacts.types import Arrays, Availability, Engine, Placement
from export.torchscript.lite_file import calls_of
from runtimes.base import Placed, Runtime, ShowsTensors
from runtimes.torch.torchscript_loader import LiteProgram, TorchScriptProgram, is_lite

STRUCTURAL = ("prim::", "aten::size", "aten::Int", "aten::len", "aten::__")


class TorchScriptSession(TorchScriptProgram, Placed, ShowsTensors):
    """A loaded program."""

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


class LiteSession(LiteProgram, Placed):
    """A program that the lite interpreter has loaded."""

    def placement(self) -> Placement:
        """Operators that the bytecode calls; which kernels they meet on a phone is a matter of the build there."""
        how = "calls in the program's bytecode, run by this build's kernels; a build for phones has others"
        return placement_of(calls_of(self._path), how)


def placement_of(counts: Mapping[str, int], how: str) -> Placement:
    """Operators by where they run: in a program with `quantized::` ones, layers in float and further floats are outside."""
    counts = {kind: n for kind, n in counts.items() if not kind.startswith(STRUCTURAL)}
    int8 = any(kind.startswith("quantized::") for kind in counts)
    slow = ("aten::conv", "aten::_convolution", "aten::linear", "aten::addmm", "aten::dequantize")
    outside = {k: n for k, n in counts.items() if int8 and k.startswith(slow)}
    if int8 and outside.get("aten::dequantize", 0) <= 1:
        outside.pop("aten::dequantize", None)  # the one that gives float results back
    return Placement({k: n for k, n in counts.items() if k not in outside}, outside, how)


class TorchScriptCpu(Runtime):
    """torch.jit on the CPU."""

    target = "torchscript-cpu"
    session = TorchScriptSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        return Availability(True, f"torch {torch.__version__}, TorchScript (deprecated by PyTorch)")

    def open(self, engine: Engine, threads: int) -> TorchScriptSession | LiteSession:
        """See `runtimes.base.Runtime`, and `TorchScriptProgram` for what is raised."""
        return LiteSession(engine, threads) if is_lite(engine.path) else TorchScriptSession(engine, threads)
