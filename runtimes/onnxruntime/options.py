"""What a recipe may tell ONNX Runtime: how it optimizes a graph, waits for work and holds memory.

What each means to ONNX Runtime is told in https://onnxruntime.ai/docs/performance/tune-performance/threading.html and
https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from artifacts.errors import RequestError
from artifacts.types import ExportedFile
from runtimes.onnxruntime.optimized_file import FOR_THIS_CPU, write_optimized
from runtimes.options import Options, OptionValue

Level = Literal["disable", "basic", "extended", "layout", "all"]

LEVELS: Mapping[Level, str] = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}


@dataclass(frozen=True)
class OrtOptions(Options):
    """Options of a session, on any provider; the defaults are ONNX Runtime's own, but for the threads."""

    external: ClassVar[frozenset[str]] = frozenset({"custom_ops"})
    graph_level: Level = "all"
    """How far the graph is optimized: constant folding from `basic` on, fused operators from `extended` on."""
    spinning: bool = True
    """Whether threads that wait for work keep their cores busy."""
    arena: bool = True
    """Whether freed CPU memory is kept for the next tensor."""
    mem_pattern: bool = True
    """Whether the memory of a call is planned ahead from that of an earlier one."""
    execution: Literal["sequential", "parallel"] = "sequential"
    """Whether branches of the graph run beside each other."""
    intra_op_threads: int | None = None
    """Threads of one operator; by default the recipe's `measure.threads`."""
    inter_op_threads: int = 1
    """Branches at once, where `execution` is parallel."""
    denormals: Literal["keep", "zero"] = "keep"
    """What becomes of numbers too small to be normal, which take longer on many CPUs."""
    custom_ops: str | None = None
    """A library (.so, .dll, .dylib) of operators that a file needs and ONNX Runtime lacks; its code runs with the session."""

    def __post_init__(self) -> None:
        if self.inter_op_threads > 1 and self.execution != "parallel":
            raise RequestError(
                f"inter_op_threads is {self.inter_op_threads}, but only `execution: parallel` runs branches beside each other; "
                "say that too, or leave it out."
            )

    @property
    def threads(self) -> int | None:
        """Threads of one operator, where the options say so."""
        return self.intra_op_threads

    def settings(self, threads: int, optimized: bool = False) -> Any:
        """The `SessionOptions` of these, without the graph's optimization where the file has that behind it.

        Raises:
            RequestError: there is no library of custom operators at the path, or it cannot be loaded.
        """
        import onnxruntime as ort

        made = ort.SessionOptions()
        made.intra_op_num_threads = self.intra_op_threads or threads
        made.inter_op_num_threads = self.inter_op_threads
        made.log_severity_level = 3
        made.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, LEVELS["disable" if optimized else self.graph_level]
        )
        made.enable_cpu_mem_arena, made.enable_mem_pattern = self.arena, self.mem_pattern
        if self.execution == "parallel":
            made.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        if not self.spinning:
            made.add_session_config_entry("session.intra_op.allow_spinning", "0")
            made.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if self.denormals == "zero":
            made.add_session_config_entry("session.set_denormal_as_zero", "1")
        if self.custom_ops:
            _register(made, Path(self.custom_ops))
        return made


@dataclass(frozen=True)
class OrtCpuOptions(OrtOptions):
    """Options of the CPU provider, whose graph may be optimized before it is shipped."""

    making: ClassVar[frozenset[str]] = frozenset({"optimized_file", "format"})

    optimized_file: bool = False
    """Whether the optimized graph is what is shipped, and opened without optimizing it again."""
    format: Literal["onnx", "ort"] = "onnx"
    """`ort`: the optimized graph in ONNX Runtime's own format, which its builds for phones read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimized_file and self.graph_level == "disable":
            raise RequestError("optimized_file needs a graph_level of basic or above; raise it, or leave optimized_file out.")

    @property
    def of_the_file(self) -> Mapping[str, OptionValue]:
        """What decides an optimized file."""
        if not self.optimized_file and self.format == "onnx":
            return {}
        return {"format": self.format, "graph_level": self.graph_level}

    @property
    def bound_to_cpu(self) -> bool:
        """Whether the shipped graph holds layouts that were chosen for a CPU."""
        return bool(self.of_the_file) and self.graph_level in FOR_THIS_CPU

    def rewrite(self, file: ExportedFile, folder: Path) -> ExportedFile:
        """The optimized file, written by ONNX Runtime.

        Raises:
            ModelError: ONNX Runtime cannot open the file, or not write it.
        """
        return write_optimized(file, self.settings(1), self.graph_level, self.format, folder)


def _register(settings: Any, library: Path) -> None:
    if not library.is_file():
        raise RequestError(f"custom_ops is {library}, where there is no file; give the path of a library of custom operators.")
    try:
        settings.register_custom_ops_library(str(library.resolve()))
    except Exception as error:
        said = str(error).strip().splitlines()[0].rpartition("with error: ")[2].removesuffix(".")
        raise RequestError(f"ONNX Runtime cannot load {library.name} as a library of custom operators: {said}.") from None
