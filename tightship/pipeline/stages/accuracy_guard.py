"""The accuracy guard's step: candidates are tried on the target itself, to keep the file that held."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifacts.files import sha256_json, staged, write_json
from compress.configs import QuantizeConfig
from compress.guarding.search import AccuracySearch, Attempt, Candidate, SearchResult
from compress.guarding.sensitivity import LayerSensitivity
from runtimes.registry import find
from runtimes.target import Target
from tightship.pipeline.stages.int8_trials import Int8Trials
from tightship.pipeline.stages.job import Job
from tightship.store import Result


def guard(job: Job) -> Result:
    """Try candidates and keep the file of the first candidate whose accuracy holds; of the best one if none does.

    Raises:
        ModelError: too few training examples are left to decide on, or no int8 file can be made at all.
    """
    config, artifact = job.recipe.stage("quantize"), job.step.artifact
    assert isinstance(config, QuantizeConfig)
    assert config.max_drop is not None
    assert artifact is not None
    assert artifact.quantizer is not None
    model, target = job.model(artifact.source), find(artifact.target)
    with Int8Trials(
        model, job.data, target, artifact.quantizer, artifact.format, job.recipe.seed, config.calibration_samples,
        job.recipe.measure.threads, job.work, job.progress, artifact.options,
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
        float_test = job.inputs[artifact.source].result.metrics["accuracy"]
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
            size = sum(p.stat().st_size for p in (making / "files").iterdir())
            attempt = Attempt(metric, drop, error, round(time.monotonic() - started, 3), size)
            details = {"main": file.main, "format": file.format, "signature": asdict(file.signature), "notes": list(file.notes)}
            write_json(making / "attempt.json", {"attempt": asdict(attempt), "file": details})
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


def _result(job: Job, target_trials: TargetTrials, found: SearchResult, budget: float, float_test: float) -> Result:
    """Put the best candidate's file where the step's files go, and tell how it was found."""
    best, known = found.best, target_trials.trials.examples
    assert isinstance(best.candidate, Candidate)
    assert best.attempt is not None
    folder = target_trials.folder(best.candidate)
    for part in ("files", "model"):
        if (folder / part).is_dir():
            shutil.copytree(folder / part, job.out / part)
    details: dict[str, Any] = json.loads((folder / "attempt.json").read_text())["file"]
    details["notes"] = [*details["notes"], f"accuracy guard: {best.name}"]
    details["remedied"] = bool(best.candidate.remedies)
    details["guard"] = {
        "budget": budget,
        "held_out": len(known.targets),
        "reference": target_trials.trials.reference,
        "float_test": float_test,
        "met": found.met,
        "chosen": best.name,
        "candidates": [_candidate(t.name, t.attempt, t.reason, budget, t is best) for t in found.tried],
        "sensitivity": [{"layer": s.layer, "sqnr_db": s.sqnr_db} for s in target_trials.ranked],
    }
    details["candidate"] = {
        "config": best.candidate.config.model_dump(mode="json"), "remedies": list(best.candidate.remedies),
        "trained": best.candidate.trained,
    }  # fmt: skip
    tries = sum(t.attempt is not None for t in found.tried)
    state = f"met after {tries} candidates" if found.met else f"NOT met by any of {tries} candidates; the best"
    lost = f"loses {best.attempt.drop:.4f} (standard error {best.attempt.error:.4f}) on {len(known.targets):,} held-out ones"
    return Result(f"budget {budget:g} {state}: {best.name} {lost}", {"bytes": float(best.attempt.bytes)}, details)


def _candidate(name: str, attempt: Attempt | None, reason: str | None, budget: float, chosen: bool) -> Mapping[str, Any]:
    if attempt is None:
        empty = dict.fromkeys(("metric", "drop", "error", "seconds", "bytes"))
        return {"name": name, **empty, "met": False, "chosen": False, "reason": reason}
    return {"name": name, **asdict(attempt), "met": attempt.at_worst <= budget + 1e-12, "chosen": chosen, "reason": None}
