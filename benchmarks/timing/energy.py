"""Energy counters: RAPL by the kernel's powercap files, and NVIDIA's by NVML; and why there is none, where there is none.

RAPL: https://docs.kernel.org/power/powercap/powercap.html. Both count a whole package or GPU, whoever uses it.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

from artifacts.records.calls import PowerRecord, PowerSource

POWERCAP = Path("/sys/class/powercap")
IDLE_SECONDS = 1.0

Device = Literal["cpu", "cuda"]


class Rapl:
    """One RAPL domain, whose counter starts at zero again when it has reached its range."""

    device: Device = "cpu"

    def __init__(self, folder: Path) -> None:
        """Open the domain in `folder`.

        Raises:
            OSError: the counter cannot be read.
            ValueError: what is read there is no number.
        """
        self.name = f"RAPL {(folder / 'name').read_text().strip()}"
        self._counter = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last, self._total = int(self._counter.read_text()), 0

    def joules(self) -> float:
        """Since it was opened; it must be read more often than the counter comes round, which takes minutes or longer."""
        now = int(self._counter.read_text())
        self._total += now - self._last if now >= self._last else now + self._range - self._last
        self._last = now
        return self._total / 1e6


class Nvml:
    """The energy that one NVIDIA GPU took since its driver was loaded (Volta and later)."""

    device: Device = "cuda"

    def __init__(self, library: ModuleType, index: int) -> None:
        self._library, self._handle = library, library.nvmlDeviceGetHandleByIndex(index)
        name = library.nvmlDeviceGetName(self._handle)
        self.name = f"NVML {name.decode() if isinstance(name, bytes) else name}"
        self._first = self._millijoules()

    def _millijoules(self) -> int:
        return int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle))

    def joules(self) -> float:
        """Since it was opened."""
        return (self._millijoules() - self._first) / 1e3


@dataclass(frozen=True)
class Reading:
    """All counters at one moment."""

    at: float
    joules: tuple[float, ...]


class Meter:
    """The counters that can be read here, and why others cannot."""

    def __init__(self, counters: Sequence[Rapl | Nvml], reason: str | None) -> None:
        self.counters, self.reason = tuple(counters), reason
        self.idle_w: tuple[float, ...] = (0.0,) * len(self.counters)

    @classmethod
    def find(cls, powercap: Path = POWERCAP) -> "Meter":
        """Every counter of this machine.

        Args:
            powercap: where the kernel shows its RAPL domains.
        """
        domains, no_domain = _rapl(powercap)
        gpus, no_gpu = _nvml()
        # a machine whose GPU is merely absent lacks nothing
        reasons = [no_domain, no_gpu if not domains else None]
        return cls([*domains, *gpus], "; ".join(r for r in reasons if r) or None)

    def look_first(self, seconds: float = IDLE_SECONDS) -> None:
        """Take the power while nothing of ours runs."""
        if self.counters:
            begun = self.read()
            time.sleep(seconds)
            self.idle_w = self._each(begun)

    def read(self) -> Reading:
        """All counters now."""
        return Reading(time.monotonic(), tuple(c.joules() for c in self.counters))

    def watts(self, since: Reading, device: Device) -> float | None:
        """Mean power since a reading; for the GPU's engines the CPU counts too. None where it cannot be read."""
        each = self._each(since)
        picked = [w for w, c in zip(each, self.counters, strict=True) if counts(c.device, device)]
        return sum(picked) if any(c.device == device for c in self.counters) else None

    def _each(self, since: Reading) -> tuple[float, ...]:
        now = self.read()
        return tuple((b - a) / (now.at - since.at) for a, b in zip(since.joules, now.joules, strict=True))

    def record(self) -> PowerRecord:
        """All of it, as evidence."""
        pairs = zip(self.counters, self.idle_w, strict=True)
        return PowerRecord(tuple(PowerSource(c.name, c.device, idle) for c, idle in pairs), self.reason)


def counts(counter: Device, device: Device) -> bool:
    """Whether a counter belongs to the energy of an engine: a GPU's calls take the CPU's as well."""
    return counter == "cpu" or device == "cuda"


def _rapl(powercap: Path) -> tuple[list[Rapl], str | None]:
    """The packages and their memory; cores and graphics are parts of a package, `psys` holds it, `mmio` doubles it."""
    found: list[Rapl] = []
    refused: list[str] = []
    for folder in sorted(powercap.glob("*-rapl:*")) if powercap.is_dir() else ():
        try:
            name = (folder / "name").read_text().strip()
            if name.startswith("package") or name == "dram":
                found.append(Rapl(folder))
        except PermissionError:
            refused.append(f"{folder / 'energy_uj'} may only be read by root: allow it, or run as root")
        except (OSError, ValueError) as error:
            refused.append(f"{folder} cannot be read ({error})")
    if refused:
        return [], refused[0]
    return found, None if found else f"no RAPL counter under {powercap}, as in most virtual machines"


def _nvml() -> tuple[list[Nvml], str | None]:
    try:
        import pynvml
    except ImportError:
        return [], "NVML is not read: pip install nvidia-ml-py"
    try:
        pynvml.nvmlInit()
        return [Nvml(pynvml, _first_gpu())], None
    except pynvml.NVMLError as error:
        return [], f"NVML: {error}"


def _first_gpu() -> int:
    """The GPU that engines run on: the first that CUDA may see."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def says(meter: Meter) -> tuple[bool, str]:
    """Whether energy can be read, and what is read or why not."""
    if not meter.counters:
        return False, f"not available: {meter.reason}"
    return True, ", ".join(c.name for c in meter.counters) + (f" ({meter.reason})" if meter.reason else "")
