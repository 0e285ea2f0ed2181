"""The roofline model (Williams, Waterman, Patterson 2009): a rate held against the peak and against the bandwidth."""

from dataclasses import replace
from typing import Literal

from artifacts.roofline import BandwidthRecord, LayerCost, LayerTime, LayerTimes, PeakRecord, PeaksRecord, RooflineRecord
from benchmarks.peaks import TARGETS
from benchmarks.work import COMPUTED, Work

COSTLIEST = 10


def peak_of(peaks: PeaksRecord, target: str, precision: str | None) -> PeakRecord | None:
    """The peak that a target's rate is held against: by its own runtime if that was measured, else by ONNX Runtime."""
    found = {p.target: p for p in peaks.compute if p.precision == precision}
    return found.get(target, found.get(TARGETS[0]))


def bandwidth_of(peaks: PeaksRecord, moved: float) -> BandwidthRecord:
    """That of the cache if all that a call moves fits into it and so is still there at the next call, else memory's."""
    fits = peaks.cache_mb is not None and moved <= 1e6 * peaks.cache_mb
    return next(b for b in peaks.bandwidth if b.where == ("cache" if fits else "memory"))


def costs(target: str, peaks: PeaksRecord | None, times: LayerTimes, scheme: str | None) -> RooflineRecord:
    """What is known of an artifact by its layers alone: the costliest, from the costliest."""
    total = sum(layer.ms for layer in times.layers)
    first = sorted(times.layers, key=lambda layer: -layer.ms)[:COSTLIEST] if total else []
    light = sum(layer.ms for layer in times.layers if layer.macs is None) / total if total else None
    peak = {p: peak_of(peaks, target, p) for p in ("fp32", "int8")} if peaks else {}
    return RooflineRecord(
        macs=None, bytes_moved=None, gmac_per_s=None, compute_share=None, memory_share=None, memory=None, bound=None,
        peak_target=None, peak_precision=None, reasons=(),
        layers=tuple(_cost(layer, total, peak.get(_computed(layer, scheme))) for layer in first),
        layer_count=len(times.layers), layers_ms=total or None, light_share=light, layers_how=times.how,
    )  # fmt: skip


def place(
    target: str,
    scheme: str | None,
    p50_ms: float,
    work: Work | None,
    peaks: PeaksRecord | None,
    times: LayerTimes,
    threads: int,
) -> RooflineRecord:
    """Hold an artifact's rate against the roofs.

    Args:
        target: the target's name.
        scheme: of quantization; none: float.
        p50_ms: of a call on one example.
        work: what the call has to do; none: not known.
        peaks: the roofs; none: not measured.
        times: of its layers.
        threads: that the call ran on.
    """
    other = peaks is not None and peaks.threads != threads
    known = costs(target, None if other else peaks, times, scheme)
    if work is None or work.uncounted or not work.macs:
        return replace(known, reasons=(_unknown(work),))
    rate = work.macs / p50_ms / 1e6
    moved = work.bytes(scheme)
    known = replace(known, macs=float(work.macs), bytes_moved=moved, gmac_per_s=rate)
    if peaks is None:
        return replace(known, reasons=("this machine's peaks were not measured",))
    if other:
        return replace(known, reasons=(f"it ran on {threads} threads, the peaks were measured on {peaks.threads}",))
    precision = COMPUTED.get(scheme or "fp32")
    peak = peak_of(peaks, target, precision)
    reasons = () if peak else (f"no peak is measured for {scheme}",)
    memory: Literal["memory", "cache"] | None = None
    roof = None
    if moved is not None:
        band = bandwidth_of(peaks, moved)
        memory, roof = band.where, memory_roof(work.macs, moved, band.gb_per_s)
    return replace(
        known,
        compute_share=rate / peak.gmac_per_s if peak else None,
        memory_share=rate / roof if roof else None,
        memory=memory,
        bound=None if not peak or roof is None else "compute" if peak.gmac_per_s <= roof else "memory",
        peak_target=peak.target if peak else None,
        peak_precision=precision,
        reasons=reasons,
    )


def memory_roof(macs: float, moved: float, gb_per_s: float) -> float:
    """GMAC/s that the bandwidth allows a call of so many MACs that moves so many bytes.

    >>> memory_roof(macs=8e6, moved=4e6, gb_per_s=10.0)
    20.0
    """
    return macs / moved * gb_per_s


def _computed(layer: LayerTime, scheme: str | None) -> str:
    return layer.precision or COMPUTED.get(scheme or "fp32", "")


def _cost(layer: LayerTime, total: float, peak: PeakRecord | None) -> LayerCost:
    rate = layer.macs / layer.ms / 1e6 if layer.macs and layer.ms else None
    share = rate / peak.gmac_per_s if rate and peak else None
    return LayerCost(layer.name, layer.operator, layer.layer, layer.ms, layer.ms / total, layer.macs, share)


def _unknown(work: Work | None) -> str:
    if work is None:
        return "what the file computes was not counted"
    if work.uncounted:
        return f"MACs are not known: PyTorch's counter does not count {', '.join(work.uncounted)}"
    return "MACs are not known: PyTorch's counter finds no convolution and no matrix product"
