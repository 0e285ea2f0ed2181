"""Runs: from a recipe to evidence, report and bundle; and finished ones, opened again."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tightship.api.progress import told
from tightship.api.recipes import PATHS, PathLike, load_recipe, open_store
from tightship.api.tables import Table

if TYPE_CHECKING:
    from artifacts.records.evidence import ArtifactRecord, Evidence
    from tightship.api.networks.artifacts import Artifact
    from tightship.api.progress import OnProgress
    from tightship.api.recipes import RecipeLike
    from tightship.pipeline.progress import Progress

SHOWN = (
    "artifact", "verdict", "accuracy_deployed", "latency_p50_ms", "latency_p50_low_ms", "latency_p50_high_ms", "speedup",
    "peak_rss_mb", "size_bytes", "parity_passed",
)  # fmt: skip
"""The columns of a run's table that a screen shows."""


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run; a notebook shows it as a table and a plot.

    Attributes:
        folder: where evidence, report, files and bundle lie.
        evidence: all that was measured and decided; see docs/reference/evidence.md.
        packed: the bundle of the best artifact; None where nothing passed or no bundle can hold it.

    >>> import tightship as ts
    >>> run = ts.load_run("runs/tiny")
    >>> run.passed, run.best.target
    (True, 'onnxruntime-cpu')
    """

    folder: Path
    evidence: "Evidence"
    packed: Path | None = None

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.evidence.name

    @property
    def passed(self) -> bool:
        """Whether every target has an artifact that met its gates, and no conversion failed its parity."""
        return self.evidence.verdict.passed

    @property
    def best(self) -> "ArtifactRecord | None":
        """What was measured of the shipped artifact with the lowest latency; None where nothing passed."""
        best = self.evidence.verdict.best
        return self.evidence.artifact(best) if best else None

    def table(self) -> Table:
        """One row for each artifact, then one for each target that was not run; units in the column names.

        >>> import tightship as ts
        >>> table = ts.load_run("runs/tiny").table()
        >>> table[0]["artifact"], table[0]["latency_batch"]
        ('torch-cpu/reference', 1)
        >>> frame = table.to_pandas()  # doctest: +SKIP
        """
        from tightship.reporting.views.tables import rows

        return Table(rows(self.evidence), SHOWN)

    def artifact(self, artifact_id: str | None = None) -> "Artifact":
        """A deployed file of this run, to be opened, run and timed again; the best by default.

        Raises:
            RequestError: the run has no such artifact, or nothing passed and none is named.
            IntegrityError: its file is not there any more, or is not the one that was measured.

        >>> import tightship as ts
        >>> ts.load_run("runs/tiny").artifact("onnxruntime-cpu/fp32").path.name
        'model.onnx'
        """
        from tightship.api.networks.exporting import artifact_of

        return artifact_of(self.folder, self.evidence, artifact_id)

    def unpackable(self, artifact_id: str) -> str | None:
        """Why no bundle can hold an artifact; None if one can.

        Raises:
            RequestError: the run has no such artifact.
        """
        from tightship.bundling.pack import unpackable

        return unpackable(self.evidence.artifact(artifact_id))

    def __repr__(self) -> str:
        from tightship.reporting.formatting import headline

        return f"<Run {self.name!r} in {self.folder}: {headline(self.evidence)}>"

    def _repr_html_(self) -> str:
        from tightship.reporting.views.notebook import render

        return render(self.evidence)


def run(
    recipe: "RecipeLike",
    *,
    out: PathLike | None = None,
    store: PathLike | None = None,
    targets: Sequence[str] = (),
    fail_fast: bool = False,
    on_progress: "OnProgress | Progress | None" = None,
    command: str | None = None,
) -> Run:
    """Run a recipe: compress, export, measure, gate, report and pack. What the store holds is not done again.

    Args:
        recipe: a recipe, its file, or its plain values.
        out: where to write; by default `runs/NAME`, with targets `runs/NAME@TARGET`.
        store: the store's folder; by default $TIGHTSHIP_STORE, else `.tightship` in the working folder.
        targets: only these rows of its targets, by name, label or `NAME@LABEL`; none: all.
        fail_fast: whether the first target or file that fails ends the run, instead of costing its own row.
        on_progress: called with an `Update` as it goes on, at most twice a second; `print` will do.
        command: what the evidence says made it; by default the command line or the call that makes it again.

    Returns:
        The run, passed or not: look at `.passed`.

    Raises:
        RequestError: the recipe asks for something that cannot be.
        TargetUnavailable: no target can run here, or one on which a stage of the chain measures.
        StageCrashed: a stage died that others build on; names its log.

    >>> import tightship as ts
    >>> run = ts.run("recipe.yaml", out="runs/again")
    >>> run.passed
    True
    >>> sorted(path.name for path in run.folder.glob("*.html"))
    ['report.html']
    """
    from artifacts.records.evidence import read_evidence
    from tightship.pipeline.run import run as run_recipe
    from tightship.planning.target_selection import select_targets

    loaded = load_recipe(recipe)
    selection = select_targets(loaded, tuple(targets))
    # a run of a part must not take the place of a whole one
    folder = Path(out) if out is not None else Path("runs") / "@".join((loaded.name, *selection.names))
    made_by = command or _command(recipe, tuple(targets), out)
    with told(on_progress) as progress:
        ran = run_recipe(loaded, folder, open_store(store), made_by, progress, selection, fail_fast)
    return Run(folder, read_evidence(folder / "evidence.json"), ran.bundle)


def load_run(folder: PathLike) -> Run:
    """A finished run from its folder.

    Raises:
        RequestError: there is no evidence in it, or it was written by a newer version.

    >>> import tightship as ts
    >>> ts.load_run("runs/tiny").evidence.verdict.shipped[0].partition("/")[0]
    'onnxruntime-cpu'
    """
    from artifacts.records.evidence import read_evidence

    path = Path(folder)
    bundles = sorted((path / "bundles").glob("*.tar.gz"))
    return Run(path, read_evidence(path / "evidence.json"), bundles[0] if len(bundles) == 1 else None)


def folder_of(run: "Run | PathLike") -> Path:
    """The folder of a run that is given as itself or by its folder."""
    return run.folder if isinstance(run, Run) else Path(run)


def _command(recipe: "RecipeLike", targets: Sequence[str], out: PathLike | None) -> str:
    """The command line that makes the same run; where the recipe is in no file, that it was made from Python."""
    if not isinstance(recipe, PATHS):
        return "tightship.run(recipe) in Python, with the recipe that stands in this evidence"
    only = [word for name in targets for word in ("--target", name)]
    return shlex.join(["tightship", "run", str(recipe), *only, *(["--out", str(out)] if out else [])])
