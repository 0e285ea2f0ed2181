"""Which targets of a recipe can run here, and what of the others can be made all the same."""

import sys
from collections.abc import Callable

from artifacts.errors import TargetUnavailable
from artifacts.files import sha256_json, write_atomic
from artifacts.records.evidence import Machine, NotRun
from artifacts.types import Availability
from runtimes.probe import missing_library, probe
from runtimes.registry import find
from runtimes.target import Target
from tightship.planning.target_selection import TargetSelection, measured_on
from tightship.recipe.recipe import Recipe
from tightship.store import Store, versions


def unavailable(
    recipe: Recipe, selection: TargetSelection, store: Store, machine: Machine, required: list[NotRun] | None = None
) -> tuple[NotRun, ...]:
    """`absent` of the targets that do not work when they are asked, and of which a yes is remembered in the store."""
    return absent(recipe, selection, lambda target: availability(target, store, machine), required)


def absent(
    recipe: Recipe, selection: TargetSelection, ask: Callable[[Target], Availability], required: list[NotRun] | None = None
) -> tuple[NotRun, ...]:
    """The optional targets that were asked for and cannot run here; each once, however many rows it has.

    Args:
        recipe: whose chain may measure on a target.
        selection: the rows that were asked for.
        ask: says whether a target can run here.
        required: is given those that are not optional and cannot run here; none: the first one is raised.

    Raises:
        TargetUnavailable: one that is not optional cannot, or one on which a stage of the chain measures, or not one
            of those that were asked for.
    """
    names = dict.fromkeys(row.name for row in selection.rows)
    must = {row.name for row in selection.rows if not row.optional}
    # a network that is pruned for a target is timed there, whether or not that target was asked for
    timed = {name for stage in recipe.compress if (name := measured_on(stage)) and name not in names}
    found = []
    for name in (*names, *sorted(timed)):
        answer = ask(find(name))
        if answer.available:
            continue
        if name in timed:
            raise TargetUnavailable(f"the chain measures on {name!r}, which cannot run here: {answer.reason}; fix it.")
        if name not in must:
            found.append(NotRun(name, answer.reason))
            continue
        why = f"target {name!r} cannot run here: {answer.reason}; {_way_out(name)}."
        if required is None or len(names) == 1:
            raise TargetUnavailable(why)
        required.append(NotRun(name, why))
    if required and len(required) + len(found) == len(names):
        raise TargetUnavailable(required[0].reason)
    if selection.left_out and len(found) == len(names) and not converted_here(frozenset(names)):
        why = "; ".join(f"{missing.target}: {missing.reason}" for missing in found)
        raise TargetUnavailable(f"none of the targets asked for can run here: {why}; ask for another with --target.")
    return tuple(found)


def _way_out(name: str) -> str:
    if converted_here(frozenset((name,))):
        return "run it there, or say `optional: true` in the recipe, and its files are converted and not run"
    return "fix it, or say `optional: true` in the recipe"


def converted_here(targets: frozenset[str]) -> frozenset[str]:
    """Those of the targets that run on another system only, and whose files can be made on this one."""
    return frozenset(name for name in targets if find(name).runs_elsewhere and missing_library(find(name)) is None)


def installed(target: Target) -> Availability:
    """Whether a target's libraries and its system are here; runs and imports nothing, so that a device may be missing."""
    missing = missing_library(target)
    if missing:
        return Availability(False, f"{missing} is not installed: {target.install_hint(missing)}")
    if target.runs_elsewhere:
        return Availability(False, "it runs on another system only")
    return Availability(True, "it is installed")


def availability(target: Target, store: Store, machine: Machine) -> Availability:
    """Whether a target works here; a yes is remembered until a library or the machine changes."""
    key = sha256_json([target.name, versions(target.libraries), machine.fingerprint(), sys.prefix])
    remembered = store.root / "probes" / f"{key}.json"
    if remembered.is_file():
        return Availability(True, remembered.read_text())
    answer = probe(target)
    if answer.available:
        write_atomic(remembered, answer.reason)
    return answer
