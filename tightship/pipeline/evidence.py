"""Put the evidence together from what the stages stored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import load_arrays
from artifacts.errors import ParityFailed
from artifacts.files import sha256_file, sha256_json, walk
from artifacts.records.accuracy_guard import CandidateRecord, GuardRecord, LayerRecord
from artifacts.records.evidence import (
    AccuracyRecord,
    ArtifactRecord,
    ConvertedRecord,
    Evidence,
    FileRecord,
    Machine,
    NotRun,
    ParityRecord,
    PlacementRecord,
    StageRecord,
)
from artifacts.records.noise import WarmupRecord
from artifacts.records.roofline import RooflineRecord
from artifacts.records.sensitivity import SensitivityRecord, sensitivity_of
from benchmarks.parity.parity import SIMULATED
from benchmarks.roofline.work import Work
from benchmarks.timing.measure import Measured
from benchmarks.timing.statistics import quantile
from runtimes.registry import find
from tightship.gating.gates import decide, evaluate, guard_gate
from tightship.pipeline.comparisons import first_of, float_of, stock_of
from tightship.pipeline.run_folder import lay_out as lay_out
from tightship.pipeline.stages.energy import Calls
from tightship.pipeline.stages.roofline import Costs
from tightship.pipeline.timings import latency_of, measured_of, ratio_over, threads_of
from tightship.planning.plan import Plan
from tightship.planning.steps import DATA, MEASURE, REFERENCE, SENSITIVITY, ArtifactPlan
from tightship.recipe.recipe import Recipe
from tightship.store import Entry

REFERENCE_ID = "torch-cpu/reference"


def assemble(
    plan: Plan, entries: Mapping[str, Entry], machine: Machine, not_run: tuple[NotRun, ...], out: Path, command: str
) -> Evidence:
    """The evidence of a finished run whose files lie in `out`."""
    recipe = plan.recipe
    measured = {name: measured_of(value) for name, value in entries[MEASURE].result.details.items()}
    for artifact in plan.artifacts:
        _timed_what_was_checked(artifact.id, entries)
    records = tuple(_artifact(a, plan, entries, measured, out) for a in plan.artifacts)
    reference = next(r for r in records if r.id == REFERENCE_ID)
    records = tuple(_judged(r, reference, recipe) for r in records)
    not_run = tuple(replace(n, converted=_converted(n.target, plan, entries, out)) for n in not_run)
    records, verdict = decide(records, not_run, recipe)
    as_json = recipe.as_json()
    return Evidence(
        name=recipe.name,
        command=command,
        recipe=as_json,
        recipe_sha256=sha256_json(as_json),
        machine=machine,
        data=_data(entries[DATA]),
        stages=tuple(_stage(plan, name, entries) for name in entries),
        artifacts=records,
        not_run=not_run,
        verdict=verdict,
        noise=next((m.noise for m in measured.values()), None),
        peaks=Costs(entries[MEASURE].folder).peaks,
        power=Calls(entries[MEASURE].folder).power,
        no_end_to_end=Calls(entries[MEASURE].folder).no_end_to_end,
    )


def _timed_what_was_checked(name: str, entries: Mapping[str, Entry]) -> None:
    """The outputs of the timed calls are those that parity was judged by, up to what another batch size changes.

    Raises:
        ParityFailed: they are not.
    """
    checked = load_arrays(entries[f"check {name}"].folder / "outputs.npz")
    timed = load_arrays(entries[MEASURE].folder / "outputs" / f"{name}.npz")
    for output, values in checked.items():
        spread = float(values.std()) or 1.0
        first = values[: len(timed[output])]
        apart = float(np.sqrt(np.mean(np.subtract(first, timed[output]) ** 2))) / spread
        if not apart <= SIMULATED.rms_error:
            raise ParityFailed(
                f"the timed calls of {name} gave {output!r} {apart:.3g} spreads away from the checked outputs (limit "
                f"{SIMULATED.rms_error:g}); its latency is not that of the file that was checked."
            )


def _data(entry: Entry) -> dict[str, Any]:
    details = dict(entry.result.details)
    return {**details, "examples": details["train"] + details["test"], "fingerprint": details["test_sha256"]}


def _stage(plan: Plan, name: str, entries: Mapping[str, Entry]) -> StageRecord:
    entry = entries[name]
    step = next(s for s in plan.steps if s.name == name)
    # raw timings stay in the store; what the reader needs of them, and of layers, stands with each artifact
    details = {} if step.kind in (MEASURE, SENSITIVITY) else dict(entry.result.details)
    return StageRecord(
        name,
        step.kind,
        entry.key,
        entry.cached,
        entry.seconds,
        entry.result.summary,
        dict(entry.result.metrics),
        details,
    )


def _notes(exported: Sequence[str], raw: Measured) -> tuple[str, ...]:
    """What the exporter said, and what the machine did to the figures."""
    notes = tuple(exported)
    if raw.noise and raw.noise.disturbed:
        when = f"in {raw.noise.disturbed_turns} of {raw.noise.turns} turns {', '.join(raw.noise.reasons)}"
        notes += (f"measured on a disturbed machine: {when}; measure again when it is quiet",)
    if not all(w.settled for w in raw.warmups):
        notes += ("the latency was not stable when the warm-up ended at its limit",)
    return notes


def _files(folder: Path, out: Path) -> tuple[FileRecord, ...]:
    return tuple(
        FileRecord(path.relative_to(out).as_posix(), sha256_file(path), path.stat().st_size) for _, path in walk(folder)
    )


def _converted(target: str, plan: Plan, entries: Mapping[str, Entry], out: Path) -> tuple[ConvertedRecord, ...]:
    """The files that were made for a target that was not run."""
    made = []
    for artifact in plan.converted:
        if artifact.target != target:
            continue
        details = entries[f"export {artifact.id}"].result.details
        files = _files(out / "artifacts" / artifact.id, out)
        made.append(
            ConvertedRecord(
                artifact.id, artifact.precision, details["format"], f"artifacts/{artifact.id}/{details['main']}", files,
                sum(f.bytes for f in files), details["signature"], details["checked"], tuple(details["notes"]),
            )
        )  # fmt: skip
    return tuple(made)


def _artifact(
    artifact: ArtifactPlan, plan: Plan, entries: Mapping[str, Entry], measured: Mapping[str, Measured], out: Path
) -> ArtifactRecord:
    exported = entries[f"export {artifact.id}"].result
    checked = entries[f"check {artifact.id}"].result
    raw = measured[artifact.id]
    folder = out / "artifacts" / artifact.id
    files = _files(folder, out)
    starts = [cold.times_ms() for cold in raw.cold_ms]
    cold = {key: sum(start[key] for start in starts) / len(starts) for key in starts[0]}
    parity = checked.details["parity"]
    return ArtifactRecord(
        id=artifact.id, target=artifact.target, precision=artifact.precision, role=artifact.role,
        format=exported.details["format"], main=f"artifacts/{artifact.id}/{exported.details['main']}",
        files=files, bytes=sum(f.bytes for f in files), signature=exported.details["signature"],
        parity=ParityRecord(**{**parity, "cases": tuple(parity["cases"])}),
        accuracy=_accuracy(artifact, entries, checked.metrics["accuracy"], checked.details["examples"]),
        latency_ms=latency_of(raw, threads_of(artifact, plan.recipe)), throughput_per_s=raw.throughput_per_s,
        throughput_batch=plan.recipe.measure.throughput_batch, cold_start_ms=cold.pop("total"), cold_start_parts_ms=cold,
        peak_rss_mb=max(raw.peak_rss_mb), placement=PlacementRecord(**checked.details["placement"]),
        speedup=ratio_over(artifact, REFERENCE_ID, measured), gates=(), verdict="reference",
        notes=_notes((*exported.details["notes"], *checked.details.get("notes", ())), raw),
        guard=guard_record(exported.details.get("guard")),
        versus_stock=ratio_over(artifact, stock_of(artifact), measured),
        rss_load_mb=max(raw.rss_load_mb), rss_run_mb=max(raw.rss_run_mb),
        activation_bytes=Work.of(checked.details["work"]).alive_bytes(artifact.scheme), warmup=WarmupRecord(
            tuple(w.warm_calls for w in raw.warmups), tuple(w.warm_ms for w in raw.warmups),
            all(w.settled for w in raw.warmups),
        ), options=find(artifact.target).read_options(artifact.options).session_options(),
        roofline=_roofline(artifact, plan, entries, raw),
        energy=Calls(entries[MEASURE].folder).energy(artifact.id),
        end_to_end=Calls(entries[MEASURE].folder).end_to_end(artifact.id),
        versus_float=ratio_over(artifact, float_of(artifact), measured), sensitivity=_sensitivity(artifact, entries),
        versus_row=ratio_over(artifact, first_of(artifact, plan.artifacts), measured),
    )  # fmt: skip


def _roofline(artifact: ArtifactPlan, plan: Plan, entries: Mapping[str, Entry], raw: Measured) -> RooflineRecord:
    work, p50 = entries[f"check {artifact.id}"].result.details["work"], quantile(raw.samples, 0.5)
    assert p50 is not None
    threads = threads_of(artifact, plan.recipe)
    return Costs(entries[MEASURE].folder).of(artifact.id, artifact.target, artifact.scheme, p50, work, threads)


def _sensitivity(artifact: ArtifactPlan, entries: Mapping[str, Entry]) -> SensitivityRecord | None:
    """What the artifact's layers lose, with the share of the time that each takes; none where that was not asked for."""
    entry = entries.get(f"{SENSITIVITY} {artifact.id}")
    if entry is None:
        return None
    found, shares = sensitivity_of(entry.result.details), Costs(entries[MEASURE].folder).time_shares(artifact.id)
    return replace(found, layers=tuple(replace(one, time_share=shares.get(one.layer)) for one in found.layers))


def guard_record(value: Mapping[str, Any] | None) -> GuardRecord | None:
    """What the accuracy guard's step stored, as evidence."""
    if value is None:
        return None
    candidates = tuple(CandidateRecord(**candidate) for candidate in value["candidates"])
    layers = tuple(LayerRecord(**layer) for layer in value["sensitivity"])
    return GuardRecord(**{**value, "candidates": candidates, "sensitivity": layers})


def _accuracy(artifact: ArtifactPlan, entries: Mapping[str, Entry], deployed: float, examples: int) -> AccuracyRecord:
    data = entries[DATA].result.details
    source = entries[artifact.source].result.metrics
    return AccuracyRecord(
        data["metric"],
        entries[REFERENCE].result.metrics["accuracy"],
        source.get("accuracy_simulated"),
        deployed,
        examples,
        data["test_sha256"],
    )


def _judged(record: ArtifactRecord, reference: ArtifactRecord, recipe: Recipe) -> ArtifactRecord:
    if record.role != "compressed" or find(record.target).reference:
        return record
    label = record.precision.partition("@")[2] or None
    wanted = next(t for t in recipe.targets if (t.name, t.label) == (record.target, label))
    limits = {**recipe.gates.limits(), **(wanted.gates.limits() if wanted.gates else {})}
    gates = evaluate(record, reference, limits) + guard_gate(record)
    passed = record.parity.passed and all(g.passed for g in gates)
    return replace(record, gates=gates, verdict="pass" if passed else "fail")
