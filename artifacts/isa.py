"""This CPU's name and vector instructions: they decide how kernels form their products and lay out their tensors."""

import platform
from collections.abc import Iterable
from pathlib import Path

INTERESTING = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
               "asimd", "asimddp", "i8mm", "sve")  # fmt: skip


def instructions() -> tuple[str, ...]:
    """The instruction sets of this CPU that matter to inference kernels; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ("asimd",) if platform.machine() == "arm64" else ()
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    present = set(lines[0].split(":", 1)[1].split()) if lines else set()
    return tuple(name for name in INTERESTING if name in present)


def cpu_name() -> str:
    """The name of this CPU's model; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def same_cpu(cpu: str, isa: Iterable[str]) -> bool:
    """Whether this CPU bears that name and has just those instruction sets."""
    return bool(cpu_name() == cpu and set(isa) == set(instructions()))
