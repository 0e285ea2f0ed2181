"""ExecuTorch with XNNPACK's delegate: what its sessions tell besides running."""

from artifacts.types import Availability, Engine, Placement
from export.executorch.program import program_bytes
from runtimes.base import Placed, Runtime
from runtimes.executorch.loader import ExecuTorchProgram


class ExecuTorchSession(ExecuTorchProgram, Placed):
    """A loaded program."""

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


class ExecuTorchXnnpack(Runtime):
    """ExecuTorch's x86 and ARM runtime with XNNPACK."""

    target = "executorch-xnnpack"
    session = ExecuTorchSession

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

    def open(self, engine: Engine, threads: int) -> ExecuTorchSession:
        """See `runtimes.base.Runtime`, and `ExecuTorchProgram` for what is raised."""
        return ExecuTorchSession(engine, threads)
