"""What the records of other distributions that a recipe names add to the keys of its steps. Imports nothing heavy."""

from collections.abc import Mapping
from importlib.metadata import entry_points, version

from artifacts.files import sha256_file, sha256_json
from artifacts.plugins import Registry, T
from compress.configs import DistilConfig, PruneConfig
from compress.criteria import CRITERIA
from compress.losses import LOSSES
from compress.losses.choice import TaskLoss
from compress.quantizers import QUANTIZERS
from runtimes.registry import find
from tightship.recipe.recipe import Recipe
from zoo.data import fingerprint
from zoo.factories import source_files
from zoo.metrics import METRICS


def given(recipe: Recipe) -> str:
    """A digest of what comes from outside: the data, and the plug-ins, of which a recipe with none has nothing in its keys."""
    data, plugins = fingerprint(recipe.data.ref()), _plugins(recipe)
    return sha256_json([data, plugins]) if plugins else data


def _plugins(recipe: Recipe) -> dict[str, str]:
    """By distribution, a digest of its version and of its records' modules."""
    used: dict[str, str] = {}
    for metric in recipe.data.metrics:
        used |= _named(METRICS, metric.partition("@")[0])
    for loss in (recipe.train.loss, *(stage.config.loss for stage in recipe.compress)):
        for name in _losses(loss):
            used |= _named(LOSSES, name)
    for stage in recipe.compress:
        if isinstance(stage.config, DistilConfig):
            given_ = stage.config.output_loss
            for name in given_.values() if isinstance(given_, Mapping) else (given_,):
                used |= _digest(LOSSES, name)
        if isinstance(stage.config, PruneConfig):
            used |= _digest(CRITERIA, stage.config.criterion)
    for target in map(find, (row.name for row in recipe.targets)):
        for name in (target.quantizer, *target.schemes.values()):
            used |= _digest(QUANTIZERS, name)
    return used


def _losses(loss: TaskLoss | None) -> list[str | None]:
    return [one.loss for one in loss.values()] if isinstance(loss, Mapping) else [loss]


def _named(registry: Registry[T], name: str | None) -> dict[str, str]:
    """Of a record of the list, or of one's own `module:name`, whose source decides."""
    if name is None or ":" not in name:
        return _digest(registry, name)
    return {name: sha256_json([sha256_file(path) for path in source_files(name)])}


def _digest(registry: Registry[T], name: str | None) -> dict[str, str]:
    """Of the distribution that brings a record; empty for ours, and for none."""
    origin = registry.origin(name) if name is not None else None
    if origin is None:
        return {}
    points = [point for point in entry_points(group=registry.group) if point.dist and point.dist.name == origin]
    # somebody who works on a plug-in changes its source, and not yet its version
    files = sorted({path for point in points for path in source_files(point.value)})
    return {f"{registry.group} of {origin}": sha256_json([version(origin), [sha256_file(path) for path in files]])}
