"""What this machine can run, and what comes along."""

from collections.abc import Sequence

from tightship.api.tables import Table


def targets(names: Sequence[str] = ()) -> Table:
    """The targets, whether each runs on this machine, and what would mend it; each is asked in a process of its own.

    Args:
        names: only these; none: all.

    Returns:
        Rows with `target`, `available` and `reason`.

    Raises:
        RequestError: there is no such target; the message names the nearest.

    >>> import tightship as ts
    >>> ts.targets(["onnxruntime-cpu"])[0]["available"]
    True
    """
    from runtimes.probe import probe_all
    from runtimes.registry import TARGETS, find

    rows = probe_all([find(name) for name in names] if names else TARGETS.values())
    return Table({"target": name, "available": found.available, "reason": found.reason} for name, found in rows.items())


def zoo() -> Table:
    """The reference models and data sets that a recipe may name.

    Returns:
        Rows with `name`, `family` (`model` or `data`) and `about`.

    >>> import tightship as ts
    >>> [row["name"] for row in ts.zoo() if row["family"] == "model"]
    ['resnet', 'mobilenet']
    """
    from zoo.registry import DATA, MODELS

    return Table({"name": e.name, "family": e.family, "about": e.about} for e in (*MODELS.values(), *DATA.values()))
