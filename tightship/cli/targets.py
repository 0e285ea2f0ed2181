"""`tightship targets`."""

import tightship as ts
from tightship.cli.common import AsJson, emit, table


def targets(as_json: AsJson = False) -> None:
    """List the targets, whether each runs here, and what would mend it."""
    rows = ts.targets().rows
    if as_json:
        emit(rows)
        return
    table(["target", "here", "why"], [[r["target"], "yes" if r["available"] else "no", r["reason"]] for r in rows])
