"""What the techniques share: options that are checked as a recipe's keys are, and the state that they leave as it was."""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from artifacts.errors import RecipeError, RequestError, StageCrashed, TightshipError
from tightship.api.checks import whole
from tightship.api.progress import CallersOwn

if TYPE_CHECKING:
    from pydantic import BaseModel

    from artifacts.types import Split, TorchModel
    from tightship.api.networks.models import Given

    C = TypeVar("C", bound=BaseModel)


def given_options(**options: object) -> dict[str, object]:
    """Those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def config_of(kind: "type[C]", options: Mapping[str, object], technique: str, seed: int) -> "C":
    """The options as a recipe's config.

    Raises:
        RequestError: one is unknown (the message names the nearest) or beyond its limits, or the seed is no whole number.
    """
    whole("seed", seed, 0, 2**31 - 1)
    from tightship.recipe.recipe import parse_section

    plain = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    try:
        return parse_section(kind, plain, technique)
    except RecipeError as error:
        raise RequestError(str(error)) from None


def unlabeled(given: "Given") -> "Split":
    """The example inputs as a split, for what reads shapes and no targets."""
    import numpy as np

    from zoo.splits import ArraySplit

    examples = given.first(max(2, len(next(iter(given.examples.values())))))
    return ArraySplit(examples, np.zeros(len(next(iter(examples.values()))), np.int64))


def kept_zeros(model: "TorchModel") -> "TorchModel":
    """The network, whose training keeps the zeros of its sparse weights: those that are zero in part, by 1 % or more."""
    from compress.counting import prunable

    masks = {name: weight.detach() != 0 for name, weight in prunable(model.module).items()}
    sparse = {name: mask for name, mask in masks.items() if 0 < float(mask.float().mean()) <= 0.99}
    return replace(model, masks=sparse)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries tell each other of parts that will change: the caller can do nothing about it."""
    with warnings.catch_warnings():
        for kind in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        yield


@contextmanager
def working(technique: str) -> Iterator[None]:
    """A technique at work: random numbers are as they were once the block ends, and what breaks is one sentence.

    Raises:
        StageCrashed: something broke that nobody foresaw; the cause is attached.
    """
    try:
        with own_randomness():
            yield
    except CallersOwn as passed:
        raise passed.error from None
    except TightshipError:
        raise
    except Exception as error:
        why = (str(error).strip().splitlines() or ["no message"])[0].rstrip(".")
        raise StageCrashed(f"{technique} broke: {type(error).__name__}: {why}.") from error


@contextmanager
def own_randomness() -> Iterator[None]:
    """Random numbers as they were, once the block ends: training seeds all generators."""
    import numpy as np
    import torch

    numpy, python = np.random.get_state(), random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)), quiet():
        try:
            yield
        finally:
            np.random.set_state(numpy)
            random.setstate(python)
