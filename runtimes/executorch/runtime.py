"""ExecuTorch with XNNPACK's delegate, through its Python bindings: one example at a time, as the program was exported."""

from pathlib import Path
from typing import Any

import numpy as np

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement
from runtimes.executorch.bundled_program import loadable, program_bytes


class ExecuTorchSession:
    """A loaded program with a fixed batch of one; larger batches run example by example."""

    def __init__(self, engine: Engine) -> None:
        import torch
        from executorch.runtime import Runtime, Verification

        self._torch = torch
        self._path = engine.path
        self._inputs = tuple(s.name for s in engine.signature.inputs)
        self._outputs = tuple(s.name for s in engine.signature.outputs)
        try:
            program = loadable(engine.path)
            self._program = Runtime.get().load_program(program, verification=Verification.InternalConsistency)
            self._method: Any = self._program.load_method("forward")
        except Exception as error:
            raise ModelError(f"ExecuTorch cannot open {engine.path.name}: {error}.") from error

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        tensors = [self._torch.from_numpy(inputs[name]) for name in self._inputs]
        if len(tensors[0]) == 1:
            return self._one(tensors)
        rows = [self._one([t[i : i + 1].contiguous() for t in tensors]) for i in range(len(tensors[0]))]
        return {name: np.concatenate([row[name] for row in rows]) for name in self._outputs}

    def _one(self, tensors: list[Any]) -> Arrays:
        results = self._method.execute(tensors)
        # the program owns the memory of its results and writes over it at the next call
        return {name: value.numpy().copy() for name, value in zip(self._outputs, results, strict=True)}

    def placement(self) -> Placement:
        """Calls of the program: into XNNPACK's delegate, or to portable kernels outside it."""
        from executorch.exir._serialize._program import deserialize_pte_binary

        read = deserialize_pte_binary(program_bytes(self._path))
        plan = getattr(read, "program", read).execution_plan[0]
        inside: dict[str, int] = {}
        outside: dict[str, int] = {}
        for chain in plan.chains:
            for instruction in chain.instructions:
                call = instruction.instr_args
                if hasattr(call, "delegate_index"):
                    name = plan.delegates[call.delegate_index].id
                    inside[name] = inside.get(name, 0) + 1
                elif hasattr(call, "op_index"):
                    name = plan.operators[call.op_index].name
                    outside[name] = outside.get(name, 0) + 1
        return Placement(inside, outside, "the program's instructions: delegate calls against kernel calls")


class ExecuTorchXnnpack:
    """ExecuTorch's x86 and ARM runtime with XNNPACK."""

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`; names the backends that this build registers, which it does without their devices."""
        try:
            from executorch.runtime import Runtime

            backends = sorted(Runtime.get().backend_registry.registered_backend_names)
        except ImportError as error:
            return Availability(False, f"{error.name} is not installed: pip install 'tightship[mobile]'")
        if "XnnpackBackend" not in backends:
            registered = ", ".join(backends) or "none"
            return Availability(False, f"this build of executorch lacks XnnpackBackend; it registers {registered}")
        from importlib.metadata import version

        return Availability(True, f"executorch {version('executorch')}, which registers {', '.join(backends)}")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """The program is opened as it is."""
        return Engine("executorch-xnnpack", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> ExecuTorchSession:
        """See `runtimes.base.Runtime`.

        Raises:
            TargetUnavailable: the thread pool cannot be set to `threads`.
        """
        from executorch.extension.pybindings import portable_lib

        setter = getattr(portable_lib, "_unsafe_reset_threadpool", None)
        if setter is None:
            raise TargetUnavailable("this build of executorch cannot set its number of threads; install executorch>=1.0.")
        setter(threads)
        return ExecuTorchSession(engine)
