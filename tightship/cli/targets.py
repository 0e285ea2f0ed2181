"""`tightship targets`."""

from tightship.cli.common import AsJson, emit, table


def targets(as_json: AsJson = False) -> None:
    """List the targets, whether each runs here, and what would mend it."""
    from concurrent.futures import ThreadPoolExecutor

    from runtimes.probe import probe
    from runtimes.registry import TARGETS

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(probe, TARGETS.values()))
    rows = [(name, answer) for name, answer in zip(TARGETS, answers, strict=True)]
    if as_json:
        emit([{"target": name, "available": a.available, "reason": a.reason} for name, a in rows])
        return
    table(["target", "here", "why"], [[name, "yes" if a.available else "no", a.reason] for name, a in rows])
