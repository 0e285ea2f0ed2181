"""The roofs of this machine, measured: the best multiply-accumulates per second in float and int8, and the bandwidth."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from artifacts.roofline import BandwidthRecord, PeakRecord, PeaksRecord
from artifacts.specs import Signature
from artifacts.types import Engine
from benchmarks.child import Child
from benchmarks.peak_models import PeakFile, write_all

TARGETS = ("onnxruntime-cpu", "openvino-cpu")
"""The targets whose runtimes open the ONNX files that peaks are measured with; the first one's peak serves all others."""

VISITS, CALLS = 2, 8
"""How often each network is timed, some time apart, and the fewest calls. The quickest one counts, so no warm-up is needed."""

TRIADS = 8
LARGER = 4
"""How many times the last-level cache three arrays are for the bandwidth of memory, and three arrays go into it for its own."""

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL_CACHE = 32e6
"""Bytes that are taken for the last-level cache where the system does not say."""


def measure_peaks(
    targets: Sequence[str],
    threads: int,
    seconds: float,
    work: Path,
    progress: Callable[[float, str], None] = lambda share, message: None,
) -> PeaksRecord:
    """Measure the roofs: some seconds for each runtime.

    Args:
        targets: the targets of the run; ONNX Runtime is measured in any case, others of `TARGETS` if they are among these.
        threads: CPU threads, as the artifacts are measured with.
        seconds: for each visit to each network.
        work: where the log of the measuring process is kept.
        progress: told the share done.

    Raises:
        StageCrashed: a runtime died.
    """
    begun = time.perf_counter()
    compute: list[PeakRecord] = []
    measured = [t for t in TARGETS if t == TARGETS[0] or t in targets]
    with TemporaryDirectory() as folder:
        files = write_all(Path(folder))
        for at, target in enumerate(measured):
            progress(at / (len(measured) + 1), f"peak of {target}")
            compute += _peaks(target, threads, seconds, files, work)
    progress(len(measured) / (len(measured) + 1), "bandwidth")
    cache = last_level_cache()
    bandwidth = (_bandwidth(cache, threads, "memory"), _bandwidth(cache, threads, "cache"))
    known = cache / 1e6 if cache else None
    return PeaksRecord(threads, time.perf_counter() - begun, known, tuple(compute), bandwidth)


def _peaks(target: str, threads: int, seconds: float, files: Sequence[PeakFile], work: Path) -> list[PeakRecord]:
    """The peak of each precision, by all networks one after the other in one process."""
    rates: dict[str, dict[str, float]] = {}
    with Child(Engine(target, work, Signature(())), work / f"peak-{target}.log", threads) as child:
        for _ in range(VISITS):
            for file in files:
                known = rates.setdefault(file.precision, {})
                known[file.shape.name] = max(_rate(child, file, seconds), known.get(file.shape.name, 0.0))
    return [_record(target, precision, found) for precision, found in rates.items()]


def _record(target: str, precision: str, rates: dict[str, float]) -> PeakRecord:
    best = max(rates, key=lambda name: rates[name])
    tried = tuple(f"{name}: {rate:.3g} GMAC/s" for name, rate in rates.items())
    return PeakRecord(target, precision, rates[best], best, tried)


def _rate(child: Child, file: PeakFile, seconds: float) -> float:
    """Multiply-accumulates per nanosecond of the quickest call."""
    child.engine = Engine(child.engine.target, file.path, file.signature)
    child.open(file.first)
    answer = child.ask("block", inputs=str(file.first), seconds=seconds, calls=CALLS)
    return float(file.shape.macs / min(answer["ns"]))


def last_level_cache() -> int | None:
    """Bytes of the largest cache that the first core sees; none where the system does not say."""
    sizes = []
    for path in CACHES.glob("index*/size"):
        text = path.read_text().strip()
        factor = {"K": 1024, "M": 1024**2}.get(text[-1:])
        if factor and text[:-1].isdigit():
            sizes.append(int(text[:-1]) * factor)
    return max(sizes, default=None)


def _bandwidth(cache: int | None, threads: int, where: str) -> BandwidthRecord:
    size = cache or USUAL_CACHE
    total = size * LARGER if where == "memory" else size / LARGER
    # on a machine with a huge cache the arrays must still fit
    total = min(total, psutil.virtual_memory().available / 4)
    length = max(1024, int(total / 3 / 8))
    return BandwidthRecord("memory" if where == "memory" else "cache", triad(length, threads), 3 * 8 * length / 1e6)


def triad(length: int, threads: int) -> float:
    """GB/s of a = b + s * c on arrays of doubles, the best of several; each thread has a part of its own.

    NumPy does it in two passes, so five arrays' worth of bytes move: c to a, then a and b to a.
    """
    b, c = np.full(length, 1.0), np.full(length, 2.0)
    a = np.zeros(length)
    parts = [slice(length * n // threads, length * (n + 1) // threads) for n in range(threads)]

    def pass_over(part: slice) -> None:
        np.multiply(c[part], 3.0, out=a[part])
        np.add(a[part], b[part], out=a[part])

    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(TRIADS):
            begun = time.perf_counter()
            list(pool.map(pass_over, parts))
            best = min(best, time.perf_counter() - begun)
    return 5 * 8 * length / best / 1e9
