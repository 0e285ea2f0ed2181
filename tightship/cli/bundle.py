"""`tightship bundle` and `tightship verify`."""

from pathlib import Path
from typing import Annotated

import typer

import tightship as ts
from tightship.cli.common import AsJson, RunFolder, emit


def bundle(
    folder: RunFolder,
    artifact: Annotated[
        str | None, typer.Option(help="The artifact to pack; by default the run's best.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write; by default RUN/bundles.", show_default=False)
    ] = None,
    allow_failed: Annotated[bool, typer.Option("--allow-failed", help="Pack an artifact that did not pass.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pack one artifact with its evidence, a manifest and a runner."""
    path = ts.bundle(folder, artifact, out=out, allow_failed=allow_failed)
    if as_json:
        emit({"bundle": str(path), "bytes": path.stat().st_size})
    else:
        typer.echo(str(path))


def verify(
    path: Annotated[Path, typer.Argument(help="A bundle, packed or unpacked.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Check a bundle: a changed, missing or extra file is refused."""
    from dataclasses import asdict

    verified = ts.verify(path)
    if as_json:
        emit(asdict(verified))
    else:
        typer.echo(f"ok: {verified.name} {verified.artifact}, {verified.files} files, {verified.bytes:,} bytes.")
