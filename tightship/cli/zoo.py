"""`tightship zoo`."""

import tightship as ts
from tightship.cli.common import AsJson, emit, table


def zoo(as_json: AsJson = False) -> None:
    """List the reference models and data sets."""
    rows = ts.zoo().rows
    if as_json:
        emit(rows)
        return
    table(["name", "family", "about"], [[r["name"], r["family"], r["about"]] for r in rows])
