"""`tightship plan`."""

import typer

from tightship.cli.common import AsJson, RecipePath, StoreFolder, emit, store_folder, table


def plan(recipe: RecipePath, store: StoreFolder = None, as_json: AsJson = False) -> None:
    """Show what would run, and what is cached; runs nothing."""
    from artifacts.errors import TargetUnavailable
    from benchmarks.machine import describe
    from runtimes.probe import mend, missing_library
    from runtimes.registry import find
    from tightship.chain import check_chain
    from tightship.plan import make_plan
    from tightship.recipe import load_recipe
    from tightship.store import Store

    loaded = load_recipe(recipe)
    check_chain(loaded)
    absent = {t.name: missing_library(find(t.name)) for t in loaded.targets}
    elsewhere = [t.name for t in loaded.targets if find(t.name).elsewhere and not absent[t.name]]
    for target in loaded.targets:
        missing = absent[target.name]
        if missing and not target.optional:
            how = mend(find(target.name), missing)
            raise TargetUnavailable(f"target {target.name!r} needs {missing}, which is not installed: {how}.")
        if target.name in elsewhere and not target.optional:
            raise TargetUnavailable(f"target {target.name!r} runs on another system only; say `optional: true` in the recipe.")
    skipped = frozenset(name for name, missing in absent.items() if missing) | frozenset(elsewhere)
    made = make_plan(loaded, describe().fingerprint(), skipped, frozenset(elsewhere))
    cached = made.cached(Store(store_folder(store)))
    steps = [{"step": s.name, "kind": s.kind, "cached": cached[s.name], "key": made.keys[s.name]} for s in made.steps]
    if as_json:
        emit({"name": loaded.name, "steps": steps, "not_run": sorted(skipped)})
        return
    table(
        ["step", "", "key"],
        [[s.name, "cached" if cached[s.name] else "to run", made.keys[s.name][:12]] for s in made.steps],
    )
    typer.echo(f"\n{sum(cached.values())} of {len(steps)} steps are cached.")
    for name in sorted(skipped):
        if name in elsewhere:
            typer.echo(f"converted, not run: {name}: it runs on another system only")
        else:
            typer.echo(f"not run: {name}: {absent[name]} is not installed")
