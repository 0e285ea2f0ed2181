"""When parity fails: where the file diverges from its network, and a folder that shows it with one command."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from artifacts.records.evidence import ParityRecord
from artifacts.types import Arrays, ExportedFile, TorchModel
from benchmarks.parity.parity import Case, ClassesAt, Tolerance, evaluate, same_largest
from benchmarks.parity.reproducer import REPRODUCER, Shown, worst, write_reproducer
from export.registry import FORMATS
from runtimes.registry import find
from tightship.pipeline.stages.export import engine_of, file_of, made_from, written
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import ExportResult
from tightship.planning.step_configs import CheckStep
from tightship.planning.steps import FILE

if TYPE_CHECKING:
    from benchmarks.parity.bisect import Divergence

EXAMPLES = 4
"""How many examples a reproducer holds: those that differ most."""


@dataclass(frozen=True)
class Failed:
    """What a parity that failed was judged by."""

    cases: Sequence[Case]
    """Real examples first, then the first of them in other sizes, made-up ones last."""
    tolerance: Tolerance
    real: Arrays
    made_up: Arrays
    classes_at: ClassesAt | None = None
    """The output that tells classes apart, and its axis of classes."""


@dataclass(frozen=True)
class _Example:
    """A few examples that show the difference."""

    inputs: Arrays
    case: Case
    """What the network and the file made of them."""
    spreads: dict[str, float]
    """Of each output, over all examples of the case that they are from."""
    batch: int


def reproduce(job: Job[CheckStep], parity: ParityRecord, failed: Failed) -> tuple[ParityRecord, bool]:
    """The parity with where the file diverges; and whether a reproducer was written: if a runtime opens it alone."""
    told, file = job.config, file_of(job)
    example = _example(failed, bool(file.signature.dynamic))
    divergence, why_not = _divergence(job, file, example)
    says = str(divergence) if divergence else f"{parity.first_bad}; {why_not}"
    loader = find(told.target).loader
    if loader is None:
        return replace(parity, first_bad=says), False
    at = failed.classes_at
    other_class = at is not None and not bool(same_largest(example.case, at).all())
    shown = Shown(
        replace(file, precision=told.export.precision), told.target, told.options, example.inputs,
        example.case.reference, example.spreads, failed.tolerance, other_class, example.batch,
    )  # fmt: skip
    write_reproducer(job.out / REPRODUCER, shown, divergence, says, loader)
    return replace(parity, first_bad=says), True


def _example(failed: Failed, dynamic: bool) -> _Example:
    """The worst examples of the first case that fails by itself, or of the real ones; all of them where a batch is at fault."""
    at = failed.classes_at
    classes = at is not None
    bad = [c for c in failed.cases if not evaluate([c], failed.tolerance, "", classes and c.real, at).passed]
    case = bad[0] if bad else failed.cases[0]
    inputs = failed.real if case.real else failed.made_up
    spreads = {name: float(np.std(value.astype(np.float64))) or 1.0 for name, value in case.reference.items()}
    count = len(next(iter(case.reference.values())))
    if case.inputs is not None:
        return _Example(case.inputs, case, spreads, count)
    if case.real and case is not failed.cases[0]:
        return _Example({n: a[:count] for n, a in inputs.items()}, case, spreads, int(case.name.rpartition(" ")[2]))
    rows = worst(case.reference, case.deployed, EXAMPLES, classes, at)
    chosen = Case(
        case.name,
        case.real,
        {n: a[rows] for n, a in case.reference.items()},
        {n: a[rows] for n, a in case.deployed.items() if len(a) == count},
    )
    return _Example({n: a[rows] for n, a in inputs.items()}, chosen, spreads, EXAMPLES if dynamic else 1)


def _divergence(job: Job[CheckStep], file: ExportedFile, example: _Example) -> "tuple[Divergence | None, str]":
    """The tensor at which a file diverges; or none, and why."""
    told, export = job.config, job.config.export
    if job.input(FILE, ExportResult).result.remedied:
        return None, "a remedy changed the tensors inside, so they cannot be held against the network's"
    if export.rewrite:
        return None, "the tensors of a graph that was optimized before are laid out otherwise than the network's"
    from benchmarks.parity import bisect, inner

    model = made_from(job, export)
    if FORMATS.find(file.format).onnx_graph:
        find_it = bisect.largest_growth if export.quantizer else bisect.first_divergence
        return find_it(model, file.path, example.inputs), "every tensor inside it agrees in ONNX Runtime on the CPU"
    one = _single(example)
    engine = engine_of(told.target, job.input(FILE, ExportResult), job.work, told.options)
    tensors, why_not = inner.read_inside(engine, one, job.work)
    look = inner.largest_growth if export.quantizer else inner.first_unheld
    if tensors:
        return look(model, tensors, one), f"every tensor that {told.target} shows inside it agrees"
    if why_not != inner.SILENT:
        return None, f"the tensors inside the {file.format} file {why_not}"
    try:
        tensors = _of_another(job, model, one)
    except Exception as error:  # that parity failed is to be told in any case
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return None, f"the tensors inside the {file.format} file {why_not}, nor of one with them as outputs: {reason}"
    found = look(model, tensors, one)
    how = "in a file made again with the tensors inside it as outputs"
    return replace(found, says=f"{found.says}; seen {how}") if found else None, f"every tensor agrees {how}"


def _of_another(job: Job[CheckStep], model: TorchModel, inputs: Arrays) -> Arrays:
    """The tensors inside a file whose runtime shows none, given out by a second file: made alike, but with them as outputs."""
    from benchmarks.parity.exposed import expose
    from benchmarks.parity.inner import read_outputs

    folder = job.work / "exposed"
    (folder / "files").mkdir(parents=True)
    told = job.config
    file = written(job, told.export, expose(model), folder / "files")
    engine = find(told.target).runtime().build(file, folder)
    return read_outputs(replace(engine, options={**engine.options, **told.options}), inputs, folder)


def _single(example: _Example) -> Arrays:
    """The one example that differs most: not every format takes more than one."""
    rows = worst(example.case.reference, example.case.deployed, 1, True)
    count = len(next(iter(example.case.reference.values())))
    return {name: value[rows] if len(value) == count else value for name, value in example.inputs.items()}
