"""Is B faster than A, and as accurate? Two files, measured interleaved; or two runs, by what they recorded."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from artifacts.errors import RequestError
from artifacts.json import Row
from artifacts.records.evidence import ArtifactRecord, Evidence, read_evidence
from artifacts.records.measured import bounds_of
from benchmarks.machine import other_versions, same_machine
from benchmarks.mcnemar import mcnemar, read_correct
from benchmarks.timing.compare import Comparison, compare
from benchmarks.timing.statistics import MARGIN, Ratio, apart
from tightship.benching.bench import engine_of, feeds_for, plan_for
from tightship.gating.baseline import figures_of
from tightship.gating.baseline_limits.latency import speedup_between

BLOCKS = 8
"""Rounds of each pair of processes: starting a pair takes longer than timing it, and more slices tell more."""


class _How(TypedDict):
    processes: int
    limit: int
    seconds: float
    threads: int
    margin: float


def compare_files(
    a: Path,
    b: Path,
    inputs: Path | None,
    *,
    processes: int,
    limit: int,
    seconds: float,
    threads: int,
    margin: float = MARGIN,
) -> Row:
    """Whether file B is faster than file A: one interleaved measurement that ends when the answer is known.

    Raises:
        RequestError: a file is missing, its kind cannot be told, or the two take different inputs.
    """
    engines = [engine_of(path, None, inputs) for path in (a, b)]
    plan = replace(plan_for(engines, None, processes, seconds, threads), blocks=BLOCKS, block_seconds=seconds / BLOCKS)
    with tempfile.TemporaryDirectory() as folder:
        given = feeds_for(engines, inputs, plan.latency_batch)
        found = compare(engines[0], engines[1], given, plan, Path(folder), limit, margin)
    return {"a": str(a), "b": str(b), "threads": threads, "interleaved": True, **_as_json(found)}


def _as_json(found: Comparison) -> Row:
    noise = found.b.noise
    return {
        "verdict": found.verdict, "ratio": found.ratio.ratio, "ci": list(bounds_of(found.ratio.low, found.ratio.high)),
        "margin": found.margin, "a_ms": float(np.median(found.a.medians)), "b_ms": float(np.median(found.b.medians)),
        "processes": len(found.a.rounds_ms), "processes_needed": found.needed,
        "disturbed": noise.disturbed if noise else None, "noise": asdict(noise) if noise else None,
    }  # fmt: skip


def compare_runs(
    a: Path,
    b: Path,
    artifact: str | None,
    *,
    again: bool,
    processes: int,
    limit: int,
    seconds: float,
    threads: int,
    margin: float = MARGIN,
) -> list[Row]:
    """One comparison for each artifact that both runs have (or for `artifact`), from what the runs recorded.

    Two runs are held side by side only if they were measured on the same machine. Otherwise, or with `again`, both files
    are measured here, interleaved.

    Raises:
        RequestError: there is no such artifact, or the machines differ and a file is gone.
    """
    how: _How = {"processes": processes, "limit": limit, "seconds": seconds, "threads": threads, "margin": margin}
    runs = [(folder, read_evidence(folder / "evidence.json")) for folder in (a, b)]
    differs = same_machine(runs[0][1].machine, runs[1][1].machine)
    found = []
    for name in _shared([evidence for _, evidence in runs], artifact):
        pair = [(folder, evidence.artifact(name)) for folder, evidence in runs]
        files = (pair[0][0] / pair[0][1].main, pair[1][0] / pair[1][1].main)
        if differs and not all(path.is_file() for path in files):
            raise RequestError(
                f"the two runs were not measured on the same machine ({'; '.join(differs)}), and the files of {name} are "
                "not both there to be measured again; run both recipes on one machine."
            )
        if again or differs:
            row = compare_files(*files, None, **how)
        else:
            row = {"a": str(a), "b": str(b), **_recorded(pair[0][1], pair[1][1], margin)}
            row["disturbed"] = any(evidence.noise.disturbed for _, evidence in runs if evidence.noise)
        row |= {"artifact": name, "versions": list(other_versions(runs[0][1].machine, runs[1][1].machine))}
        found.append({**row, "bytes": [record.bytes for _, record in pair], "accuracy": _accuracy(pair)})
    return found


def _shared(runs: Sequence[Evidence], artifact: str | None) -> list[str]:
    if artifact is not None:
        for evidence in runs:
            evidence.artifact(artifact)
        return [artifact]
    second = {record.id for record in runs[1].artifacts}
    shared = [record.id for record in runs[0].artifacts if record.id in second]
    if not shared:
        raise RequestError(f"the runs {runs[0].name!r} and {runs[1].name!r} have no artifact in common; compare two files.")
    return shared


def _recorded(a: ArtifactRecord, b: ArtifactRecord, margin: float) -> Row:
    """From the intervals that the two runs recorded: unpaired, and a difference counts only beyond the margin."""
    one, other = a.latency_ms, b.latency_ms
    if (one.threads, one.batch) != (other.threads, other.batch):
        raise RequestError(
            f"{a.id} was measured with {one.threads} thread(s) and batch {one.batch} in one run, with {other.threads} and "
            f"{other.batch} in the other; compare the files themselves, or add --again."
        )
    # without an interval the points say nothing of each other
    ratio = speedup_between(b, figures_of(a)) or Ratio(one.p50 / other.p50, 0.0, math.inf)
    return {
        "interleaved": False, "verdict": apart(ratio, margin), "ratio": ratio.ratio,
        "ci": list(bounds_of(ratio.low, ratio.high)), "margin": margin, "a_ms": one.p50, "b_ms": other.p50,
        "processes": min(one.processes, other.processes), "processes_needed": None, "threads": one.threads,
    }  # fmt: skip


def _accuracy(pair: Sequence[tuple[Path, ArtifactRecord]]) -> Row:
    """The difference in accuracy by a paired test, or why there is none."""
    a, b = (record.accuracy for _, record in pair)
    values: Row = {"metric": a.metric, "a": a.deployed, "b": b.deployed}
    if (a.metric, a.test_sha256) != (b.metric, b.test_sha256):
        return {**values, "verdict": None, "reason": "the runs were not scored on the same test set"}
    correct = [read_correct(folder / "selftest" / record.id / "correct.npz") for folder, record in pair]
    if correct[0] is None or correct[1] is None:
        return {**values, "verdict": None, "reason": "a run did not store which examples were right"}
    found = mcnemar(correct[0], correct[1])
    return {**values, "verdict": found.verdict, **asdict(found)}
