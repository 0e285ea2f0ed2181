"""`tightship doctor`."""

import sys

import typer

from tightship.cli.common import AsJson, emit


def doctor(as_json: AsJson = False) -> None:
    """Check the installation: packages, versions, compiler-free core, targets; exit code 3 if the core cannot work."""
    from tightship.cli.doctor_checks import examine

    checks = examine()
    if as_json:
        emit([{"check": c.name, "ok": c.ok, "says": c.says, "core": c.core} for c in checks])
    else:
        for check in checks:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL' if check.core else 'no  '}  {check.name:<24} {check.says}")
    sys.exit(0 if all(c.ok for c in checks if c.core) else 3)
