"""The roofs of this machine, measured: the best multiply-accumulates per second in float and int8, and the bandwidth."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import psutil

from artifacts.records.roofline import BandwidthRecord, PeakRecord, PeaksRecord
from artifacts.specs import Signature
from artifacts.types import Engine
from benchmarks.process.child import Child
from benchmarks.process.stopwatch import Block, watched
from benchmarks.roofline.peak_models import PeakFile, write_all
from benchmarks.timing.noise import Counters, NoiseMonitor, Round

TARGETS = ("onnxruntime-cpu", "openvino-cpu")
"""The targets whose runtimes open the ONNX files that peaks are measured with; the first one's peak serves all others."""

VISITS, CALLS = 2, 8
"""How often each network is timed, some time apart, and the fewest calls. The quickest one counts, so no warm-up is needed."""
REPEATS = 4
"""A visit that others disturbed is made again, so often for each roof; the quickest call of all visits counts, because
others only ever slow a call down."""

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
    watch: NoiseMonitor | None = None,
) -> PeaksRecord:
    """Measure the roofs: some seconds for each runtime, more while others disturb.

    Args:
        targets: the targets of the run; ONNX Runtime is measured in any case, others of `TARGETS` if they are among these.
        threads: CPU threads, as the artifacts are measured with.
        seconds: for each visit to each network.
        work: where the log of the measuring process is kept.
        progress: told the share done.
        watch: looks at the machine; by default one of its own.

    Raises:
        StageCrashed: a runtime died.
    """
    begun, watch = time.perf_counter(), watch or NoiseMonitor()
    compute: list[PeakRecord] = []
    measured = [t for t in TARGETS if t == TARGETS[0] or t in targets]
    with TemporaryDirectory() as folder:
        files = write_all(Path(folder))
        for at, target in enumerate(measured):
            progress(at / (len(measured) + 1), f"peak of {target}")
            compute += _peaks(target, threads, seconds, files, work, watch)
    progress(len(measured) / (len(measured) + 1), "bandwidth")
    cache = last_level_cache()
    bandwidth = tuple(_bandwidth(cache, threads, where, seconds, watch) for where in ("memory", "cache"))
    known = cache / 1e6 if cache else None
    return PeaksRecord(threads, time.perf_counter() - begun, known, tuple(compute), bandwidth, watch.record())


class Visits:
    """The best rate over visits, and whether a visit was ever left alone."""

    def __init__(self, watch: NoiseMonitor, repeats: int = REPEATS) -> None:
        self.watch, self.spare = watch, repeats
        self.best: dict[str, float] = {}
        self.signs: dict[str, set[str]] = {}
        self._quiet: set[str] = set()

    def make(self, name: str, visit: Callable[[], tuple[float, Round]]) -> None:
        """Visit, and again while others disturb and there are repeats left."""
        while True:
            rate, turn = visit()
            self.best[name] = max(rate, self.best.get(name, 0.0))
            self.signs.setdefault(name, set()).update(map(str, turn.reasons))
            if not turn.reasons:
                self._quiet.add(name)
            if name in self._quiet or not self.spare:
                break
            self.spare -= 1
            self.watch.repeated += 1
        self.watch.keep(turn)

    @property
    def disturbed(self) -> tuple[str, ...]:
        """What others did in all visits to one of them; a disturbed visit beside a quiet one does no harm."""
        never = [signs for name, signs in self.signs.items() if name not in self._quiet]
        return tuple(sorted(set().union(*never)))


def _peaks(
    target: str, threads: int, seconds: float, files: Sequence[PeakFile], work: Path, watch: NoiseMonitor
) -> list[PeakRecord]:
    """The peak of each precision, by all networks one after the other in one process."""
    visits = {file.precision: Visits(watch) for file in files}
    with Child(Engine(target, work, Signature(())), work / f"peak-{target}.log", threads) as child:
        for _ in range(VISITS):
            for file in files:
                visits[file.precision].make(file.shape.name, partial(_visit, child, file, seconds, watch))
    return [_record(target, precision, found) for precision, found in visits.items()]


def _record(target: str, precision: str, found: Visits) -> PeakRecord:
    rates = found.best
    best = max(rates, key=lambda name: rates[name])
    tried = tuple(f"{name}: {rate:.3g} GMAC/s" for name, rate in rates.items())
    return PeakRecord(target, precision, rates[best], best, tried, found.disturbed)


def _visit(child: Child, file: PeakFile, seconds: float, watch: NoiseMonitor) -> tuple[float, Round]:
    """Multiply-accumulates per nanosecond of the quickest call, and what the machine did meanwhile."""
    child.engine = Engine(child.engine.target, file.path, file.signature)
    child.open(file.first)
    begun = Counters.now()
    answer = child.block(file.first, seconds, CALLS)
    turn = watch.turn([answer.seen], begun)
    return file.shape.macs / min(answer.ns), turn


def last_level_cache() -> int | None:
    """Bytes of the largest cache that the first core sees; none where the system does not say."""
    sizes = []
    for path in CACHES.glob("index*/size"):
        text = path.read_text().strip()
        factor = {"K": 1024, "M": 1024**2}.get(text[-1:])
        if factor and text[:-1].isdigit():
            sizes.append(int(text[:-1]) * factor)
    return max(sizes, default=None)


def _bandwidth(
    cache: int | None, threads: int, where: Literal["memory", "cache"], seconds: float, watch: NoiseMonitor
) -> BandwidthRecord:
    size = cache or USUAL_CACHE
    total = size * LARGER if where == "memory" else size / LARGER
    # on a machine with a huge cache the arrays must still fit
    total = min(total, psutil.virtual_memory().available / 4)
    length = max(1024, int(total / 3 / 8))

    def visit() -> tuple[float, Round]:
        begun = Counters.now()
        rate, block = triad(length, threads, seconds)
        return rate, watch.turn([block], begun)

    visits = Visits(watch)
    visits.make(where, visit)
    return BandwidthRecord(where, visits.best[where], 3 * 8 * length / 1e6, visits.disturbed)


def triad(length: int, threads: int, seconds: float = 0.0) -> tuple[float, Block]:
    """GB/s of a = b + s * c on arrays of doubles, the best of several; each thread has a part of its own.

    NumPy does it in two passes, so five arrays' worth of bytes move: c to a, then a and b to a.

    Args:
        length: of each array.
        threads: this one among them.
        seconds: at least so long.

    Returns:
        The rate, and what this process saw; its own CPU time is left out, because the counters of this process have it.
    """
    b, c = np.full(length, 1.0), np.full(length, 2.0)
    a = np.zeros(length)
    first, *others = [slice(length * n // threads, length * (n + 1) // threads) for n in range(threads)]

    def pass_over(part: slice) -> None:
        np.multiply(c[part], 3.0, out=a[part])
        np.add(a[part], b[part], out=a[part])

    def once(pool: ThreadPoolExecutor) -> None:
        pending = [pool.submit(pass_over, part) for part in others]
        pass_over(first)
        for each in pending:
            each.result()

    with ThreadPoolExecutor(threads) as pool:
        times, _, seen = watched(lambda: once(pool), seconds, CALLS)
    return 5 * 8 * length / min(times), replace(seen, cpu_ns=0)
