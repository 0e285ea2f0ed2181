"""The accuracy guard: remedies for int8 are tried from the cheapest until the deployed metric holds.

What costs nothing at run time comes first (how ranges are chosen, equalization, bias correction), then layers kept float,
which cost speed, then training. Each candidate is tried by `attempt`, which the caller hands down: it deploys and
measures it on examples that were neither calibrated on nor are test examples.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from artifacts.errors import ModelError, RequestError
from artifacts.types import Split, TorchModel
from compress.configs import QuantizeConfig
from compress.fold import fold
from compress.guarding.bias_correction import correct
from compress.guarding.equalization import equalize
from compress.guarding.refold import refold
from compress.training.loop import subset, tensors
from zoo.calling import arguments

Remedy = Literal["equalize", "correct"]

CALIBRATORS: tuple[tuple[str, float | None], ...] = (
    ("minmax", None), ("percentile", 99.99), ("percentile", 99.9), ("entropy", None), ("mse", None),
)  # fmt: skip
"""(calibrator, percentile), in the order in which they are tried."""

EXAMPLES = 128
"""Calibration examples that equalization and bias correction look at, all at once."""


@dataclass(frozen=True)
class Candidate:
    """One way to make the int8 file."""

    config: QuantizeConfig
    remedies: tuple[Remedy, ...] = ()
    trained: bool = False

    @property
    def name(self) -> str:
        """What the candidate does, in words."""
        config = self.config
        how = f"percentile {config.percentile:g}" if config.calibrator == "percentile" else config.calibrator
        words = {"equalize": "equalized", "correct": "biases corrected"}
        parts = ["QAT" if self.trained else how, *(words[r] for r in self.remedies)]
        if config.keep_float:
            parts.append(f"{len(config.keep_float)} layer{'s' if len(config.keep_float) > 1 else ''} float")
        return ", ".join(parts)


@dataclass(frozen=True)
class Attempt:
    """A candidate as it was deployed and measured."""

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
    """A candidate, and what came of it."""

    candidate: Candidate | str
    """Only its name where it could not be tried at all."""
    attempt: Attempt | None
    reason: str | None = None
    """Why there is no attempt."""

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate if isinstance(self.candidate, str) else self.candidate.name


@dataclass(frozen=True)
class SearchResult:
    """What the search tried, and what it found."""

    tried: tuple[Tried, ...]
    best: Tried
    """The first candidate that met the budget; if none did, the one that lost least."""
    met: bool


class AccuracySearch:
    """The candidates in order; which come next depends on what the ones before gave."""

    def __init__(
        self,
        config: QuantizeConfig,
        budget: float,
        attempt: Callable[[Candidate], Attempt],
        sensitivity: Callable[[Candidate], Sequence[str]],
        *,
        calibrated: bool,
        trainable: str | None,
    ) -> None:
        """`sensitivity` names the layers, the worst first; `calibrated`: whether the target's quantizer heeds a calibrator;
        `trainable`: why quantization-aware training cannot be tried, or None if it can."""
        self.config, self.budget, self.attempt, self.sensitivity = config, budget, attempt, sensitivity
        self.calibrated, self.trainable = calibrated, trainable
        self.tried: list[Tried] = []

    def run(self) -> SearchResult:
        """Try candidate after candidate until one meets the budget.

        Raises:
            ModelError: the target cannot make an int8 file at all; the first candidate's reason.
        """
        for candidate in self._candidates():
            if isinstance(candidate, Tried):
                self.tried.append(candidate)
                continue
            try:
                found = Tried(candidate, self.attempt(candidate))
            except RequestError as error:
                if not any(t.attempt for t in self.tried):
                    raise
                found = Tried(candidate, None, str(error))
            self.tried.append(found)
            if self._met(found):
                return SearchResult(tuple(self.tried), found, True)
        return SearchResult(tuple(self.tried), self._best(), False)

    def _met(self, tried: Tried) -> bool:
        return tried.attempt is not None and tried.attempt.at_worst <= self.budget + 1e-12

    def _best(self) -> Tried:
        return min((t for t in self.tried if t.attempt), key=lambda t: t.attempt.at_worst if t.attempt else 0.0)

    def _best_config(self) -> QuantizeConfig:
        candidate = self._best().candidate
        assert isinstance(candidate, Candidate)
        return candidate.config

    def _candidates(self) -> Iterator[Candidate | Tried]:
        yield Candidate(self.config)
        if self.calibrated:
            yield from (Candidate(c) for c in self._other_calibrators())
        else:
            yield Tried("other calibrators", None, "the quantizer of this target chooses its ranges itself")
        yield from self._free_remedies()
        yield from self._float_layers()
        if self.trainable is None:
            if not self.config.per_channel:  # one scale for all channels cannot be trained where their ranges differ
                yield Candidate(self.config, ("equalize",), trained=True)
            if self.config.per_channel or self.tried[-1].attempt is None:
                yield Candidate(self.config, trained=True)
        else:
            yield Tried("QAT", None, self.trainable)

    def _other_calibrators(self) -> Iterator[QuantizeConfig]:
        asked = self.config.calibrator, self.config.percentile
        for name, share in CALIBRATORS:
            if name == asked[0] and share in (None, asked[1]):
                continue
            yield self.config.model_copy(update={"calibrator": name, **({"percentile": share} if share else {})})

    def _free_remedies(self) -> Iterator[Candidate]:
        """Equalization under the calibrator that was asked for and the best so far; then bias correction of the better."""
        for config in dict.fromkeys((self._best_config(), self.config)):
            yield Candidate(config, ("equalize",))
        equalized = [t for t in self.tried if isinstance(t.candidate, Candidate) and t.candidate.remedies and t.attempt]
        if equalized:
            best = min(equalized, key=lambda t: t.attempt.at_worst if t.attempt else 0.0).candidate
            assert isinstance(best, Candidate)
            yield replace(best, remedies=("equalize", "correct"))
        else:
            yield Candidate(self._best_config(), ("correct",))

    def _float_layers(self) -> Iterator[Candidate | Tried]:
        """The best so far with its 1, 2, 4... most sensitive layers in float, up to half of them."""
        best = self._best().candidate
        assert isinstance(best, Candidate)
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


def remedied(model: TorchModel, candidate: Candidate, split: Split, seed: int, *, as_modules: bool) -> TorchModel:
    """The float network with a candidate's remedies: a folded graph, or (`as_modules`) its own modules with these weights.

    Raises:
        ModelError: there is nothing to equalize, or the remedy cannot be made on this network.
    """
    if not candidate.remedies:
        return model
    indices = subset(split, min(candidate.config.calibration_samples, EXAMPLES), seed)
    graph = fold(model.module, model.signature)
    inputs = arguments(graph, tensors(split, indices)[0])
    if "equalize" in candidate.remedies:
        equalized = equalize(graph, inputs)
        if not equalized.pairs:
            raise ModelError("no two layers follow each other with nothing but ReLU between them, so nothing is equalized.")
        graph = equalized.graph
    if "correct" in candidate.remedies:
        graph = correct(graph, inputs, per_channel=candidate.config.per_channel, bits=candidate.config.weight_bits)
    made = refold(model.module, graph, inputs) if as_modules else graph
    return replace(model, module=made)
