"""`tightship zoo`."""

from tightship.cli.common import AsJson, emit, table


def zoo(as_json: AsJson = False) -> None:
    """List the reference models and data sets."""
    from zoo.registry import DATA, MODELS

    entries = [*MODELS.values(), *DATA.values()]
    if as_json:
        emit([{"name": e.name, "family": e.family, "about": e.about} for e in entries])
        return
    table(["name", "family", "about"], [[e.name, e.family, e.about] for e in entries])
