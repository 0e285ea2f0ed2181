"""The roofline model (Williams, Waterman, Patterson 2009): a rate held against the peak and against the bandwidth."""

from dataclasses import replace
from typing import Literal

from artifacts.records.roofline import (
    BandwidthRecord,
    LayerCost,
    LayerTime,
    LayerTimes,
    PeakRecord,
    PeaksRecord,
    RooflineRecord,
)
from benchmarks.roofline.peaks import TARGETS
from benchmarks.roofline.work import COMPUTED, Work

COSTLIEST = 10

UNCOUNTED = {
    "LSTM", "GRU", "RNN", "LSTMSequence", "GRUSequence", "RNNSeq", "RNNCell", "DynamicQuantizeLSTM", "Attention", "QAttention",
    "MultiHeadAttention", "GroupQueryAttention", "ScaledDotProductAttention", "Einsum",
}  # fmt: skip
"""Operators that multiply, but whose MACs no profile tells."""


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
    reasons: tuple[str, ...] = () if peak else (f"no peak is measured for {scheme}",)
    reasons += held_down(f"the {precision} peak", peak) if peak else ()
    memory: Literal["memory", "cache"] | None = None
    roof = None
    if moved is not None:
        band = bandwidth_of(peaks, moved)
        memory, roof = band.where, memory_roof(work.macs, moved, band.gb_per_s)
        reasons += held_down(f"the bandwidth of {band.where}", band)
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


def place_by_layers(
    target: str, p50_ms: float, peaks: PeaksRecord, times: LayerTimes, threads: int, recorded: RooflineRecord | None = None
) -> RooflineRecord:
    """Hold a file against the roofs by what its runtime tells of its layers: no network is at hand to count in.

    Layers of several precisions are each held against their own peak: the share is the time that all would take at the
    peaks, in units of the latency.

    Args:
        target: the target's name.
        p50_ms: of a call.
        peaks: the roofs.
        times: of the layers in that call.
        threads: that the call ran on.
        recorded: what the run that made the file recorded of a call of the same batch.
    """
    precision = recorded.peak_precision if recorded else None
    if peaks.threads != threads:
        why = f"it ran on {threads} threads, the peaks were measured on {peaks.threads}"
        return replace(costs(target, None, times, precision), reasons=(why,))
    known = costs(target, peaks, times, precision)
    macs = _macs_by_precision(times, precision)
    if not macs and recorded and recorded.macs and precision:
        macs = {precision: recorded.macs}
    if unknown := _why_unknown(times, macs):
        return replace(known, reasons=(unknown,))
    total, most = sum(macs.values()), max(macs, key=lambda name: macs[name])
    known = replace(known, macs=float(total), gmac_per_s=total / p50_ms / 1e6, peak_precision=most)
    roofs = {name: peak_of(peaks, target, name) for name in macs}
    reasons = tuple(f"no peak is measured for {name or 'the types of some layers'}" for name in macs if roofs[name] is None)
    reasons += tuple(said for name, peak in roofs.items() if peak for said in held_down(f"the {name} peak", peak))
    found = {name: peak for name, peak in roofs.items() if peak}
    ideal_ms = sum(macs[name] / peak.gmac_per_s for name, peak in found.items()) / 1e6
    share = ideal_ms / p50_ms if len(found) == len(macs) else None
    known = replace(known, compute_share=share, peak_target=found[most].target if most in found else None)
    moved = recorded.bytes_moved if recorded else None
    if moved is None:
        return replace(known, reasons=(*reasons, "what a call moves is not known, so it is not held against the bandwidth"))
    band = bandwidth_of(peaks, moved)
    roof = memory_roof(total, moved, band.gb_per_s)
    return replace(
        known,
        bytes_moved=moved,
        memory=band.where,
        memory_share=total / p50_ms / 1e6 / roof,
        bound=None if share is None else "compute" if total / ideal_ms / 1e6 <= roof else "memory",
        reasons=(*reasons, *held_down(f"the bandwidth of {band.where}", band)),
    )


def _macs_by_precision(times: LayerTimes, otherwise: str | None) -> dict[str, float]:
    macs: dict[str, float] = {}
    for layer in times.layers:
        if layer.macs:
            name = layer.precision or otherwise or ""
            macs[name] = macs.get(name, 0.0) + layer.macs
    return macs


def _why_unknown(times: LayerTimes, macs: dict[str, float]) -> str | None:
    """Why the MACs of a file are not known; none where they are."""
    operators = {layer.operator.partition(":")[0] for layer in times.layers}
    if missed := sorted(operators & UNCOUNTED):
        return f"MACs are not known: {', '.join(missed)} multiplies, and no profile tells how much"
    if macs:
        return None
    return "it has no convolution and no matrix product" if times.layers else f"MACs are not known: {times.how}"


def held_down(name: str, roof: PeakRecord | BandwidthRecord) -> tuple[str, ...]:
    """What to say of a roof that others disturbed at every visit; nothing of one that may be trusted."""
    if not roof.disturbed:
        return ()
    return (f"{name} may be too low and this share too high: while it was measured, {', '.join(roof.disturbed)}",)


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
        return f"MACs are not known: how much these operators multiply is not counted: {', '.join(work.uncounted)}"
    return "the network multiplies nothing that is counted"
