"""AOTInductor packages as they are timed, on the CPU that they were compiled for. Bundles ship this module."""

import platform
import sys
from pathlib import Path
from typing import Any

from artifacts.errors import IntegrityError, ModelError
from artifacts.types import Arrays, Engine
from export.aotinductor.package import CPU_FLAGS, metadata_of, vector_flags
from zoo.outputs import named_outputs

REBUILD = "tightship run RECIPE"


class AotInductorProgram:
    """A loaded package.

    Raises:
        ModelError: the file is no AOTInductor package, or cannot be loaded.
        IntegrityError: it was compiled for another kind of machine.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        check_machine(engine.path)
        from torch._inductor import aoti_load_package

        try:
            self._program: Any = aoti_load_package(str(engine.path))
        except Exception as error:
            raise ModelError(f"AOTInductor cannot open {engine.path.name}: {_first_line(error)}") from error
        self._names, self._path, self._torch = tuple(s.name for s in engine.signature.inputs), engine.path, torch

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: an input does not fit the package, or this CPU has no kernel for an operator, such as a recurrent one
                in bf16 where there is AVX2 alone.
        """
        with self._torch.inference_mode():
            try:
                outputs = self._program(*(self._torch.from_numpy(inputs[n]) for n in self._names))
            except RuntimeError as error:
                raise ModelError(f"AOTInductor cannot run {self._path.name} here: {_first_line(error)}") from error
            return {name: tensor.numpy() for name, tensor in named_outputs(outputs).items()}


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
