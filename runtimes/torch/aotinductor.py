"""AOTInductor packages (.pt2) on the CPU that they were compiled for."""

import platform
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from artifacts.errors import IntegrityError, ModelError
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement
from export.aotinductor import CPU_FLAGS, compiler_missing, metadata_of, vector_flags
from zoo.models import named_outputs

REBUILD = "tightship run RECIPE"
BODY = re.compile(r"::run_impl\((.*?)\n\} // AOTInductorModel::run_impl", re.DOTALL)
GENERATED = re.compile(r"^\s*(cpp_\w+)\(", re.MULTILINE)
LIBRARY = re.compile(r"\baoti_torch_cpu_(\w+)\(")
ONEDNN = re.compile(r"mkldnn_|mkldnn\.|mkl_linear|_q?(conv|linear)\w*_pointwise|onednn\.")
ROUNDED = re.compile(r"\b_?q(conv|linear)")
CUSTOM = "aoti_torch_proxy_executor_call_function("


class AotInductorSession:
    """A loaded package."""

    def __init__(self, program: Any, names: tuple[str, ...], path: Path) -> None:
        self._program, self._names, self._path = program, names, path

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: an input does not fit the package, or this CPU has no kernel for an operator, such as a recurrent one
                in bf16 where there is AVX2 alone.
        """
        with torch.inference_mode():
            try:
                outputs = self._program(*(torch.from_numpy(inputs[n]) for n in self._names))
            except RuntimeError as error:
                raise ModelError(f"AOTInductor cannot run {self._path.name} here: {_first_line(error)}") from error
            return {name: tensor.numpy() for name, tensor in named_outputs(outputs).items()}

    def placement(self) -> Placement:
        """Calls of the compiled program, read from the source that the package carries."""
        return placement_of(source_of(self._path))


class AotInductorCpu:
    """AOTInductor on the CPU."""

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        missing = compiler_missing()
        if missing:
            return Availability(False, f"no C++ compiler: {missing}")
        return Availability(True, f"torch {torch.__version__}, AOTInductor")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """The package is opened as it is: it was compiled when it was exported."""
        return Engine("aotinductor-cpu", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> AotInductorSession:
        """See `runtimes.base.Runtime`.

        Raises:
            ModelError: the file is no AOTInductor package, or cannot be loaded.
            IntegrityError: it was compiled for another kind of machine.
        """
        torch.set_num_threads(threads)
        check_machine(engine.path)
        from torch._inductor import aoti_load_package

        try:
            program = aoti_load_package(str(engine.path))
        except Exception as error:
            raise ModelError(f"AOTInductor cannot open {engine.path.name}: {_first_line(error)}") from error
        return AotInductorSession(program, tuple(s.name for s in engine.signature.inputs), engine.path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_machine(path: Path) -> None:
    """Whether the code of a package can run here: an instruction that this CPU lacks would end the process.

    Raises:
        ModelError: it is no AOTInductor package.
        IntegrityError: it was compiled for another device, system, architecture or CPU.
    """
    said = metadata_of(path)
    again = f"compile it here: `{REBUILD}`"
    here = {"AOTI_DEVICE_KEY": "cpu", "AOTI_PLATFORM": sys.platform, "AOTI_MACHINE": platform.machine()}
    for key, value in here.items():
        if said.get(key, value) != value:
            raise IntegrityError(f"{path.name} was compiled for {said[key]}, and this is {value}; {again}.")
    present = vector_flags()
    missing = [flag for flag in needed_flags(said) if flag not in present] if present else []
    if missing:
        raise IntegrityError(
            f"{path.name} was compiled for a CPU with {missing[0]}, which this one lacks ({len(missing)} such); {again}."
        )


def needed_flags(said: dict[str, str]) -> list[str]:
    """The CPU flags that a package may need; a package that is not ours tells its vector instructions only.

    >>> needed_flags({"AOTI_CPU_ISA": "AVX512 AVX512_VNNI"})
    ['avx512f', 'avx512_vnni']
    """
    if CPU_FLAGS in said:
        return said[CPU_FLAGS].split()
    words = said.get("AOTI_CPU_ISA", "").lower().split()
    return ["avx512f" if w == "avx512" else w for w in words if w.startswith(("avx", "amx"))]


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
