"""What surrounded the timed calls, in words: noise, warm-up, the parts of a cold start, the time outside fast kernels."""

import re
from collections.abc import Mapping

from artifacts.records.evidence import PlacementRecord
from artifacts.records.noise import NoiseRecord, WarmupRecord
from tightship.reporting.formatting import MISSING, clean, number, percent

PARTS = {
    "process": "starting the process",
    "python": "starting Python",
    "import": "importing the runtime",
    "load": "loading the file",
    "first_run": "first inference",
}
"""The parts of a cold start, in the order in which they happen."""

_TIME_OUTSIDE = re.compile(r"(\d+(?:\.\d+)?) ?% of the time outside")


def disturbance(noise: NoiseRecord | None) -> str | None:
    """One sentence that belongs beside the verdict where others disturbed the measurement; none where they did not."""
    if noise is None or not noise.disturbed:
        return None
    why = f" ({clean(', '.join(noise.reasons))})" if noise.reasons else ""
    return (
        f"The machine was not quiet: {noise.disturbed_turns:,} of {noise.turns:,} turns of the timing were disturbed{why}, "
        "and repeating them did not help. Do not decide by small differences in latency; measure again when it is quiet."
    )


def noise_facts(noise: NoiseRecord | None) -> list[tuple[str, str]]:
    """What the machine did during the timing, as pairs of name and text."""
    if noise is None:
        return [("Noise", "not recorded by the version that measured this run")]
    return [
        ("Judged", "disturbed" if noise.disturbed else "quiet"),
        ("Turns", f"{noise.turns:,} kept, {noise.disturbed_turns:,} of them disturbed; {noise.repeated:,} timed again"),
        ("Reasons", clean("; ".join(noise.reasons)) or "none"),
        ("Cores used by others", _cores(noise)),
        ("Time taken by other guests", _seen(noise.steal_share)),
        ("Time spent waiting for a core", _seen(noise.lost_share)),
        ("Preemptions", f"{noise.preemptions:,}"),
        ("Slowest fixed loop", f"{number(noise.slowest_spin)}× its fastest"),
        ("Clock rate", " to ".join(f"{mhz:,.0f}" for mhz in noise.mhz) + " MHz" if noise.mhz else "not shown by this machine"),
        ("Temperature", "not shown by this machine" if noise.celsius is None else f"at most {noise.celsius:.0f} °C"),
        ("Clock step", f"{noise.clock_ns:,} ns"),
    ]


def warmup_text(warmup: WarmupRecord | None) -> str:
    """What the slowest process needed until its latency was stable."""
    if warmup is None or not warmup.calls:
        return MISSING
    calls = f"{max(warmup.calls):,} call{'s' if max(warmup.calls) != 1 else ''}"
    spent = f", {number(max(warmup.ms))} ms" if warmup.ms else ""
    return f"{calls}{spent}" if warmup.settled else f"not stable after {calls}{spent}"


def cold_parts(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """The parts of a cold start by the names that people know, in milliseconds, in the order in which they happen."""
    known = [(title, parts[key]) for key, title in PARTS.items() if key in parts]
    return known + [(clean(key), ms) for key, ms in parts.items() if key not in PARTS]


def time_outside(placement: PlacementRecord) -> float | None:
    """The share of the time spent outside the accelerated kernels; none where the runtime told only counts."""
    found = _TIME_OUTSIDE.search(placement.how)
    return float(found[1]) / 100 if found else None


def outside(placement: PlacementRecord) -> str:
    """The share of operators outside the accelerated kernels, and that of the time where the runtime tells it."""
    spent = time_outside(placement)
    return part(placement.fallback_share) + ("" if spent is None else f" ({part(spent)} of time)")


def part(share: float) -> str:
    """A share in whole percent, with a decimal where it is small, so that `0 %` means none at all."""
    return "0 %" if share == 0 else percent(share, 0 if share >= 0.01 else 1)


def _cores(noise: NoiseRecord) -> str:
    if noise.foreign_cores is None:
        return "not shown by this machine"
    before = "" if noise.foreign_cores_before is None else f", {noise.foreign_cores_before:.2f} before it began"
    return f"{noise.foreign_cores:.2f} of {noise.cores} on average{before}"


def _seen(share: float | None) -> str:
    return "not shown by this machine" if share is None else percent(share, 1)
