"""Factorize: layers become pairs of lower rank where that costs fewer MACs, fine-tuned with the incoming model as teacher.

Layers that are left whole are named with the reason.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from artifacts.errors import ModelError
from artifacts.files import staged, write_json
from artifacts.json import JsonValue, read
from artifacts.types import Arrays, Factor, Split, TorchModel
from compress import checkpoint
from compress.configs import FactorizeConfig
from compress.counting import count
from compress.distillation.distil import finetuning_loss
from compress.edits.pairs import pair_of
from compress.factorization.ranks import Candidate, run, survey
from compress.training.loop import Progress, Training, fit, silent, subset

CLOSE = 1e-3
"""Largest difference, in units of the output's spread, between a pair and the layer with its weight cut to that rank."""

Measured = Callable[[TorchModel], float]
"""A whole model's latency as measured on a target, as a share of the incoming model's."""


@dataclass(frozen=True)
class SplitLayer:
    """One layer that became two."""

    kind: str
    """See `artifacts.types.Factor`."""
    rank: int
    full_rank: int
    energy: float
    """Share of the squared singular values that the rank holds."""
    macs_before: int
    """Of the layer, for one example."""
    macs_after: int


@dataclass(frozen=True)
class MeasuredSplit:
    """What splitting one layer was measured to do to the latency of the whole, in units of the incoming model's."""

    layer: str
    rank: int
    whole: float
    split: float


@dataclass(frozen=True)
class FactorizeDetails:
    """Which layers were split, and why others were not."""

    layers: dict[str, SplitLayer]
    not_split: dict[str, str]
    macs_before: float
    macs_after: float
    measured: list[MeasuredSplit] | None = None
    """None: no latency was asked for."""
    energy: float | None = None
    """The level that was searched for; none: the recipe says it, or the rank."""

    def as_json(self) -> dict[str, JsonValue]:
        """As evidence has it: what was not looked for is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Factorized:
    """A network with layers split, and what was found on the way."""

    model: TorchModel
    details: FactorizeDetails


def factorize(
    model: TorchModel,
    config: FactorizeConfig,
    split: Split,
    *,
    seed: int,
    work: Path | None = None,
    progress: Progress = silent,
    measured: Measured | None = None,
) -> Factorized:
    """Split layers of a copy of `model` and fine-tune it; `model` itself is left as it is.

    With `latency_target`, `measured` says how long a model takes there, and a layer stays split only where that is less.

    Raises:
        ModelError: no layer gains by being split, the goal cannot be reached, or a layer that is named is not there.
    """
    if config.latency_target is not None and measured is None:
        raise ModelError("factorize: 'latency_target' needs a function that measures a model there; none was handed down.")
    example = split.batch(subset(split, 2, seed))[0]
    kept = work / "split" if work else None
    if kept and kept.is_dir():
        made, details = checkpoint.load(kept), read(FactorizeDetails, json.loads((kept / "details.json").read_text()))
    else:
        made, details = _split_layers(model, config, example, measured if config.latency_target else None)
        if kept:
            with staged(kept) as folder:  # what was measured is not measured the same again
                checkpoint.save(made, folder)
                write_json(folder / "details.json", details.as_json())
    loss = finetuning_loss(model.module, config)
    state = work / "finetune.state" if work else None
    fit(made.module, loss, Training(split, config.training(config.finetune_epochs), seed, state, progress, made.masks))
    return Factorized(made, details)


def _split_layers(
    model: TorchModel, config: FactorizeConfig, example: Arrays, measured: Measured | None
) -> tuple[TorchModel, FactorizeDetails]:
    start = count(model.module, example)["macs"]
    found, refused = survey(model.module, config, example)
    for name in [name for name in found if f"{name}.weight" in model.masks]:
        refused[name] = "its zeroed weights would not fit a pair"
        del found[name]
    level = _level(found, config, start) if config.macs is not None else None
    made, layers = replace(model, module=copy.deepcopy(model.module)), dict[str, SplitLayer]()
    trace: list[MeasuredSplit] = []
    for layer in sorted(found.values(), key=lambda c: -c.saving(c.rank(config, level))):
        rank = layer.rank(config, level)
        if layer.saving(rank) <= 0:
            refused[layer.name] = f"a pair of rank {rank} costs no fewer MACs than the layer"
            continue
        tried = _with_pair(made, layer, rank, example)
        if isinstance(tried, str):
            refused[layer.name] = tried
            continue
        if measured is not None:
            times = _faster(made, tried, measured)
            trace.append(MeasuredSplit(layer.name, rank, *times))
            if times[1] >= times[0]:
                refused[layer.name] = (
                    f"the model was measured no faster with it split ({times[1]:.4g} against {times[0]:.4g} of the latency)"
                )
                continue
        made = tried
        held = round(float(layer.energy[rank - 1]), 6)
        layers[layer.name] = SplitLayer(layer.kind, rank, len(layer.energy), held, layer.macs, rank * layer.macs_per_rank)
    if not layers:
        raise ModelError(
            f"factorize: no layer gains by being split ({_first(refused)}); ask for less energy or rank, or leave it out."
        )
    end = count(made.module, example)["macs"]
    if config.macs is not None and end > config.macs * start:
        raise ModelError(
            f"factorize: {end / start:.3f} of the MACs are left where {config.macs:g} was asked for, because layers "
            f"had to stay whole ({_first(refused)}); ask for more."
        )
    return made, FactorizeDetails(layers, refused, start, end, trace if measured else None, level)


def _first(refused: Mapping[str, str]) -> str:
    return next((f"{name}: {reason}" for name, reason in refused.items()), "it has no linear or 2-d convolution layer")


def _level(found: Mapping[str, Candidate], config: FactorizeConfig, start: float) -> float:
    """The highest energy, one for all layers, whose pairs leave `config.macs` of `start`.

    Raises:
        ModelError: the lowest ranks leave more.
    """
    goal = float(config.macs or 1) * start

    def left(energy: float) -> float:
        return start - sum(max(0, c.saving(c.rank(config, energy))) for c in found.values())

    low, high = 0.0, 1.0
    if left(low) > goal:
        raise ModelError(
            f"factorize: ranks of {config.align} leave {left(low) / start:.3f} of the MACs, so {config.macs:g} cannot be "
            "reached; ask for more, or lower 'align'."
        )
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) <= goal else (low, middle)
    return low


def _with_pair(model: TorchModel, layer: Candidate, rank: int, example: Arrays) -> TorchModel | str:
    """A copy with one layer split, or why that does not work."""
    module = copy.deepcopy(model.module)
    old = module.get_submodule(layer.name)
    pair, cut = pair_of(old, rank, layer.kind)
    x = torch.randn(layer.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        old.weight.copy_(cut)  # type: ignore[operator]
        wanted, given = old(x), pair(x)
    if wanted.shape != given.shape or float((wanted - given).abs().max()) > CLOSE * float(wanted.std(correction=0)) + 1e-6:
        return "its pair does not compute what the layer does at that rank"
    module.set_submodule(layer.name, pair)
    try:
        run(module, example)
    except Exception as error:
        return (
            f"the model does not run with it split: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    return replace(model, module=module, edits=(*model.edits, Factor(layer.name, rank, layer.kind)))


def _faster(whole: TorchModel, split: TorchModel, measured: Measured) -> tuple[float, float]:
    """The latency of both; a gain counts only if it is found twice, because one measurement may be luck."""
    times = measured(whole), measured(split)
    if times[1] >= times[0]:
        return times
    again = measured(whole), measured(split)
    return min(times[0], again[0]), max(times[1], again[1])
