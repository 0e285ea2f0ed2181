"""TorchScript on the CPU: frozen programs, optimised for inference as they are opened."""

import warnings
from pathlib import Path
from typing import Any

import torch

from artifacts.errors import ModelError
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement
from zoo.models import named_outputs

STRUCTURAL = ("prim::", "aten::size", "aten::Int", "aten::len", "aten::__")


class TorchScriptSession:
    """A loaded program."""

    def __init__(self, program: Any, names: tuple[str, ...]) -> None:
        self._program, self._names = program, names

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        with torch.inference_mode():
            outputs = self._program(*(torch.from_numpy(inputs[n]) for n in self._names))
            return {name: tensor.numpy() for name, tensor in named_outputs(outputs).items()}

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the program for these inputs, by their names in its graph."""
        from runtimes.torchscript_tensors import inner_tensors

        return inner_tensors(self._program, [torch.from_numpy(inputs[n]) for n in self._names])

    def placement(self) -> Placement:
        """Operators of the inlined graph; in an int8 program what is not `quantized::` falls back to float."""
        counts: dict[str, int] = {}
        for node in self._program.inlined_graph.nodes():
            if not node.kind().startswith(STRUCTURAL):
                counts[node.kind()] = counts.get(node.kind(), 0) + 1
        int8 = any(kind.startswith("quantized::") for kind in counts)
        slow = ("aten::conv", "aten::_convolution", "aten::linear", "aten::addmm", "aten::dequantize")
        outside = {k: n for k, n in counts.items() if int8 and k.startswith(slow)}
        if int8 and outside.get("aten::dequantize", 0) <= 1:
            outside.pop("aten::dequantize", None)  # the one that gives float results back
        return Placement({k: n for k, n in counts.items() if k not in outside}, outside, "the program's inlined graph")


class TorchScriptCpu:
    """torch.jit on the CPU."""

    tells_tensors = True

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        return Availability(True, f"torch {torch.__version__}, TorchScript (deprecated by PyTorch)")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """The program is opened as it is."""
        return Engine("torchscript-cpu", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> TorchScriptSession:
        """See `runtimes.base.Runtime`.

        Raises:
            ModelError: the file is no TorchScript program.
        """
        torch.set_num_threads(threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                program = torch.jit.load(str(engine.path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
            except (RuntimeError, ValueError, OSError) as error:
                first = (str(error).splitlines() or [type(error).__name__])[0]
                raise ModelError(f"TorchScript cannot open {engine.path.name}: {first}") from error
            if "quantized::" not in str(program.inlined_graph):
                program = torch.jit.optimize_for_inference(program)
        return TorchScriptSession(program, tuple(s.name for s in engine.signature.inputs))
