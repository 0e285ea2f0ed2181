"""`tightship gate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import tightship as ts
from tightship.cli.common import AsJson, RunFolder, emit


def gate(
    folder: RunFolder,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="NAME=VALUE, instead of the recipe's limits; may repeat.")
    ] = None,
    limits: Annotated[Path | None, typer.Option("--limits", help="A YAML file with `NAME: VALUE` for each limit.")] = None,
    artifact: Annotated[str | None, typer.Option(help="Judge this artifact; by default those that decided the run.")] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Hold the limits named baseline_... against this earlier run.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option("--write-baseline", help="Write this run as baseline, if it passes.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="Append the result to this file as Markdown, such as $GITHUB_STEP_SUMMARY.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the result as JUnit XML.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a finished run against limits, its own or an earlier run's figures; exit code 1 if one is not met."""
    from tightship.gating.limits import gather
    from tightship.reporting.views import evaluation

    given = gather(limit or [], limits)
    gated = ts.gate(folder, given, artifact=artifact, baseline=baseline, write_baseline=write_baseline)
    name = gated.evidence.name
    if summary:
        summary.parent.mkdir(parents=True, exist_ok=True)
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(evaluation.as_markdown(name, gated.results, gated.notes) + "\n")
    if junit:
        from artifacts.files import write_atomic
        from tightship.reporting.views.junit import render_results

        write_atomic(junit, render_results(gated.evidence, gated.results))
    if as_json:
        emit([
            {"artifact": a, "name": g.name, "limit": g.limit, "value": g.value, "passed": g.passed, "reason": g.reason}
            for a, g in gated.results
        ])  # fmt: skip
    else:
        typer.echo(evaluation.as_text(name, gated.results, gated.notes))
    sys.exit(0 if gated.passed else 1)
