"""The machine that a number comes from."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from artifacts.evidence import Machine
from compress.quantizers.isa import instructions

LIBRARIES = (
    "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "onnxscript", "torch-pruning", "executorch", "torchao", "tensorrt",
    "numpy", "tightship",
)  # fmt: skip


def library_version(name: str) -> str | None:
    """The installed version of a distribution, or none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe() -> Machine:
    """This machine, without importing anything heavy."""
    versions = {name: found for name in LIBRARIES if (found := library_version(name))}
    return Machine(
        cpu=_cpu(),
        isa=instructions(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        gpu=_gpu(),
        os=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        versions=versions,
    )


def _cpu() -> str:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
