"""The machine that a number comes from."""

import platform
import subprocess
from itertools import chain
from pathlib import Path

import psutil

from artifacts.environments import installed_version
from artifacts.isa import cpu_name, instructions
from artifacts.openmp import usable_cores
from artifacts.records.evidence import Machine
from compress.quantizers import QUANTIZERS
from export.registry import FORMATS
from runtimes.registry import TARGETS

LIBRARIES = ("torch", "torch-pruning", "mlcommons-loadgen", "numpy", "tightship")
"""What every run depends on, or may; the rest is told by the targets, formats and quantizers."""


def libraries() -> tuple[str, ...]:
    """The distributions whose versions a run records."""
    told = [target.libraries for target in TARGETS.values()]
    told += [known.libraries for known in FORMATS.values()]
    told += [quantizer.libraries for quantizer in QUANTIZERS.values()]
    return tuple(dict.fromkeys(chain(LIBRARIES, *told)))


def library_version(name: str) -> str | None:
    """The version of a distribution, here or in the environment of its own that it runs in; none if it is missing."""
    return installed_version(name)


HARDWARE = ("cpu", "isa", "cores", "memory_gb", "gpu", "os", "governor")
"""What must be the same for two latencies to be held side by side; a library may differ, and is then named."""


def same_machine(a: Machine, b: Machine) -> tuple[str, ...]:
    """What differs between two machines, as phrases such as `cores 2 and 8`; empty if they are the same."""
    found = []
    for name in HARDWARE:
        one, other = getattr(a, name), getattr(b, name)
        if name == "memory_gb" and abs(one - other) <= 0.02 * max(one, other):
            continue
        if one != other:
            shown = [", ".join(v) if isinstance(v, tuple) else str(v or "none") for v in (one, other)]
            found.append(f"{name.replace('_gb', ' (GB)')} {shown[0]} and {shown[1]}")
    return tuple(found)


def other_versions(a: Machine, b: Machine) -> tuple[str, ...]:
    """The libraries whose versions differ between two runs, as phrases such as `onnxruntime 1.30 and 1.31`."""
    names = sorted({*a.versions, *b.versions} - {"tightship"})
    pairs = [(n, a.versions.get(n, "none"), b.versions.get(n, "none")) for n in names]
    return tuple(f"{name} {one} and {other}" for name, one, other in pairs if one != other)


def describe() -> Machine:
    """This machine, without importing anything heavy."""
    versions = {name: found for name in libraries() if (found := library_version(name))}
    return Machine(
        cpu=cpu_name(),
        isa=instructions(),
        cores=usable_cores(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        gpu=_gpu(),
        os=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        versions=versions,
    )


def _gpu() -> str | None:
    try:
        shown = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return shown.stdout.strip().splitlines()[0] if shown.returncode == 0 and shown.stdout.strip() else None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
