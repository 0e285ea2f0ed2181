"""`tightship report`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import tightship as ts
from artifacts.json import Row
from tightship.cli.common import AsJson, emit


class Format(StrEnum):
    """The forms of the flat table."""

    csv = "csv"
    json = "json"
    md = "md"


class Table(StrEnum):
    """The tables made for one question."""

    targets = "targets"


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(help="The folder that `tightship run` wrote; two or more are compared.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where to write: a folder, by default the run's; a file with --format, --history, or several runs.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Print all results as a table instead, one row for each artifact.", show_default=False),
    ] = None,
    which: Annotated[
        Table | None,
        typer.Option(
            "--table",
            help="Print one table: targets, side by side; with --format md, or into the file --out, as Markdown.",
            show_default=False,
        ),
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="The runs in the folders below FOLDER, over time.")] = False,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Also log the run to MLflow: to the folder mlruns here.")] = False,
    mlflow_uri: Annotated[
        str | None, typer.Option("--mlflow-uri", help="Log to this MLflow store instead: a folder or URI.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a finished run's report again, or export its results; compare several runs; show a folder of runs over time."""
    several = len(folders) > 1
    logged = mlflow or mlflow_uri is not None
    if sum((several, history, form is not None or which is not None, logged)) > 1:
        raise ts.RequestError("several runs, --history, --format or --table, and --mlflow do not go together; ask for one.")
    if which and form not in (None, Format.md):
        raise ts.RequestError(f"--table {which} is text or Markdown, not {form}; leave out one of the two.")
    if several:
        (page,) = ts.report(folders, out=out)
        _written(page, as_json, {"runs": [str(f) for f in folders]})
    elif history:
        shown = ts.history(folders[0], out=out)
        _written(shown.path, as_json, {"runs": shown.runs})
    elif which:
        _targets(folders[0], form is not None, out, as_json)
    elif form:
        _export(folders[0], form, out)
    else:
        _report(folders[0], out or folders[0], as_json, logged, mlflow_uri)


def _report(folder: Path, out: Path, as_json: bool, logged: bool, mlflow_uri: str | None) -> None:
    run = ts.load_run(folder)
    written = ts.report(run, out=out)
    found = ts.log_to_mlflow(run, mlflow_uri, report=out / "report.html") if logged else None
    if as_json:
        told = {"mlflow": {"store": found.store, "run_id": found.run_id, "again": found.again}} if found else {}
        emit({"passed": run.passed, "files": [str(p) for p in written], **told})
        return
    from tightship.reporting.views.terminal import print_table

    print_table(run.evidence)
    for path in written:
        typer.echo(str(path))
    if found:
        before = " (logged before; nothing was written)" if found.again else ""
        typer.echo(f"MLflow run {found.run_id} in {found.store}{before}")


def _export(folder: Path, form: Format, out: Path | None) -> None:
    from artifacts.files import write_atomic
    from tightship.reporting.views.tables import FORMATS

    text = FORMATS[form](ts.load_run(folder).evidence)
    if out:
        write_atomic(out, text)
    else:
        typer.echo(text, nl=False)


def _targets(folder: Path, markdown: bool, out: Path | None, as_json: bool) -> None:
    from artifacts.files import write_atomic
    from tightship.reporting.views.targets import HEADS, as_markdown, print_targets, target_table

    evidence = ts.load_run(folder).evidence
    if out:
        write_atomic(out, as_markdown(evidence))
    elif as_json:
        made = target_table(evidence)
        rows = [dict(zip(HEADS, row, strict=True)) for row in made.rows]
        emit({"caption": made.caption, "rows": rows, "notes": made.notes})
    elif markdown:
        typer.echo(as_markdown(evidence), nl=False)
    else:
        print_targets(evidence)


def _written(page: Path, as_json: bool, about: Row) -> None:
    if as_json:
        emit({**about, "files": [str(page)]})
    else:
        typer.echo(str(page))
