"""`tightship report`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tightship.cli.common import AsJson, emit


class Format(StrEnum):
    """The forms of the flat table."""

    csv = "csv"
    json = "json"
    md = "md"


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
    history: Annotated[bool, typer.Option("--history", help="The runs in the folders below FOLDER, over time.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a finished run's report again, or export its results; compare several runs; show a folder of runs over time."""
    from artifacts.errors import RequestError

    several = len(folders) > 1
    if sum((several, history, form is not None)) > 1:
        raise RequestError("several runs, --history and --format do not go together; ask for one of them.")
    if several:
        _write_page(_compare(folders), out or Path("comparison.html"), as_json, {"runs": [str(f) for f in folders]})
    elif history:
        text, count = _history(folders[0])
        _write_page(text, out or folders[0] / "history.html", as_json, {"runs": count})
    elif form:
        _export(folders[0], form, out)
    else:
        _report(folders[0], out or folders[0], as_json)


def _report(folder: Path, out: Path, as_json: bool) -> None:
    from artifacts.evidence import read_evidence
    from tightship.report import write_views
    from tightship.report.terminal import print_table

    evidence = read_evidence(folder / "evidence.json")
    written = write_views(evidence, out)
    if as_json:
        emit({"passed": evidence.verdict.passed, "files": [str(p) for p in written]})
        return
    print_table(evidence)
    for path in written:
        typer.echo(str(path))


def _export(folder: Path, form: Format, out: Path | None) -> None:
    from artifacts.evidence import read_evidence
    from artifacts.files import write_atomic
    from tightship.report.tables import FORMATS

    text = FORMATS[form](read_evidence(folder / "evidence.json"))
    if out:
        write_atomic(out, text)
    else:
        typer.echo(text, nl=False)


def _compare(folders: list[Path]) -> str:
    from artifacts.evidence import read_evidence
    from tightship.report.comparison import render

    return render([(folder, read_evidence(folder / "evidence.json")) for folder in folders])


def _history(folder: Path) -> tuple[str, int]:
    from tightship.report.history import read_runs, render

    past = read_runs(folder)
    return render(past), len(past)


def _write_page(text: str, out: Path, as_json: bool, about: dict[str, Any]) -> None:
    from artifacts.errors import RequestError
    from artifacts.files import write_atomic

    if out.is_dir():
        raise RequestError(f"{out} is a folder, but this page is one file; name it, such as --out {out / 'page.html'}.")
    write_atomic(out, text)
    if as_json:
        emit({**about, "files": [str(out)]})
    else:
        typer.echo(str(out))
