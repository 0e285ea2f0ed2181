"""Which rows of a recipe's targets a run was asked for: all of them, or those named by `--target`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from artifacts.errors import RequestError
from artifacts.records.evidence import Evidence, NotRun
from compress.configs import FactorizeConfig, PruneConfig
from tightship.recipe.recipe import Recipe, Stage
from tightship.recipe.sections import TargetConfig

NOT_SELECTED = "not asked for: the run was cut down by --target"
"""Why a row that was left out was not run."""


@dataclass(frozen=True)
class TargetSelection:
    """The rows of a recipe that a run makes and measures, and those that it was told to leave out."""

    rows: tuple[TargetConfig, ...]
    left_out: tuple[TargetConfig, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The rows asked for, by name; empty if that is the whole recipe."""
        return tuple(row_name(row) for row in self.rows) if self.left_out else ()

    def mark(self, evidence: Evidence) -> Evidence:
        """The evidence, saying of a run that was cut down which part of the recipe it speaks for."""
        if not self.left_out:
            return evidence
        absent = tuple(NotRun(row_name(row), NOT_SELECTED) for row in self.left_out)
        verdict = replace(evidence.verdict, reasons=(*evidence.verdict.reasons, self._limits()))
        return replace(evidence, not_run=evidence.not_run + absent, verdict=verdict, asked_for=self.names)

    def _limits(self) -> str:
        total = len(self.rows) + len(self.left_out)
        return f"this does not speak for the whole recipe: of its {total} targets these were asked for: {', '.join(self.names)}"


def row_name(row: TargetConfig) -> str:
    """A row of `targets` as its artifacts call it: `onnxruntime-cpu`, or `onnxruntime-cpu@basic` where it has a label."""
    return f"{row.name}@{row.label}" if row.label else row.name


def select_targets(recipe: Recipe, names: Sequence[str] = ()) -> TargetSelection:
    """The rows that these names call for: a target (all its rows), `target@label`, or a label; no names: every row.

    Raises:
        RequestError: the recipe has no such row; the message lists those it has.
    """
    if not names:
        return TargetSelection(recipe.targets)
    for name in names:
        if not any(_called(row, name) for row in recipe.targets):
            known = ", ".join(map(row_name, recipe.targets))
            raise RequestError(f"recipe {recipe.name!r} has no target {name!r}; it has {known}.")
    chosen = tuple(row for row in recipe.targets if any(_called(row, name) for name in names))
    return TargetSelection(chosen, tuple(row for row in recipe.targets if row not in chosen))


def _called(row: TargetConfig, name: str) -> bool:
    return name in (row.name, row.label, row_name(row))


def measured_on(stage: Stage) -> str | None:
    """The target on which a stage measures while it works."""
    if isinstance(stage.config, PruneConfig):
        return stage.config.target
    return stage.config.latency_target if isinstance(stage.config, FactorizeConfig) else None
