"""`tightship report`."""

from pathlib import Path
from typing import Annotated

import typer

from tightship.cli.common import AsJson, RunFolder, emit


def report(
    folder: RunFolder,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write; by default the run's folder.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a finished run's table and write its report again."""
    from artifacts.evidence import read_evidence
    from tightship.report import write_views
    from tightship.report.terminal import print_table

    evidence = read_evidence(folder / "evidence.json")
    written = write_views(evidence, out or folder)
    if as_json:
        emit({"passed": evidence.verdict.passed, "files": [str(p) for p in written]})
        return
    print_table(evidence)
    for path in written:
        typer.echo(str(path))
