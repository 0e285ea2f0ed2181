"""The accuracy guard: a ladder of remedies for int8, climbed from the cheapest until the deployed metric holds.

What costs nothing at run time comes first (how ranges are chosen, equalisation, bias correction), then layers kept float,
which cost speed, then training. Each rung is judged by `attempt`, which the caller hands down: it deploys the rung and
measures it on examples that were neither calibrated on nor are test examples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from artifacts.errors import ModelError, RequestError
from artifacts.types import Split, TorchModel
from compress.configs import QuantizeConfig
from compress.fold import fold
from compress.guarding.bias_correction import correct
from compress.guarding.equalization import equalise
from compress.guarding.refold import refold
from compress.training.loop import subset, tensors

Remedy = Literal["equalise", "correct"]

CALIBRATORS: tuple[tuple[str, float | None], ...] = (
    ("minmax", None), ("percentile", 99.99), ("percentile", 99.9), ("entropy", None), ("mse", None),
)  # fmt: skip
"""(calibrator, percentile), in the order in which they are tried."""

EXAMPLES = 128
"""Calibration examples that equalisation and bias correction look at, all at once."""


@dataclass(frozen=True)
class Rung:
    """One way to make the int8 file."""

    config: QuantizeConfig
    remedies: tuple[Remedy, ...] = ()
    trained: bool = False

    @property
    def name(self) -> str:
        """What the rung does, in words."""
        config = self.config
        how = f"percentile {config.percentile:g}" if config.calibrator == "percentile" else config.calibrator
        words = {"equalise": "equalised", "correct": "biases corrected"}
        parts = ["QAT" if self.trained else how, *(words[r] for r in self.remedies)]
        if config.keep_float:
            parts.append(f"{len(config.keep_float)} layer{'s' if len(config.keep_float) > 1 else ''} float")
        return ", ".join(parts)


@dataclass(frozen=True)
class Attempt:
    """A rung as it was deployed and measured."""

    metric: float
    drop: float
    """What it lost against the float network on the same examples."""
    error: float
    """Standard error of the drop."""
    seconds: float
    bytes: int

    @property
    def at_worst(self) -> float:
        """The drop and one standard error: what decides."""
        return self.drop + self.error


@dataclass(frozen=True)
class Tried:
    """A rung, and what came of it."""

    rung: Rung | str
    """Only its name where it could not be tried at all."""
    attempt: Attempt | None
    reason: str | None = None
    """Why there is no attempt."""

    @property
    def name(self) -> str:
        """The rung's name."""
        return self.rung if isinstance(self.rung, str) else self.rung.name


@dataclass(frozen=True)
class Climbed:
    """How far the ladder was climbed."""

    tried: tuple[Tried, ...]
    best: Tried
    """The first rung that met the budget; if none did, the one that lost least."""
    met: bool


class Ladder:
    """The rungs in order; which come next depends on what the ones before gave."""

    def __init__(
        self,
        config: QuantizeConfig,
        budget: float,
        attempt: Callable[[Rung], Attempt],
        sensitivity: Callable[[Rung], Sequence[str]],
        *,
        calibrated: bool,
        trainable: str | None,
    ) -> None:
        """`sensitivity` names the layers, the worst first; `calibrated`: whether the target's quantizer heeds a calibrator;
        `trainable`: why quantization-aware training cannot be tried, or None if it can."""
        self.config, self.budget, self.attempt, self.sensitivity = config, budget, attempt, sensitivity
        self.calibrated, self.trainable = calibrated, trainable
        self.tried: list[Tried] = []

    def climb(self) -> Climbed:
        """Try rung after rung until one meets the budget.

        Raises:
            ModelError: the target cannot make an int8 file at all; the first rung's reason.
        """
        for rung in self._rungs():
            if isinstance(rung, Tried):
                self.tried.append(rung)
                continue
            try:
                found = Tried(rung, self.attempt(rung))
            except RequestError as error:
                if not any(t.attempt for t in self.tried):
                    raise
                found = Tried(rung, None, str(error))
            self.tried.append(found)
            if self._met(found):
                return Climbed(tuple(self.tried), found, True)
        return Climbed(tuple(self.tried), self._best(), False)

    def _met(self, tried: Tried) -> bool:
        return tried.attempt is not None and tried.attempt.at_worst <= self.budget + 1e-12

    def _best(self) -> Tried:
        return min((t for t in self.tried if t.attempt), key=lambda t: t.attempt.at_worst if t.attempt else 0.0)

    def _best_config(self) -> QuantizeConfig:
        rung = self._best().rung
        assert isinstance(rung, Rung)
        return rung.config

    def _rungs(self) -> Iterator[Rung | Tried]:
        yield Rung(self.config)
        if self.calibrated:
            yield from (Rung(c) for c in self._other_calibrators())
        else:
            yield Tried("other calibrators", None, "the quantizer of this target chooses its ranges itself")
        yield from self._free_remedies()
        yield from self._float_layers()
        if self.trainable is None:
            if not self.config.per_channel:  # one scale for all channels cannot be trained where their ranges differ
                yield Rung(self.config, ("equalise",), trained=True)
            if self.config.per_channel or self.tried[-1].attempt is None:
                yield Rung(self.config, trained=True)
        else:
            yield Tried("QAT", None, self.trainable)

    def _other_calibrators(self) -> Iterator[QuantizeConfig]:
        asked = self.config.calibrator, self.config.percentile
        for name, share in CALIBRATORS:
            if name == asked[0] and share in (None, asked[1]):
                continue
            yield self.config.model_copy(update={"calibrator": name, **({"percentile": share} if share else {})})

    def _free_remedies(self) -> Iterator[Rung]:
        """Equalisation under the calibrator that was asked for and the best so far; then bias correction of the better."""
        for config in dict.fromkeys((self._best_config(), self.config)):
            yield Rung(config, ("equalise",))
        equalised = [t for t in self.tried if isinstance(t.rung, Rung) and t.rung.remedies and t.attempt]
        if equalised:
            best = min(equalised, key=lambda t: t.attempt.at_worst if t.attempt else 0.0).rung
            assert isinstance(best, Rung)
            yield replace(best, remedies=("equalise", "correct"))
        else:
            yield Rung(self._best_config(), ("correct",))

    def _float_layers(self) -> Iterator[Rung | Tried]:
        """The best so far with its 1, 2, 4... most sensitive layers in float, up to half of them."""
        best = self._best().rung
        assert isinstance(best, Rung)
        try:
            names = [n for n in self.sensitivity(best) if n not in self.config.keep_float]
        except RequestError as error:
            yield Tried("layers kept float", None, str(error))
            return
        count = 1
        while count <= max(1, len(names) // 2):
            kept = (*self.config.keep_float, *names[:count])
            yield replace(best, config=best.config.model_copy(update={"keep_float": kept}))
            count *= 2


def remedied(model: TorchModel, rung: Rung, split: Split, seed: int, *, as_modules: bool) -> TorchModel:
    """The float network with a rung's remedies: a folded graph, or (`as_modules`) its own modules with these weights.

    Raises:
        ModelError: there is nothing to equalise, or the remedy cannot be made on this network.
    """
    if not rung.remedies:
        return model
    indices = subset(split, min(rung.config.calibration_samples, EXAMPLES), seed)
    inputs: list[torch.Tensor] = list(tensors(split, indices)[0].values())
    graph = fold(model.module, model.signature)
    if "equalise" in rung.remedies:
        equalised = equalise(graph, inputs)
        if not equalised.pairs:
            raise ModelError("no two layers follow each other with nothing but ReLU between them, so nothing is equalised.")
        graph = equalised.graph
    if "correct" in rung.remedies:
        graph = correct(graph, inputs, per_channel=rung.config.per_channel, bits=rung.config.weight_bits)
    made = refold(model.module, graph, inputs) if as_modules else graph
    return replace(model, module=made)
