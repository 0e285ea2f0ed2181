"""torch.compile on the CPU: the stored network, compiled by Inductor in the process that runs it."""

import os
import re
import tempfile
from pathlib import Path

import torch

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import Arrays, Availability, Engine, Placement
from compress import checkpoint
from compress.training.memory_format import lay_out
from export.aotinductor.export import compiler_missing
from runtimes.base import Placed, Runtime
from runtimes.options import read_options
from runtimes.torch.aotinductor import count_calls
from runtimes.torch.memory_format import Caller
from runtimes.torch.options import TorchOptions

CALL = re.compile(r"^ *def call\(self, args\):(.*?)^ *return \(", re.DOTALL | re.MULTILINE)
KERNEL = re.compile(r"^\s*(?:\w+ = )?(cpp_\w+|(?:extern_kernels|torch\.ops)\.[\w.]+)\(", re.MULTILINE)


class InductorSession(Placed):
    """A network that is compiled at its first run, and once more at the first run with another batch size."""

    def __init__(
        self,
        module: torch.nn.Module,
        names: tuple[str, ...],
        cache: "tempfile.TemporaryDirectory[str]",
        channels_last: bool = False,
    ) -> None:
        compiled = torch.compile(lay_out(module) if channels_last else module)
        self._call, self._cache = Caller(compiled, names, channels_last), cache

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: the network cannot be compiled, or needs its tensors in the plain layout.
        """
        try:
            return self._call(inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
            raise ModelError(f"torch.compile cannot compile the model: {type(error).__name__}: {first}") from error

    def placement(self) -> Placement:
        """Calls in the code that Inductor wrote for the first input; nothing before the first run."""
        written = sorted(Path(self._cache.name).rglob("*.py"), key=lambda path: path.stat().st_mtime_ns)
        bodies = [body for path in written for body in CALL.findall(path.read_text())]
        names = [name.removeprefix("extern_kernels.") for name in KERNEL.findall(bodies[0])] if bodies else []
        how = "calls in the code that Inductor wrote: generated kernels and oneDNN's fused ones, against ATen's"
        return count_calls(names, how if bodies else "nothing is compiled before the first run")


class InductorCpu(Runtime):
    """torch.compile with Inductor on the CPU; the stored network is compiled where it runs."""

    target = "inductor-cpu"
    session = InductorSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        missing = compiler_missing()
        if missing:
            return Availability(False, f"no C++ compiler: {missing}")
        return Availability(True, f"torch {torch.__version__}, Inductor")

    def open(self, engine: Engine, threads: int) -> InductorSession:
        """See `runtimes.base.Runtime`; what is compiled goes to a folder of this process alone, which ends with it.

        Raises:
            RequestError: the engine's options are not those of this target.
            TargetUnavailable: there is no C++ compiler.
        """
        missing = compiler_missing()
        if missing:
            raise TargetUnavailable(f"inductor-cpu compiles as it runs, and {missing}.")
        # a cache that outlives the process would make every cold start but the first look warm
        cache = tempfile.TemporaryDirectory(prefix="tightship-inductor-", ignore_cleanup_errors=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
        import torch._inductor.config as inductor

        torch.set_num_threads(threads)
        # with one it compiles in this process; idle compilers would stand beside what is measured
        inductor.compile_threads = 1
        told = read_options(TorchOptions, engine.options, "inductor-cpu")
        module = checkpoint.load(engine.path.parent).module.eval()
        return InductorSession(module, tuple(s.name for s in engine.signature.inputs), cache, told.channels_last)
