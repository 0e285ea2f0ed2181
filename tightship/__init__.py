"""Compress models tight, and ship them: the public face. What is used is loaded when it is first used.

A recipe as a whole: `load_recipe`, `plan`, `run`, and of what ran `report`, `gate`, `compare`, `bundle`, `verify`.
Techniques on a network of one's own: `prune`, `factorize`, `distil`, `quantize`, `export`.
Files from anywhere: `bench`, `compare`, `load_test`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artifacts.errors import (
        DataError,
        GateFailed,
        IntegrityError,
        ModelError,
        ParityFailed,
        RecipeError,
        RequestError,
        StageCrashed,
        TargetUnavailable,
        TightshipError,
    )
    from artifacts.records.evidence import Evidence
    from tightship.api.comparisons import Comparison, Comparisons, compare
    from tightship.api.decisions import bundle, gate, history, log_to_mlflow, report, verify
    from tightship.api.files import bench, load_test
    from tightship.api.layers import inspect, sensitivity
    from tightship.api.machine import targets, zoo
    from tightship.api.networks.artifacts import Artifact
    from tightship.api.networks.exporting import export
    from tightship.api.networks.measurements import Measurement
    from tightship.api.networks.quantizing import quantize
    from tightship.api.networks.sessions import Session
    from tightship.api.networks.shrinking import factorize, prune
    from tightship.api.networks.teaching import distil
    from tightship.api.progress import Update
    from tightship.api.recipes import PlannedRun, PlannedStep, load_recipe, plan, recipe_schema
    from tightship.api.runs import Run, load_run, run
    from tightship.api.tables import Table
    from tightship.recipe.recipe import Recipe

    __version__: str

__all__ = [
    "Artifact",
    "Comparison",
    "Comparisons",
    "DataError",
    "Evidence",
    "GateFailed",
    "IntegrityError",
    "Measurement",
    "ModelError",
    "ParityFailed",
    "PlannedRun",
    "PlannedStep",
    "Recipe",
    "RecipeError",
    "RequestError",
    "Run",
    "Session",
    "StageCrashed",
    "Table",
    "TargetUnavailable",
    "TightshipError",
    "Update",
    "__version__",
    "bench",
    "bundle",
    "compare",
    "distil",
    "export",
    "factorize",
    "gate",
    "history",
    "inspect",
    "load_recipe",
    "load_run",
    "load_test",
    "log_to_mlflow",
    "plan",
    "prune",
    "quantize",
    "recipe_schema",
    "report",
    "run",
    "sensitivity",
    "targets",
    "verify",
    "zoo",
]

_FROM = {
    "artifacts.errors": (
        "DataError", "GateFailed", "IntegrityError", "ModelError", "ParityFailed", "RecipeError", "RequestError",
        "StageCrashed", "TargetUnavailable", "TightshipError",
    ),
    "artifacts.records.evidence": ("Evidence",),
    "tightship.api.networks.artifacts": ("Artifact",),
    "tightship.api.comparisons": ("Comparison", "Comparisons", "compare"),
    "tightship.api.decisions": ("bundle", "gate", "history", "log_to_mlflow", "report", "verify"),
    "tightship.api.networks.exporting": ("export",),
    "tightship.api.files": ("bench", "load_test"),
    "tightship.api.layers": ("inspect", "sensitivity"),
    "tightship.api.machine": ("targets", "zoo"),
    "tightship.api.networks.measurements": ("Measurement",),
    "tightship.api.progress": ("Update",),
    "tightship.api.networks.quantizing": ("quantize",),
    "tightship.api.recipes": ("PlannedRun", "PlannedStep", "load_recipe", "plan", "recipe_schema"),
    "tightship.api.runs": ("Run", "load_run", "run"),
    "tightship.api.networks.sessions": ("Session",),
    "tightship.api.networks.shrinking": ("factorize", "prune"),
    "tightship.api.tables": ("Table",),
    "tightship.api.networks.teaching": ("distil",),
    "tightship.recipe.recipe": ("Recipe",),
}  # fmt: skip
"""Where each public name is found once it is asked for."""
_HOME = {name: module for module, names in _FROM.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("tightship")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
