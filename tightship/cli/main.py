"""The entry point: the verbs, the exit codes, and one sentence for every error."""

import sys

import typer

from artifacts.errors import StageCrashed, TightshipError
from tightship.cli import bench, bundle, compare, demo, doctor, gate, inspect, load, plan, report, run, schema, targets, zoo

HELP = """Compress models tight, and ship them.

Exit codes: 0 passed; 1 a gate or parity failed; 2 the request is wrong; 3 a target or dependency is missing; 4 a stage crashed.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for verb in (
    demo.demo, run.run, plan.plan, bench.bench, compare.compare, load.load, gate.gate, report.report, bundle.bundle,
    bundle.verify, targets.targets, inspect.inspect, zoo.zoo, doctor.doctor, schema.schema,
):  # fmt: skip
    app.command()(verb)


def _version(wanted: bool) -> None:
    """Print the version, whether or not a verb follows."""
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(installed("tightship"))
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", is_eager=True, callback=_version, help="Print the version and end."),
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line and exit."""
    debug = "--debug" in sys.argv
    if debug:
        # accepted anywhere on the line
        sys.argv = [a for a in sys.argv if a != "--debug"]
    try:
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
