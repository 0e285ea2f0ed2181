"""AOTInductor packages (.pt2) on the CPU: what their sessions tell besides running."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch

from artifacts.types import Availability, Engine, Placement
from export.aotinductor.export import compiler_missing
from runtimes.base import Placed, Runtime
from runtimes.torch.aotinductor_loader import AotInductorProgram

BODY = re.compile(r"::run_impl\((.*?)\n\} // AOTInductorModel::run_impl", re.DOTALL)
GENERATED = re.compile(r"^\s*(cpp_\w+)\(", re.MULTILINE)
LIBRARY = re.compile(r"\baoti_torch_cpu_(\w+)\(")
ONEDNN = re.compile(r"mkldnn_|mkldnn\.|mkl_linear|_q?(conv|linear)\w*_pointwise|onednn\.")
ROUNDED = re.compile(r"\b_?q(conv|linear)")
CUSTOM = "aoti_torch_proxy_executor_call_function("


class AotInductorSession(AotInductorProgram, Placed):
    """A loaded package."""

    def placement(self) -> Placement:
        """Calls of the compiled program, read from the source that the package carries."""
        return placement_of(source_of(self._path))


class AotInductorCpu(Runtime):
    """AOTInductor on the CPU; a package was compiled when it was exported."""

    target = "aotinductor-cpu"
    session = AotInductorSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        missing = compiler_missing()
        if missing:
            return Availability(False, f"no C++ compiler: {missing}")
        return Availability(True, f"torch {torch.__version__}, AOTInductor")

    def open(self, engine: Engine, threads: int) -> AotInductorSession:
        """See `runtimes.base.Runtime`, and `AotInductorProgram` for what is raised."""
        return AotInductorSession(engine, threads)


def source_of(path: Path) -> str:
    """The C++ source of a package's calls; empty if it was left out."""
    with zipfile.ZipFile(path) as archive:
        return "".join(archive.read(n).decode(errors="replace") for n in archive.namelist() if n.endswith("wrapper.cpp"))


def placement_of(source: str) -> Placement:
    """Generated kernels and oneDNN's fused ones are accelerated; ATen's own kernels are called from outside."""
    body = "".join(BODY.findall(source))
    calls = [*GENERATED.findall(body), *LIBRARY.findall(body), *["custom operator"] * body.count(CUSTOM)]
    how = "calls in the package's C++ source: generated kernels and oneDNN's fused ones, against ATen's"
    return count_calls(calls, how if body else "the package carries no source")


def count_calls(names: Sequence[str], how: str) -> Placement:
    """The calls of a compiled program by where they run; `cpp_...` names a generated kernel.

    In a program with integer layers, a layer that oneDNN runs in float is counted outside.
    """
    integer = any(ROUNDED.search(name) for name in names)
    inside: dict[str, int] = {}
    outside: dict[str, int] = {}
    for name in names:
        generated, fused = name.startswith("cpp_"), bool(ONEDNN.search(name))
        left = integer and fused and not ROUNDED.search(name)
        place = inside if generated or (fused and not left) else outside
        kind = "generated kernels" if generated else name
        place[kind] = place.get(kind, 0) + 1
    return Placement(inside, outside, how)
