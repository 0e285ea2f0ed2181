"""Put the evidence together from what the stages stored."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from artifacts.files import sha256_file, sha256_json, walk
from artifacts.ids import ArtifactId
from artifacts.json import JsonValue
from artifacts.records.evidence import (
    AccuracyRecord,
    ArtifactRecord,
    ConvertedRecord,
    Evidence,
    FailureRecord,
    FileRecord,
    FurtherMetric,
    Machine,
    NotRun,
    ParityRecord,
    StageRecord,
)
from artifacts.records.noise import WarmupRecord
from artifacts.records.sensitivity import SensitivityRecord
from benchmarks.timing.measure import Measured
from benchmarks.timing.statistics import quantile
from runtimes.registry import find
from tightship.gating.evaluate import evaluate, guard_gate
from tightship.gating.verdict import decide
from tightship.pipeline.comparisons import first_of, float_of, stock_of
from tightship.pipeline.entries import Entries
from tightship.pipeline.stages.measuring.results import LoopResult, MeasureResult, Timing
from tightship.pipeline.stages.measuring.roofline import roofline_of
from tightship.pipeline.stages.results import CheckResult, DataResult, ExportResult, NetworkResult, SensitivityResult
from tightship.pipeline.timings import latency_of, ratio_over, threads_of
from tightship.planning.artifacts import REFERENCE_ID
from tightship.planning.plan import Plan
from tightship.planning.steps import DATA, MEASURE, REFERENCE, ArtifactPlan, Step
from tightship.recipe.recipe import Recipe
from zoo.metrics import find as find_metric


@dataclass(frozen=True)
class _Run:
    """A finished run, as its artifacts' records are made of."""

    plan: Plan
    entries: Entries
    out: Path
    measured: Mapping[str, Measured]

    @property
    def timings(self) -> MeasureResult:
        return self.entries.of(MEASURE, MeasureResult)


def assemble(
    plan: Plan,
    entries: Entries,
    machine: Machine,
    not_run: tuple[NotRun, ...],
    out: Path,
    command: str,
    failed: tuple[FailureRecord, ...] = (),
) -> Evidence:
    """The evidence of a finished run whose files lie in `out`; the plan is what is left of it after what failed."""
    recipe, timings = plan.recipe, entries.of(MEASURE, MeasureResult)
    run = _Run(plan, entries, out, {name: one.measured() for name, one in timings.timings.items()})
    records = tuple(_artifact(a, run) for a in plan.artifacts)
    reference = next(r for r in records if r.id == str(REFERENCE_ID))
    records = tuple(_judged(r, reference, recipe) for r in records)
    not_run = tuple(replace(n, converted=_converted(n.target, run)) for n in not_run)
    records, verdict = decide(records, failed)
    as_json = recipe.as_json()
    return Evidence(
        name=recipe.name,
        command=command,
        recipe=as_json,
        recipe_sha256=sha256_json(as_json),
        machine=machine,
        data=_data(entries.of(DATA, DataResult)),
        stages=tuple(_stage(step, entries) for step in plan.steps),
        artifacts=records,
        not_run=not_run,
        failed=failed,
        verdict=verdict,
        noise=next((one.noise for one in timings.timings.values()), None),
        peaks=timings.peaks,
        power=timings.power,
        no_end_to_end=timings.no_end_to_end,
    )


def _data(found: DataResult) -> dict[str, JsonValue]:
    return {**found.details(), "examples": found.train + found.test, "fingerprint": found.test_sha256}


def _stage(step: Step, entries: Entries) -> StageRecord:
    entry = entries[step.name]
    result = entry.result
    told = result.summary, result.metrics(), result.details()
    return StageRecord(step.name, step.kind, entry.key, entry.cached, entry.seconds, *told)


def _notes(exported: Sequence[str], raw: Timing) -> tuple[str, ...]:
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


def _converted(target: str, run: _Run) -> tuple[ConvertedRecord, ...]:
    """The files that were made for a target that was not run."""
    made = []
    for artifact in run.plan.converted:
        if artifact.target != target:
            continue
        found = run.entries.of(artifact.export_step, ExportResult)
        files = _files(run.out / "artifacts" / str(artifact.id), run.out)
        made.append(
            ConvertedRecord(
                str(artifact.id), artifact.id.variant, found.format, f"artifacts/{artifact.id}/{found.main}", files,
                sum(f.bytes for f in files), asdict(found.signature), dict(found.checked or {}), found.notes,
            )
        )  # fmt: skip
    return tuple(made)


def _artifact(artifact: ArtifactPlan, run: _Run) -> ArtifactRecord:
    exported, checked = (
        run.entries.of(artifact.export_step, ExportResult),
        run.entries.of(artifact.check_step, CheckResult),
    )
    name, measured = str(artifact.id), run.measured
    raw, timing, threads = measured[name], run.timings.timings[name], threads_of(artifact, run.plan.recipe)
    files = _files(run.out / "artifacts" / name, run.out)
    starts = [cold.times_ms() for cold in raw.cold_ms]
    cold = {key: sum(start[key] for start in starts) / len(starts) for key in starts[0]}
    p50 = quantile(raw.samples, 0.5)
    assert p50 is not None
    return ArtifactRecord(
        id=name, target=artifact.target, precision=artifact.id.beside(artifact.precision).variant, role=artifact.role,
        format=exported.format, main=f"artifacts/{name}/{exported.main}",
        files=files, bytes=sum(f.bytes for f in files), signature=asdict(exported.signature),
        parity=_parity(artifact, checked), accuracy=_accuracy(artifact, run, checked),
        latency_ms=latency_of(raw, threads), throughput_per_s=raw.throughput_per_s,
        throughput_batch=run.plan.recipe.measure.throughput_batch, cold_start_ms=cold.pop("total"), cold_start_parts_ms=cold,
        peak_rss_mb=max(raw.peak_rss_mb), placement=checked.placement,
        speedup=ratio_over(artifact.id, REFERENCE_ID, measured), gates=(), verdict="reference",
        notes=_notes((*exported.notes, *checked.notes), timing), guard=exported.guard,
        versus_stock=ratio_over(artifact.id, stock_of(artifact), measured),
        rss_load_mb=max(raw.rss_load_mb), rss_run_mb=max(raw.rss_run_mb),
        activation_bytes=checked.work.alive_bytes(artifact.scheme), warmup=WarmupRecord(
            tuple(w.warm_calls for w in timing.warmups), tuple(w.warm_ms for w in timing.warmups),
            all(w.settled for w in timing.warmups),
        ), options=artifact.settings.session_options(),
        roofline=roofline_of(artifact.target, artifact.scheme, p50, checked.work, run.timings.peaks, timing.layers, threads),
        energy=timing.energy, end_to_end=timing.end_to_end,
        versus_float=ratio_over(artifact.id, float_of(artifact), measured), sensitivity=_sensitivity(artifact, run),
        versus_row=ratio_over(artifact.id, first_of(artifact, run.plan.artifacts), measured), per_class=checked.per_class,
        invariance=checked.invariance,
        loop=run.entries.of(artifact.loop_step, LoopResult).record if artifact.loop_step in run.entries else None,
    )  # fmt: skip


def _parity(artifact: ArtifactPlan, checked: CheckResult) -> ParityRecord:
    """The parity, with the place of its reproducer in the run's folder."""
    if not checked.reproducer:
        return checked.parity
    place = f"reproducers/{artifact.id}"
    says = f"{checked.parity.first_bad}; to see it: python {place}/repro.py"
    return replace(checked.parity, first_bad=says, reproducer=place)


def _sensitivity(artifact: ArtifactPlan, run: _Run) -> SensitivityRecord | None:
    """What the artifact's layers lose, with the share of the time that each takes; none where that was not asked for."""
    if artifact.sensitivity_step not in run.entries:
        return None
    found = run.entries.of(artifact.sensitivity_step, SensitivityResult).record
    shares = run.timings.timings[str(artifact.id)].time_shares()
    return replace(found, layers=tuple(replace(one, time_share=shares.get(one.layer)) for one in found.layers))


def _accuracy(artifact: ArtifactPlan, run: _Run, checked: CheckResult) -> AccuracyRecord:
    data, source = run.entries.of(DATA, DataResult), run.entries.of(artifact.source, NetworkResult)
    metric, reference = find_metric(data.metric), run.entries.of(REFERENCE, NetworkResult)
    further = [(find_metric(name), name) for name in data.further]
    return AccuracyRecord(
        metric.name,
        reference.accuracy,
        source.accuracy_simulated,
        checked.accuracy,
        checked.examples,
        data.test_sha256,
        metric.direction,
        metric.unit,
        tuple(
            FurtherMetric(name, reference.further.get(name), checked.further[name], one.direction, one.unit)
            for one, name in further
        ),
        data.labelled,
    )


def _judged(record: ArtifactRecord, reference: ArtifactRecord, recipe: Recipe) -> ArtifactRecord:
    if record.role != "compressed" or find(record.target).reference:
        return record
    name = ArtifactId.parse(record.id)
    wanted = next(t for t in recipe.targets if (t.name, t.label) == (name.target, name.label))
    limits = {**recipe.gates.limits(), **(wanted.gates.limits() if wanted.gates else {})}
    gates = evaluate(record, reference, limits) + guard_gate(record)
    passed = record.parity.passed and all(g.passed for g in gates)
    return replace(record, gates=gates, verdict="pass" if passed else "fail")
