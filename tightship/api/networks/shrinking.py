"""Fewer channels, blocks, weights or ranks, on a network of one's own.

Options have the names, defaults and limits of a recipe's keys; see docs/reference/recipe.md.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import RequestError
from tightship.api.networks.options import config_of, given_options, kept_zeros, unlabeled, working
from tightship.api.progress import throttled

if TYPE_CHECKING:
    from torch import nn

    from artifacts.types import Split, TorchModel
    from compress.configs import PruneConfig
    from tightship.api.networks.data import Data
    from tightship.api.networks.models import ExampleInputs
    from tightship.api.progress import OnProgress


def prune(
    model: "nn.Module",
    example_inputs: "ExampleInputs",
    *,
    macs: float | None = None,
    sparsity: float | None = None,
    criterion: str | None = None,
    finetune_epochs: int | None = None,
    data: "Data" = None,
    seed: int = 0,
    on_progress: "OnProgress | None" = None,
    **options: object,
) -> "nn.Module":
    """Remove channels or blocks, or zero weights, until what is measured reaches a goal; fine-tune where there are data.

    Args:
        model: a network, which is left as it is.
        example_inputs: a tensor, a tuple of tensors in the order of forward's parameters, or a dict by their names; examples
            along the first axis.
        macs: the share of multiply-accumulates to keep, 0..1; channels are removed.
        sparsity: instead: the share of convolution and linear weights to zero.
        criterion: what a channel or a weight is ranked by, `magnitude` by default; `taylor`, `snip`, `hessian` and `fisher`
            need data.
        finetune_epochs: epochs of fine-tuning after each step, with the network as it came in as teacher; by default 1 with
            data, else 0.
        data: (inputs, targets), a DataLoader or another iterable of such batches, a map-style data set, or TaskData. Targets
            are class numbers, or real values for regression.
        seed: of all draws.
        on_progress: called with an `Update` as it goes on.
        options: the other keys of a recipe's `prune`: `parameters`, `bytes`, `latency` (with `target`), `blocks`, `n_of_m`,
            `ranking`, `steps`, `align`, `learning_rate` ...

    Returns:
        A new network, on the CPU and in eval mode.

    Raises:
        RequestError: not exactly one goal, an unknown option, or one that needs data where there are none.
        ModelError: the network cannot be traced, or the goal cannot be reached.
        DataError: the data do not fit the network.

    >>> import tightship as ts, torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    >>> smaller = ts.prune(net, torch.randn(2, 16), macs=0.5)
    >>> net[0].out_features, smaller[0].out_features
    (64, 32)
    """
    from compress.configs import PruneConfig

    chosen = given_options(macs=macs, sparsity=sparsity, criterion=criterion, finetune_epochs=finetune_epochs) | options
    if data is None:
        chosen = {"finetune_epochs": 0, **chosen}
    config = config_of(PruneConfig, chosen, "prune", seed)
    with working("prune"):
        from tightship.api.networks.data import split_of
        from tightship.api.networks.models import given_model

        given = given_model(model, example_inputs)
        split = unlabeled(given) if data is None else split_of(data, model, given.model.signature)
        if data is None:
            _refuse_without_data(config)
        return _pruned(kept_zeros(given.model), config, split, seed, throttled(on_progress, "prune")).module


def factorize(
    model: "nn.Module",
    example_inputs: "ExampleInputs",
    *,
    energy: float | None = None,
    macs: float | None = None,
    finetune_epochs: int | None = None,
    data: "Data" = None,
    seed: int = 0,
    on_progress: "OnProgress | None" = None,
    **options: object,
) -> "nn.Module":
    """Split linear layers and convolutions into pairs of lower rank, by their singular values; fine-tune where there are data.

    Args:
        model: a network, which is left as it is.
        example_inputs: a tensor, a tuple of tensors in the order of forward's parameters, or a dict by their names.
        energy: each layer keeps the least rank that holds this share of its squared singular values, 0..1.
        macs: instead: the share of multiply-accumulates to keep.
        finetune_epochs: epochs of fine-tuning after the split; by default 1 with data, else 0.
        data: as of `prune`.
        seed: of all draws.
        on_progress: called with an `Update` as it goes on.
        options: the other keys of a recipe's `factorize`: `rank_share`, `conv`, `align`, `keep_whole` ...

    Returns:
        A new network, on the CPU and in eval mode.

    Raises:
        RequestError: not exactly one goal, or an unknown option.
        ModelError: the network cannot be traced, or the goal cannot be reached.

    >>> import tightship as ts, torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    >>> split = ts.factorize(net, torch.randn(2, 64), rank_share=0.25)
    >>> ts.inspect(split, torch.zeros(1, 64)).total("parameters") < ts.inspect(net, torch.zeros(1, 64)).total("parameters")
    True
    """
    from compress.configs import FactorizeConfig

    chosen = given_options(energy=energy, macs=macs, finetune_epochs=finetune_epochs) | options
    if data is None:
        chosen = {"finetune_epochs": 0, **chosen}
    config = config_of(FactorizeConfig, chosen, "factorize", seed)
    if data is None and config.finetune_epochs:
        raise RequestError("finetune_epochs needs data=(inputs, targets); give them, or leave finetune_epochs out.")
    if config.latency_target is not None:
        raise RequestError("latency_target is for recipes, which say how the target's files are made; leave it out.")
    with working("factorize"):
        from compress.factorization.factorize import factorize as run
        from tightship.api.networks.data import split_of
        from tightship.api.networks.models import given_model

        given = given_model(model, example_inputs)
        split = unlabeled(given) if data is None else split_of(data, model, given.model.signature)
        return run(given.model, config, split, seed=seed, progress=throttled(on_progress, "factorize")).model.module


def _refuse_without_data(config: "PruneConfig") -> None:
    """Refuse what only data could decide."""
    from compress.criteria import CRITERIA

    free = ", ".join(name for name, criterion in CRITERIA.items() if criterion.prepare is None)
    wanted = {
        "finetune_epochs": config.finetune_epochs > 0,
        "rewind": config.rewind,
        "regularize": config.regularize is not None,
        "latency": config.latency is not None,
        "blocks": config.blocks is not None,
    }
    for name, needs in wanted.items():
        if needs:
            raise RequestError(f"{name} needs data=(inputs, targets); give them, or leave {name} out.")
    if CRITERIA[config.criterion].prepare is not None:
        raise RequestError(
            f"criterion {config.criterion!r} needs data=(inputs, targets); give them, or use one that needs none: {free}."
        )


def _pruned(
    model: "TorchModel", config: "PruneConfig", split: "Split", seed: int, progress: Callable[[float, str], None]
) -> "TorchModel":
    if config.latency is None and config.blocks is None:
        from compress.pruning.steps import prune as run

        return run(model, config, split, seed=seed, progress=progress).model
    from compress.pruning.latency.prune import prune_blocks

    if config.target is None:
        return prune_blocks(model, config, split, seed=seed, progress=progress).model
    from benchmarks.machine import describe
    from runtimes.registry import find
    from tightship.pipeline.deployed_latency import DeployedLatency

    target = find(config.target)
    with tempfile.TemporaryDirectory(prefix="tightship-prune-") as work:
        measured = DeployedLatency(
            model,
            target,
            config.latency_precision,
            split,
            describe().fingerprint(),
            1,
            {},
            {},
            Path(work) / "costs",
            Path(work),
        )
        return prune_blocks(model, config, split, seed=seed, relative=measured, progress=progress).model
