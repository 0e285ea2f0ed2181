"""`tightship targets`."""

from tightship.cli.common import AsJson, emit, table


def targets(as_json: AsJson = False) -> None:
    """List the targets, whether each runs here, and what would mend it."""
    from runtimes.probe import probe_all
    from runtimes.registry import TARGETS

    rows = probe_all(TARGETS.values())
    if as_json:
        emit([{"target": name, "available": a.available, "reason": a.reason} for name, a in rows.items()])
        return
    table(["target", "here", "why"], [[name, "yes" if a.available else "no", a.reason] for name, a in rows.items()])
