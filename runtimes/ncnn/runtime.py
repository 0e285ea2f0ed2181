"""ncnn on the CPU: what its sessions tell besides running."""

import numpy as np

from artifacts.types import Arrays, Availability, Engine, Placement
from runtimes.base import Placed, Runtime, ShowsTensors
from runtimes.ncnn.loader import NcnnProgram, ncnn_type

MOVES = ("Input", "Split", "MemoryData", "Noop")
"""Layers that compute nothing."""


class NcnnSession(NcnnProgram, Placed, ShowsTensors):
    """A loaded network."""

    def tensors(self, inputs: Arrays) -> Arrays:
        """Every blob inside the network for one example, by its name in the file."""
        names = [self._net.blobs()[i].name for layer in self._net.layers() for i in layer.tops]
        with self._net.create_extractor() as extractor:
            extractor.set_light_mode(False)
            fed = [np.ascontiguousarray(inputs[name][0], ncnn_type(dtype)) for name, _, dtype in self._inputs]
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


class NcnnCpu(Runtime):
    """ncnn's CPU kernels."""

    target = "ncnn-cpu"
    session = NcnnSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import ncnn
        except ImportError as error:
            return Availability(False, f"{error.name} is not installed: pip install 'tightship[ncnn]'")
        return Availability(True, f"ncnn {ncnn.__version__}")

    def open(self, engine: Engine, threads: int) -> NcnnSession:
        """See `runtimes.base.Runtime`."""
        return NcnnSession(engine, threads)
