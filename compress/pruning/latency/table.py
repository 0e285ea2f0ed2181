"""What each kind of change to a network saves where it will run: measured once for all that are alike."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from artifacts.types import Arrays, Cut, Drop, TorchModel
from compress.edits.cuts import width
from compress.edits.replay import replay
from compress.pruning.latency.blocks import calls
from compress.pruning.latency.selection import LatencyTable
from compress.pruning.structured import Group

RelativeLatency = Callable[[Sequence[TorchModel]], list[float]]
"""Latencies of networks as deployed on the target, each as a share of the incoming network's, measured beside it."""

STEPS = 4
"""Admissible widths of a layer: so many equal steps, rounded to the alignment."""


def measure_table(
    model: TorchModel, blocks: Sequence[str], groups: Sequence[Group], align: int, example: Arrays, relative: RelativeLatency
) -> LatencyTable:
    """What each change saves, measured: blocks and layers that are alike are changed together, and share what that saves."""
    kinds = group_equal(model, blocks, example)
    layers = group_equal(model, [g.layer for g in groups], example)
    changes: list[tuple[list[str], int | None]] = [(members, None) for members in kinds]
    known = {g.layer: g for g in groups}
    for members in layers:
        full, step = width(model.module.get_submodule(members[0])), known[members[0]].step(align)
        steps = {max(step, -(-full * i // (STEPS * step)) * step) for i in range(1, STEPS)}
        changes += [(members, w) for w in sorted(steps) if w < full]
    models = []
    for members, kept in changes:
        module = copy.deepcopy(model.module).eval()
        edits = [Drop(m) if kept is None else Cut(m, True, _tail(known[m], kept)) for m in members]
        replay(module, edits, example)
        models.append(replace(model, module=module, edits=(*model.edits, *edits)))
    saved = [(1 - share) / len(members) for share, (members, _) in zip(relative(models), changes, strict=True)]
    drops = {m: s for s, (members, kept) in zip(saved, changes, strict=True) if kept is None for m in members}
    widths: dict[str, dict[int, float]] = {}
    for gain, (members, kept) in sorted(zip(saved, changes, strict=True), key=lambda item: -(item[1][1] or 0)):
        for member in members if kept is not None else ():
            options = widths.setdefault(member, {})
            if gain > max(options.values(), default=0.0):  # a narrower layer that is no faster is no option
                options[int(kept or 0)] = gain
    return LatencyTable(drops, {name: options for name, options in widths.items() if options})


def _tail(group: Group, kept: int) -> tuple[int, ...]:
    """The channels of the last units, all but `kept`; which ones does not matter for what it costs."""
    channels = len(group.scores)
    return group.units.channels(list(range(kept // group.units.size, channels // group.units.size)), channels)


def group_equal(model: TorchModel, names: Sequence[str], example: Arrays) -> list[list[str]]:
    """Names whose modules, their siblings and the shapes they see are the same: what one costs, the others cost."""
    seen = calls(model.module, example)
    found: dict[tuple[str, str, str], list[str]] = {}
    for name in names:
        module = model.module.get_submodule(name)
        shapes = [tuple(x.shape) for inputs, _ in seen[name] for x in inputs if isinstance(x, torch.Tensor)]
        holder, _, leaf = name.rpartition(".")
        around = "" if list(module.children()) else f"{leaf} of {model.module.get_submodule(holder)}" if holder else leaf
        found.setdefault((repr(module), str(shapes), around), []).append(name)
    return list(found.values())
