"""ExecuTorch's Python bindings as they are timed: one example at a time, as exported. Bundles ship this module."""

from typing import Any

from artifacts.arrays import joined
from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import Arrays, Engine
from export.executorch.program import METHOD, loadable


class ExecuTorchProgram:
    """A loaded program with a fixed batch of one; larger batches run example by example.

    Raises:
        ModelError: the file cannot be opened.
        TargetUnavailable: the thread pool cannot be set to `threads`.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime, Verification

        # there is no public call for this, and the pool takes every core without it
        setter = getattr(portable_lib, "_unsafe_reset_threadpool", None)
        if setter is None:
            raise TargetUnavailable("this build of executorch cannot set its number of threads; install executorch>=1.0.")
        setter(threads)
        self._torch = torch
        self._path = engine.path
        self._specs = engine.signature.outputs
        self._inputs = tuple(s.name for s in engine.signature.inputs)
        self._outputs = tuple(s.name for s in engine.signature.outputs)
        try:
            program = loadable(engine.path)
            self._program = Runtime.get().load_program(program, verification=Verification.InternalConsistency)
            self._method: Any = self._program.load_method(METHOD)
        except Exception as error:
            raise ModelError(f"ExecuTorch cannot open {engine.path.name}: {error}.") from error

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        tensors = [self._torch.from_numpy(inputs[name]) for name in self._inputs]
        if len(tensors[0]) == 1:
            return self._one(tensors)
        rows = [self._one([t[i : i + 1].contiguous() for t in tensors]) for i in range(len(tensors[0]))]
        return joined(rows, self._specs)

    def _one(self, tensors: list[Any]) -> Arrays:
        results = self._method.execute(tensors)
        # the program owns the memory of its results and writes over it at the next call
        return {name: value.numpy().copy() for name, value in zip(self._outputs, results, strict=True)}
