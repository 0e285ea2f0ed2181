"""The accuracy guard's step: candidates are tried on the target itself, to keep the file that held."""

import json
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter

from artifacts.files import sha256_json, staged, write_json
from artifacts.records.accuracy_guard import CandidateRecord, GuardRecord, LayerRecord
from compress.configs import QuantizeConfig
from compress.guarding.search import AccuracySearch, Attempt, Candidate, SearchResult
from compress.guarding.sensitivity import LayerSensitivity
from runtimes.registry import find
from runtimes.target import Target
from tightship.pipeline.stages.export import result_of
from tightship.pipeline.stages.exported_network import network_to_export
from tightship.pipeline.stages.int8_trials import Int8Trials
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import ExportResult, GuardChoice, NetworkResult
from tightship.planning.step_configs import GuardStep
from tightship.planning.steps import SOURCE

STORED = TypeAdapter(ExportResult)


def guard(job: Job[GuardStep]) -> ExportResult:
    """Try candidates and keep the file of the first candidate whose accuracy holds; of the best one if none does.

    Raises:
        ModelError: too few training examples are left to decide on, or no int8 file can be made at all.
    """
    told, config = job.config, job.config.quantize
    assert config is not None
    assert config.max_drop is not None
    assert told.quantizer is not None
    model, target = network_to_export(job, told.export), find(told.target)
    with Int8Trials(
        model, job.data, target, told.quantizer, told.format, told.seed, config.calibration_samples,
        told.threads, job.work, job.progress, told.options,
    ) as trials:  # fmt: skip
        target_trials = TargetTrials(trials)
        search = AccuracySearch(
            config,
            config.max_drop,
            target_trials.attempt,
            target_trials.rank,
            calibrated=trials.works_on_files,
            trainable=_untrainable(target, config),
        )
        found = search.run()
        float_test = job.input(SOURCE, NetworkResult).result.accuracy
        return _result(job, target_trials, found, config.max_drop, float_test)


class TargetTrials:
    """What the search asks for: candidates made, deployed and scored, and layers ranked."""

    def __init__(self, trials: Int8Trials) -> None:
        self.trials = trials
        self.ranked: list[LayerSensitivity] = []

    def attempt(self, candidate: Candidate) -> Attempt:
        """Make a candidate's file, run it on the target and score it; one that an earlier, killed run made is kept.

        Raises:
            RequestError: the candidate cannot be made of this network.
        """
        trials, folder = self.trials, self.folder(candidate)
        trials.progress(0.0, candidate.name)
        record = folder / "attempt.json"
        if record.is_file():
            return Attempt(**json.loads(record.read_text())["attempt"])
        started = time.monotonic()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged(folder) as making:
            (making / "files").mkdir()
            file = trials.make(candidate, making / "files")
            if candidate.trained:
                from compress import checkpoint

                (making / "model").mkdir()
                checkpoint.save(trials.source(candidate)[0], making / "model")
            metric, drop, error = trials.score(trials.run(file))
            shutil.rmtree(making / "engine", ignore_errors=True)
            made = result_of(file)
            attempt = Attempt(metric, drop, error, round(time.monotonic() - started, 3), int(made.bytes))
            stored = STORED.dump_python(made, mode="json")
            write_json(making / "attempt.json", {"attempt": asdict(attempt), "file": stored})
        return attempt

    def folder(self, candidate: Candidate) -> Path:
        """Where a candidate's file lies until the search ends."""
        key = sha256_json([candidate.config.model_dump(mode="json"), list(candidate.remedies), candidate.trained])
        return self.trials.work / "candidates" / key[:16]

    def rank(self, candidate: Candidate) -> list[str]:
        """The layers from the most sensitive."""
        self.ranked = [s for s in self.trials.rank(candidate) if s.loss]
        return [s.layer for s in self.ranked]


def _untrainable(target: Target, config: QuantizeConfig) -> str | None:
    if not target.qat:
        return f"int8 files for {target.name} cannot carry learned ranges"
    return None if config.qat_epochs else "the recipe gives no qat_epochs"


def _result(job: Job[GuardStep], tried: TargetTrials, found: SearchResult, budget: float, float_test: float) -> ExportResult:
    """Put the best candidate's file where the step's files go, and tell how it was found."""
    best, held_out = found.best, len(tried.trials.examples.targets)
    assert isinstance(best.candidate, Candidate)
    assert best.attempt is not None
    folder = tried.folder(best.candidate)
    for part in ("files", "model"):
        if (folder / part).is_dir():
            shutil.copytree(folder / part, job.out / part)
    made = STORED.validate_python(json.loads((folder / "attempt.json").read_text())["file"])
    record = GuardRecord(
        budget=budget, held_out=held_out, reference=tried.trials.reference, float_test=float_test, met=found.met,
        chosen=best.name, candidates=tuple(_record(t.name, t.attempt, t.reason, budget, t is best) for t in found.tried),
        sensitivity=tuple(LayerRecord(s.layer, s.sqnr_db) for s in tried.ranked if s.sqnr_db is not None),
    )  # fmt: skip
    count = sum(t.attempt is not None for t in found.tried)
    state = f"met after {count} candidates" if found.met else f"NOT met by any of {count} candidates; the best"
    lost = f"loses {best.attempt.drop:.4f} (standard error {best.attempt.error:.4f}) on {held_out:,} held-out ones"
    return replace(
        made, summary=f"budget {budget:g} {state}: {best.name} {lost}", bytes=float(best.attempt.bytes), guard=record,
        notes=(*made.notes, f"accuracy guard: {best.name}"), remedied=bool(best.candidate.remedies),
        choice=GuardChoice(best.candidate.config, tuple(best.candidate.remedies), best.candidate.trained),
    )  # fmt: skip


def _record(name: str, attempt: Attempt | None, reason: str | None, budget: float, chosen: bool) -> CandidateRecord:
    if attempt is None:
        return CandidateRecord(name, None, None, None, None, None, met=False, chosen=False, reason=reason)
    return CandidateRecord(name, **asdict(attempt), met=attempt.at_worst <= budget + 1e-12, chosen=chosen)
