"""Makes int8 files of one network for one target, and runs them there: what the accuracy guard and `inspect` measure with."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.arrays import load_arrays, save_arrays
from artifacts.errors import DataError, ModelError
from artifacts.files import walk
from artifacts.types import Arrays, ExportedFile, Split, TorchModel
from benchmarks.process.child import Child
from compress.fold import fold, operator
from compress.guarding.search import Candidate, remedied
from compress.guarding.sensitivity import LayerSensitivity, Loss, layer_names, rank, sqnr
from compress.quantizers import QUANTIZERS, Calibration
from compress.training.loop import predict_all, subset
from export.registry import FORMATS
from runtimes.target import Target
from zoo.metrics import Metric, find
from zoo.metrics.base import first
from zoo.splits import TaskData

HELD_OUT = 1024
LEAST_HELD_OUT = 50
RANKING = 256
"""Held-out examples that the guard ranks layers on."""
RANKING_CALIBRATION = 64
"""Examples that it calibrates on for that: each layer is calibrated anew."""
RESAMPLES = 200

Source = tuple[TorchModel, ExportedFile | None]
"""A float network, and its float file where the quantizer works on files."""


@dataclass(frozen=True)
class Examples:
    """Held-out examples with what the float network makes of them."""

    inputs: Arrays
    targets: NDArray[Any]
    outputs: Arrays


def held_out(split: Split, calibration_samples: int, seed: int, most: int = HELD_OUT) -> NDArray[np.int64]:
    """Up to `most` training examples, a fixed draw, none of which is calibrated on.

    Raises:
        ModelError: fewer than 50 are left.
    """
    rest = np.setdiff1d(np.arange(len(split)), subset(split, calibration_samples, seed))
    if len(rest) < LEAST_HELD_OUT:
        raise ModelError(
            f"int8 files are judged on training examples that are not calibrated on; {len(rest)} of {len(split):,} "
            f"are left and {LEAST_HELD_OUT} are needed: lower calibration_samples {calibration_samples}."
        )
    return np.sort(np.random.default_rng([seed, 1]).permutation(rest)[:most])


@dataclass
class Int8Trials:
    """One network, one target. Holds one child process, into which every file is opened in turn; close it."""

    model: TorchModel
    data: TaskData
    target: Target
    quantizer: str
    format: str
    seed: int
    calibration_samples: int
    threads: int
    work: Path
    progress: Callable[[float, str], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    """How the target opens a file, where that is not the default."""
    most: int = HELD_OUT
    """Held-out examples, if so many are left."""

    def __post_init__(self) -> None:
        self._child: Child | None = None
        self._sources: dict[tuple[str, ...], Source] = {}

    def __enter__(self) -> "Int8Trials":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child:
            self._child.close()

    @property
    def works_on_files(self) -> bool:
        """Whether the target's quantizer reads exported files, and not modules."""
        return QUANTIZERS.find(self.quantizer).works_on == "file"

    @cached_property
    def examples(self) -> Examples:
        """What decides."""
        chosen = held_out(self.data.train, self.calibration_samples, self.seed, self.most)
        inputs, targets = self.data.train.batch(chosen)
        return Examples(
            inputs, targets, predict_all(self.model.module, self.data.train, 256, chosen, self.model.signature.outputs)
        )

    @cached_property
    def reference(self) -> float:
        """The float network's metric on them."""
        return self.metric.score(self.examples.outputs, self.examples.targets)

    @property
    def metric(self) -> Metric:
        """What the task is scored by."""
        return find(self.data.metric)

    def make(self, candidate: Candidate, folder: Path) -> ExportedFile:
        """The int8 file of a candidate, in an empty folder."""
        model, plain = self.source(candidate)
        calibration = Calibration(self.data.train, candidate.config, self.seed, model)
        quantize = QUANTIZERS.find(self.quantizer).load()
        if plain is None:
            write = FORMATS.find(self.format).load()
            return replace(write(replace(model, module=quantize(calibration)), folder), precision="int8")
        file: ExportedFile = quantize(plain, folder, calibration)
        return file

    def source(self, candidate: Candidate) -> Source:
        """The float network with a candidate's remedies, and its file; made once."""
        key = (*candidate.remedies, *(("trained",) if candidate.trained else ()))
        if key not in self._sources:
            model = remedied(self.model, candidate, self.data.train, self.seed, as_modules=not self.works_on_files)
            if candidate.trained:
                model = self._train(candidate, model)
            plain = None
            if self.works_on_files:
                # traced once here, so that every file made from it need not trace the network again
                model = replace(model, module=fold(model.module, model.signature))
                folder = self.work / "float" / "-".join(key or ("plain",))
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                plain = FORMATS.find(self.format).load()(model, folder)
            self._sources[key] = model, plain
        return self._sources[key]

    def _train(self, candidate: Candidate, model: TorchModel) -> TorchModel:
        from compress.qat import train_quantized

        if structure(model) != structure(self.model):
            raise ModelError("equalization made a ReLU of a ReLU6, so the trained network could not be built again.")
        split, seed = self.data.train, self.seed + 3
        return train_quantized(model, candidate.config, split, seed=seed, work=self.work, progress=self.progress)

    def run(self, file: ExportedFile, count: int | None = None) -> Arrays:
        """The outputs (N, ...) of a file on the first `count` held-out examples, by the target's runtime in the child."""
        inputs = {name: value[:count] for name, value in self.examples.inputs.items()}
        engine = self.target.runtime().build(file, file.folder.parent / "engine")
        engine = replace(engine, options={**engine.options, **self.options})
        fed, first, made = (self.work / f"{name}.npz" for name in (f"in-{count or 'all'}", "first", "out"))
        if self._child is None:
            self._child = Child(engine, self.work / "child.log", self.threads)
            save_arrays(first, {name: value[:1] for name, value in inputs.items()})
        save_arrays(fed, inputs)
        self._child.engine = engine
        self._child.open(first)
        self._child.ask("run", inputs=str(fed), outputs=str(made), batch=file.signature.most(256))
        return load_arrays(made)

    def score(self, outputs: Arrays) -> tuple[float, float, float]:
        """The metric, what it lost against the float network, and the standard error of that, by paired resampling.

        Raises:
            DataError: an output is not a number.
        """
        known, metric = self.examples, self.metric
        value = metric.score(outputs, known.targets)
        generator, drops = np.random.default_rng(self.seed), []
        for _ in range(RESAMPLES):
            some = generator.integers(0, len(known.targets), len(known.targets))
            targets = known.targets[some]
            ours, theirs = (metric.score({n: v[some] for n, v in of.items()}, targets) for of in (outputs, known.outputs))
            drops.append(metric.lost(ours, theirs))
        return value, metric.lost(value, self.reference), float(np.std(drops))

    def lost(self, candidate: Candidate, kept: tuple[str, ...]) -> Loss:
        """What the candidate's file loses on all held-out examples with these layers kept float beside those it keeps.

        Raises:
            RequestError: the file cannot be made.
        """
        return self.loss_of(self._with_float(candidate, kept))

    def loss_of(self, file: ExportedFile) -> Loss:
        """What a file loses on all held-out examples."""
        outputs, size = self.run(file), sum(path.stat().st_size for _, path in walk(file.folder))
        found = sqnr(first(self.examples.outputs), first(outputs))
        try:
            _, drop, error = self.score(outputs)
        except DataError:
            return Loss(found, bytes=size)
        return Loss(found, drop, error, size)

    def rank(self, candidate: Candidate) -> list[LayerSensitivity]:
        """The layers from the most sensitive, each quantized alone, the rest as this candidate says; quick, and not scored."""
        few = min(RANKING_CALIBRATION, candidate.config.calibration_samples)
        quick = replace(candidate, config=candidate.config.model_copy(update={"calibration_samples": few}))

        def lost(kept: tuple[str, ...]) -> Loss:
            found = first(self.run(self._with_float(quick, kept), RANKING))
            return Loss(sqnr(first(self.examples.outputs)[:RANKING], found))

        return rank(layer_names(self.model, candidate.config.keep_float), lost, self.progress)

    def _with_float(self, candidate: Candidate, kept: tuple[str, ...]) -> ExportedFile:
        """The candidate's file with more layers in float; the next one takes its place."""
        config = candidate.config.model_copy(update={"keep_float": (*candidate.config.keep_float, *kept)})
        folder = self.work / "ranking" / "files"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        return self.make(replace(candidate, config=config), folder)


def structure(model: TorchModel) -> list[str]:
    """The operators of a network's folded graph, in order."""
    return [operator(node) for node in fold(model.module, model.signature).graph.nodes]
