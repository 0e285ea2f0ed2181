"""The entry point: the verbs, the exit codes, and one sentence for every error."""

import importlib.util
import sys
from pathlib import Path

import typer

from artifacts.errors import RequestError, StageCrashed, TightshipError
from tightship.cli import bench, bundle, compare, doctor, gate, inspect, plan, report, run, schema, targets, zoo

HELP = """Compress models tight, and ship them.

Exit codes: 0 passed; 1 a gate or parity failed; 2 the request is wrong; 3 a target or dependency is missing; 4 a stage crashed.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for verb in (
    run.run, plan.plan, bench.bench, compare.compare, gate.gate, report.report, bundle.bundle, bundle.verify,
    targets.targets, inspect.inspect, zoo.zoo, doctor.doctor, schema.schema,
):  # fmt: skip
    app.command()(verb)

GENERIC = ("compress", "export", "runtimes", "benchmarks", "zoo", "artifacts")
"""Our packages whose names another distribution might bring too."""


def shadowed() -> list[str]:
    """Which of our packages Python would take from somewhere else, as `name: place`."""
    home = Path(__file__).resolve().parents[2]
    wrong = []
    for name in GENERIC:
        spec = importlib.util.find_spec(name)
        place = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if place != home / name:
            wrong.append(f"{name}: {place or 'not found'}")
    return wrong


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Print the version and end."),
) -> None:
    """Options before the verb."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("tightship"))
        raise typer.Exit


def main() -> None:
    """Run the command line and exit."""
    debug = "--debug" in sys.argv
    if debug:
        # accepted anywhere on the line
        sys.argv = [a for a in sys.argv if a != "--debug"]
    wrong = shadowed()
    try:
        if wrong:
            raise RequestError(
                f"another package stands in front of ours ({'; '.join(wrong)}); run tightship in a venv of its own."
            )
        app()
    except TightshipError as error:
        _end(error, debug)
    except KeyboardInterrupt:
        typer.echo("tightship: stopped; the same command goes on where it was.", err=True)
        sys.exit(130)
    except Exception as error:
        _end(
            StageCrashed(f"unexpected {type(error).__name__}: {error}; run again with --debug for the traceback."),
            debug,
        )


def _end(error: TightshipError, debug: bool) -> None:
    if debug:
        raise error
    typer.echo(f"tightship: {error}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
