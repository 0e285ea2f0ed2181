"""What fails for one artifact and costs its own row: everything else goes on without it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from artifacts.errors import ParityFailed, TargetUnavailable, TightshipError
from artifacts.files import staged
from artifacts.records.absent import FailureRecord, Stage
from tightship.pipeline.entries import Entries
from tightship.pipeline.timings import timed_what_was_checked
from tightship.planning.artifacts import REFERENCE_ID
from tightship.planning.plan import Plan
from tightship.planning.steps import ArtifactPlan, Step
from tightship.planning.target_selection import row_name
from tightship.recipe.sections import TargetConfig

STAGES: dict[str, Stage] = {stage: stage for stage in get_args(Stage)} | {"convert": "export", "guard": "export"}
"""By the kind of a step, what its failure is called."""

BESIDE: tuple[Stage, ...] = ("sensitivity", "loop")
"""Stages whose failure leaves the artifact measured and judged."""


@dataclass(frozen=True)
class _Failed:
    record: FailureRecord
    logs: tuple[Path, ...]


class Failures:
    """What failed so far. The reference, and what no artifact is to blame for, cannot be done without."""

    def __init__(self) -> None:
        self._failed: dict[str, _Failed] = {}
        """By the id of an artifact, or the name of a row."""
        self._beside: dict[str, _Failed] = {}
        """By the name of a step that says more of an artifact that is there: a ranking of its layers, its loops."""

    def take(self, plan: Plan, step: Step, error: TightshipError, logs: Sequence[Path]) -> bool:
        """Note down a step that failed, if one artifact's row is all that it costs; of one of `BESIDE`, not even that.

        Args:
            plan: that it is of.
            step: that failed.
            error: why; of a step that works on several artifacts its `subject` is the one to blame.
            logs: files with what was printed meanwhile, as far as they are there.
        """
        every = (*plan.artifacts, *plan.converted)
        blamed = next((a for a in every if step.name in _own_steps(a) or str(a.id) == error.subject), None)
        if blamed is None or blamed.id == REFERENCE_ID:
            return False
        stage = STAGES[step.kind]
        if stage in BESIDE:
            self._beside[step.name] = _Failed(_record(blamed, stage, error), tuple(logs))
        else:
            self.add(blamed, stage, error, logs)
        return True

    def add(self, artifact: ArtifactPlan, stage: Stage, error: TightshipError, logs: Sequence[Path] = ()) -> None:
        """Note down that an artifact failed at a stage."""
        self._failed[str(artifact.id)] = _Failed(_record(artifact, stage, error), tuple(logs))

    def add_missing(self, row: TargetConfig, reason: str) -> None:
        """Note down that a row's target cannot run here."""
        name = row_name(row)
        record = FailureRecord(name, row.name, None, "probe", TargetUnavailable.__name__, reason)
        self._failed[name] = _Failed(record, ())

    def hold(self, plan: Plan, entries: Entries, fail_fast: bool = False) -> None:
        """Note down what was timed and is not what was checked.

        Raises:
            ParityFailed: it is the reference, or the run is to fail fast.
        """
        for artifact in self.left(plan).artifacts:
            try:
                timed_what_was_checked(artifact, entries)
            except ParityFailed as error:
                if fail_fast or artifact.id == REFERENCE_ID:
                    raise
                self.add(artifact, "measure", error)

    def left(self, plan: Plan) -> Plan:
        """The plan without what failed."""
        return plan.without(self._failed, self._beside) if self._failed or self._beside else plan

    def lay_out(self, out: Path) -> tuple[FailureRecord, ...]:
        """Copy the logs into the run's folder; the records, which name them. Those of an earlier run go."""
        shutil.rmtree(out / "logs", ignore_errors=True)
        found = {**self._beside, **self._failed}
        if not found:
            return ()
        with staged(out / "logs") as folder:
            return tuple(_with_log(failed, folder) for failed in found.values())


def _record(artifact: ArtifactPlan, stage: Stage, error: TightshipError) -> FailureRecord:
    precision = artifact.id.beside(artifact.precision).variant
    return FailureRecord(str(artifact.id), artifact.target, precision, stage, type(error).__name__, str(error))


def _own_steps(artifact: ArtifactPlan) -> tuple[str, ...]:
    return artifact.export_step, artifact.check_step, artifact.sensitivity_step, artifact.loop_step


def _with_log(failed: _Failed, folder: Path) -> FailureRecord:
    texts = [text for path in failed.logs if path.is_file() and (text := path.read_text(errors="replace").strip())]
    if not texts:
        return failed.record
    place = folder / f"{failed.record.id}.log"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(texts) + "\n")
    return replace(failed.record, log=f"logs/{failed.record.id}.log")
