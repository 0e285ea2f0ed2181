"""Weights that share a few values: clustered, trained straight through the rounding, and left holding exactly those values.

The clusters follow the weights: at every training step each shared value moves to the mean of the float weights that are
nearest to it, and the gradient of a shared value's use reaches the float weight behind it (Han et al. 2016,
arXiv:1510.00149, with assignments that stay free).
"""

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from artifacts.errors import ModelError, nearest
from artifacts.json import JsonValue
from artifacts.types import Arrays, Palette, Split, TorchModel
from compress.configs import PalettizeConfig
from compress.counting import LAYERS, prunable
from compress.distillation.distil import finetuning_loss
from compress.factorization.ranks import called, owners_of
from compress.palettization.lowbit import LowBit, straight_through
from compress.training.loop import Progress, Training, fit, silent, subset

ROUNDS = 40
"""Rounds of k-means at the start."""


def assign(rows: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest value: (groups, n) weights, (groups, values) sorted palettes -> (groups, n)."""
    return torch.searchsorted((codebook[:, 1:] + codebook[:, :-1]) / 2, rows.contiguous())


def moved(rows: Tensor, used: Tensor, codebook: Tensor) -> Tensor:
    """One round of Lloyd's algorithm over the `used` weights: each value at the mean of those nearest to it."""
    codes, weights = assign(rows, codebook), used.double()
    sums = torch.zeros_like(codebook, dtype=torch.float64)
    counts = torch.zeros_like(sums).scatter_add_(1, codes, weights)
    sums.scatter_add_(1, codes, rows.double() * weights)
    return torch.where(counts > 0, (sums / counts.clamp_min(1)).to(codebook.dtype), codebook).sort(1).values


def kmeans(rows: Tensor, used: Tensor, values: int) -> Tensor:
    """Palettes (groups, values), sorted, of the `used` weights (groups, n): the better of two starts, spread evenly over the
    range and evenly over the weights.
    """
    starts = []
    for row, mask in zip(rows, used, strict=True):
        found = row[mask].unique()
        if len(found) == 0:
            found = row.new_zeros(1)
        if len(found) <= values:  # nothing to cluster
            exact = torch.cat([found, found[-1:].expand(values - len(found))])
            starts.append((exact, exact))
            continue
        ordered = row[mask].sort().values
        at = ((torch.arange(values) + 0.5) / values * len(ordered)).long()
        starts.append((torch.linspace(float(ordered[0]), float(ordered[-1]), values), ordered[at]))
    best, error = None, torch.full((len(rows), 1), torch.inf, dtype=torch.float64)
    for start in zip(*starts, strict=True):
        codebook = torch.stack(list(start))
        for _ in range(ROUNDS):
            codebook = moved(rows, used, codebook)
        off = (rows - codebook.gather(1, assign(rows, codebook))).double().square().mul(used).sum(1, keepdim=True)
        best = codebook if best is None else torch.where(off < error, codebook, best)
        error = torch.minimum(off, error)
    assert best is not None
    return best


class Shared(nn.Module):
    """A weight's parametrization: the float weight that is trained -> the nearest values of its palette."""

    codebook: Tensor
    used: Tensor
    keep: Tensor | None

    def __init__(self, weight: Tensor, bits: int, group_channels: int | None, keep: Tensor | None = None) -> None:
        super().__init__()
        self.group = min(group_channels or len(weight), len(weight))
        self.register_buffer("keep", keep)
        ones = torch.ones_like(weight, dtype=torch.bool) if keep is None else keep.bool()
        self.register_buffer("used", self._rows(ones), persistent=False)
        # a pruned weight is zero, which is then one of the values
        values = 2**bits - (keep is not None)
        self.register_buffer("codebook", kmeans(self._rows(weight.detach()), self.used, values))

    def _rows(self, weight: Tensor) -> Tensor:
        """(out, ...) as (groups, weights of a group); a last group with fewer channels is filled up with zeros."""
        flat = weight.flatten(1)
        missing = -len(flat) % self.group
        return torch.cat([flat, flat.new_zeros(missing, flat.shape[1])]).view(-1, self.group * flat.shape[1])

    def forward(self, weight: Tensor) -> Tensor:
        """The same shape, values of the palette; in training the palette first follows the weights."""
        rows = self._rows(weight.detach())
        if self.training:
            self.codebook.copy_(moved(rows, self.used, self.codebook))
        chosen = self.codebook.gather(1, assign(rows, self.codebook)).view(-1, weight[0].numel())[: len(weight)]
        rounded = chosen.view_as(weight)
        return straight_through(weight, rounded if self.keep is None else rounded * self.keep)


@dataclass(frozen=True)
class PaletteDetails:
    """Which layers have few values, and why others have not."""

    kind: str
    bits: int
    values: dict[str, int]
    """The largest number of distinct values among weights that share a palette, by layer."""
    left_float: dict[str, str]
    share_of_weights: float
    """0..1."""

    def as_json(self) -> dict[str, JsonValue]:
        """As evidence has it."""
        return asdict(self)


@dataclass(frozen=True)
class Palettized:
    """A network whose weights share few values, and what was found on the way."""

    model: TorchModel
    details: PaletteDetails


def palettize(
    model: TorchModel,
    config: PalettizeConfig,
    split: Split,
    *,
    seed: int,
    work: Path | None = None,
    progress: Progress = silent,
) -> Palettized:
    """Give the weights of a copy of `model` few values each and train it so; `model` itself is left as it is.

    Raises:
        ModelError: no layer is left to do, a layer that is named is not there, or pruned weights were to be binary.
    """
    example = split.batch(subset(split, 2, seed))[0]
    chosen, left = choose(model, config, example)
    module = copy.deepcopy(model.module)
    for name in chosen:
        layer = module.get_submodule(name)
        parametrize.register_parametrization(layer, "weight", _parametrization(layer, name, model, config))
    masks = {name: mask for name, mask in model.masks.items() if name not in {_parameter(n) for n in chosen}}
    loss = finetuning_loss(model.module, config)
    state = work / "palettes.state" if work else None
    fit(module, loss, Training(split, config.training(config.finetune_epochs), seed, state, progress, masks))
    module.eval()
    for name in chosen:
        parametrize.remove_parametrizations(module.get_submodule(name), "weight", leave_parametrized=True)
    palette = Palette(config.kind, config.width, config.group_channels)
    made = replace(model, module=module, palettes={_parameter(name): palette for name in chosen})
    weights = prunable(module)
    values = {name: distinct(weights[_parameter(name)], palette) for name in chosen}
    share = sum(weights[_parameter(n)].numel() for n in chosen) / sum(w.numel() for w in weights.values())
    return Palettized(made, PaletteDetails(config.kind, config.width, values, left, share))


def distinct(weight: Tensor, palette: Palette) -> int:
    """The largest number of distinct values among weights (out, ...) that share a palette."""
    rows = (palette.group_channels or len(weight)) if palette.kind == "kmeans" else 1
    return max(len(torch.unique(part)) for part in torch.split(weight.detach(), rows))


def _parameter(layer: str) -> str:
    return f"{layer}.weight" if layer else "weight"


def _parametrization(layer: nn.Module, name: str, model: TorchModel, config: PalettizeConfig) -> nn.Module:
    keep = model.masks.get(_parameter(name))
    if config.kind == "kmeans":
        return Shared(layer.weight, config.width, config.group_channels, keep)  # type: ignore[arg-type]
    if config.kind == "binary" and keep is not None:
        raise ModelError("palettize: binary weights have no zero, but weights of the model were pruned to zero; use 'ternary'.")
    return LowBit(config.kind, keep)


def choose(model: TorchModel, config: PalettizeConfig, example: Arrays) -> tuple[list[str], dict[str, str]]:
    """The layers whose weights get few values, and those that stay as they are, with the reason.

    Raises:
        ModelError: none is left to do, or `keep_float` names a layer that is not there.
    """
    layers = {name: layer for name, layer in model.module.named_modules() if isinstance(layer, LAYERS)}
    order = list(called(model.module, layers, example))
    kept = dict.fromkeys(config.keep_float or (), "the recipe keeps it float")
    if config.keep_float is None and config.kind != "kmeans" and order:
        kept = {order[-1]: "it is the last layer", order[0]: "it is the first layer"}
    for name in kept:
        if name not in layers:
            raise ModelError(f"palettize: keep_float names {name!r}, which is no layer of the model; {nearest(name, layers)}.")
    owners, chosen, left = owners_of(model.module), [], {}
    for name, weight in ((name, layer.weight) for name, layer in layers.items()):
        if name in kept:
            left[name] = kept[name]
        elif owners[id(weight)] > 1:
            left[name] = "it shares its weight with another layer"
        elif weight.dtype != torch.float32:
            left[name] = f"its weight is {str(weight.dtype).removeprefix('torch.')}, not float32"
        else:
            chosen.append(name)
    if not chosen:
        why = next((f"{name}: {reason}" for name, reason in left.items()), "it has none")
        raise ModelError(f"palettize: no layer of the model is left to do ({why}); keep fewer layers float.")
    return chosen, left
