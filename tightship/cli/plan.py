"""`tightship plan`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit, store_folder, table
from tightship.cli.run import OnlyTargets

if TYPE_CHECKING:
    from tightship.recipe.sections import TargetConfig


def plan(recipe: RecipePath, store: StoreFolder = None, target: OnlyTargets = None, as_json: AsJson = False) -> None:
    """Show what would run, and what is cached; runs nothing."""
    from benchmarks.machine import describe
    from tightship.planning.plan import make_plan
    from tightship.planning.stage_order import check_chain
    from tightship.planning.target_selection import row_name, select_targets
    from tightship.recipe.recipe import load_recipe
    from tightship.store import Store

    loaded = load_recipe(recipe)
    check_chain(loaded)
    selection = select_targets(loaded, target or ())
    absent, elsewhere = _absent(selection.rows)
    skipped = frozenset(absent) | elsewhere
    made = make_plan(loaded, describe().fingerprint(), skipped, elsewhere, selection)
    kept = Store(store_folder(store))
    cached, keys = made.cached(kept), made.entry_keys(kept)
    steps = [{"step": s.name, "kind": s.kind, "cached": cached[s.name], "key": keys[s.name]} for s in made.steps]
    left_out = [row_name(row) for row in selection.left_out]
    if as_json:
        emit({"name": loaded.name, "steps": steps, "not_run": sorted(skipped), "not_asked": left_out})
        return
    table(
        ["step", "", "key"],
        [[s.name, "cached" if cached[s.name] else "to run", keys[s.name][:12]] for s in made.steps],
    )
    typer.echo(f"\n{sum(cached.values())} of {len(steps)} steps are cached.")
    for name in sorted(skipped):
        if name in elsewhere:
            typer.echo(f"converted, not run: {name}: it runs on another system only")
        else:
            typer.echo(f"not run: {name}: {absent[name]} is not installed")
    for name in left_out:
        typer.echo(f"not asked for: {name}")


def _absent(rows: "Iterable[TargetConfig]") -> tuple[dict[str, str], frozenset[str]]:
    """The library that each target lacks here, and the targets whose files can be made but run on another system only.

    Raises:
        TargetUnavailable: one of these is not optional.
    """
    from artifacts.errors import TargetUnavailable
    from runtimes.probe import missing_library
    from runtimes.registry import find

    absent, elsewhere = {}, set()
    for row in rows:
        found = find(row.name)
        missing = missing_library(found)
        if missing:
            absent[row.name] = missing
        elif found.runs_elsewhere:
            elsewhere.add(row.name)
        if row.optional:
            continue
        if missing:
            how = found.install_hint(missing)
            raise TargetUnavailable(f"target {row.name!r} needs {missing}, which is not installed: {how}.")
        if found.runs_elsewhere:
            raise TargetUnavailable(f"target {row.name!r} runs on another system only; say `optional: true` in the recipe.")
    return absent, frozenset(elsewhere)
