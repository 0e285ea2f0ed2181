"""The accuracy guard's step: climb the ladder on the target itself, and keep the file that held."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from artifacts.files import sha256_json, staged, write_json
from compress.configs import QuantizeConfig
from compress.guarding.search import Attempt, Climbed, Ladder, Rung
from compress.guarding.sensitivity import LayerSensitivity
from runtimes.registry import Target, find
from tightship.pipeline.stages.int8_trials import Workshop
from tightship.pipeline.stages.job import Job
from tightship.store import Result


def guard(job: Job) -> Result:
    """Climb the ladder and keep the file of the first rung whose accuracy holds; of the best one if none does.

    Raises:
        ModelError: too few training examples are left to decide on, or no int8 file can be made at all.
    """
    config, artifact = job.recipe.stage("quantize"), job.step.artifact
    assert isinstance(config, QuantizeConfig)
    assert config.accuracy_drop is not None
    assert artifact is not None
    assert artifact.quantizer is not None
    model, target = job.model(artifact.source), find(artifact.target)
    with Workshop(
        model, job.data, target, artifact.quantizer, artifact.format, job.recipe.seed, config.calibration_samples,
        job.recipe.measure.threads, job.work, job.progress, artifact.options,
    ) as workshop:  # fmt: skip
        climber = Climber(workshop)
        ladder = Ladder(
            config,
            config.accuracy_drop,
            climber.attempt,
            climber.rank,
            calibrated=workshop.works_on_files,
            trainable=_untrainable(target, config),
        )
        climbed = ladder.climb()
        float_test = job.inputs[artifact.source].result.metrics["accuracy"]
        return _result(job, climber, climbed, config.accuracy_drop, float_test)


class Climber:
    """What the ladder asks for: rungs made, deployed and scored, and layers ranked."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.ranked: list[LayerSensitivity] = []

    def attempt(self, rung: Rung) -> Attempt:
        """Make a rung's file, run it on the target and score it; one that an earlier, killed run made is kept.

        Raises:
            RequestError: the rung cannot be made of this network.
        """
        workshop, folder = self.workshop, self.folder(rung)
        workshop.progress(0.0, rung.name)
        record = folder / "attempt.json"
        if record.is_file():
            return Attempt(**json.loads(record.read_text())["attempt"])
        started = time.monotonic()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged(folder) as making:
            (making / "files").mkdir()
            file = workshop.make(rung, making / "files")
            if rung.trained:
                from compress import checkpoint

                (making / "model").mkdir()
                checkpoint.save(workshop.source(rung)[0], making / "model")
            metric, drop, error = workshop.score(workshop.run(file))
            shutil.rmtree(making / "engine", ignore_errors=True)
            size = sum(p.stat().st_size for p in (making / "files").iterdir())
            attempt = Attempt(metric, drop, error, round(time.monotonic() - started, 3), size)
            details = {"main": file.main, "format": file.format, "signature": asdict(file.signature), "notes": list(file.notes)}
            write_json(making / "attempt.json", {"attempt": asdict(attempt), "file": details})
        return attempt

    def folder(self, rung: Rung) -> Path:
        """Where a rung's file lies until the ladder is climbed."""
        key = sha256_json([rung.config.model_dump(mode="json"), list(rung.remedies), rung.trained])
        return self.workshop.work / "rungs" / key[:16]

    def rank(self, rung: Rung) -> list[str]:
        """The layers from the most sensitive."""
        self.ranked = [s for s in self.workshop.rank(rung) if s.loss]
        return [s.layer for s in self.ranked]


def _untrainable(target: Target, config: QuantizeConfig) -> str | None:
    if not target.qat:
        return f"int8 files for {target.name} cannot carry learned ranges"
    return None if config.qat_epochs else "the recipe gives no qat_epochs"


def _result(job: Job, climber: Climber, climbed: Climbed, budget: float, float_test: float) -> Result:
    """Put the best rung's file where the step's files go, and tell how it was found."""
    best, known = climbed.best, climber.workshop.examples
    assert isinstance(best.rung, Rung)
    assert best.attempt is not None
    folder = climber.folder(best.rung)
    for part in ("files", "model"):
        if (folder / part).is_dir():
            shutil.copytree(folder / part, job.out / part)
    details: dict[str, Any] = json.loads((folder / "attempt.json").read_text())["file"]
    details["notes"] = [*details["notes"], f"accuracy guard: {best.name}"]
    details["remedied"] = bool(best.rung.remedies)
    details["guard"] = {
        "budget": budget,
        "held_out": len(known.targets),
        "reference": climber.workshop.reference,
        "float_test": float_test,
        "met": climbed.met,
        "chosen": best.name,
        "rungs": [_rung(t.name, t.attempt, t.reason, budget, t is best) for t in climbed.tried],
        "sensitivity": [{"layer": s.layer, "sqnr_db": s.sqnr_db} for s in climber.ranked],
    }
    details["rung"] = {
        "config": best.rung.config.model_dump(mode="json"), "remedies": list(best.rung.remedies), "trained": best.rung.trained
    }  # fmt: skip
    tries = sum(t.attempt is not None for t in climbed.tried)
    state = f"met after {tries} rungs" if climbed.met else f"NOT met by any of {tries} rungs; the best"
    lost = f"loses {best.attempt.drop:.4f} (standard error {best.attempt.error:.4f}) on {len(known.targets):,} held-out ones"
    return Result(f"budget {budget:g} {state}: {best.name} {lost}", {"bytes": float(best.attempt.bytes)}, details)


def _rung(name: str, attempt: Attempt | None, reason: str | None, budget: float, chosen: bool) -> Mapping[str, Any]:
    if attempt is None:
        empty = dict.fromkeys(("metric", "drop", "error", "seconds", "bytes"))
        return {"name": name, **empty, "met": False, "chosen": False, "reason": reason}
    return {"name": name, **asdict(attempt), "met": attempt.at_worst <= budget + 1e-12, "chosen": chosen, "reason": None}
