"""The runtime: whether it works here, and its sessions, which also say where operators run."""

from collections import Counter

from artifacts.types import Availability, Engine, Placement
from own_runtime.loader import ReferenceProgram
from runtimes.base import Placed, Runtime


class ReferenceSession(ReferenceProgram, Placed):
    """An open file."""

    def placement(self) -> Placement:
        """Every operator is NumPy's; none is accelerated."""
        return Placement({}, Counter(node.op_type for node in self.evaluator.proto_.graph.node), "the file's nodes")


class OnnxReference(Runtime):
    """ONNX's reference evaluator."""

    target = "onnx-reference"
    session = ReferenceSession

    def probe(self) -> Availability:
        """Whether the library is there."""
        import onnx

        return Availability(True, f"onnx {onnx.__version__}, its reference evaluator")

    def open(self, engine: Engine, threads: int) -> ReferenceSession:
        """Open a file."""
        return ReferenceSession(engine, threads)
