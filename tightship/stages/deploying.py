"""The steps that make a deployed file and hold it against its model: export, check."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import load_arrays, save_arrays
from artifacts.evidence import ParityRecord
from artifacts.files import walk
from artifacts.specs import Signature
from artifacts.types import Arrays, Engine, ExportedFile, TorchModel
from benchmarks.child import Child
from benchmarks.parity import CONVERSION, QUANTIZED, SCHEMES, SIMULATED, Case, Tolerance, at_ends, judge
from benchmarks.work import work_of
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.registry import find
from tightship.stages.job import Job
from tightship.steps import ArtifactPlan
from tightship.store import Entry, Result

PARITY_EXAMPLES = 256

OTHER_GRIDS = ("coreml-weights",)
"""Quantizers that round weights on grids of their runtime's own, which `rounded` does not know."""


def export(job: Job) -> Result:
    """Write the file of one artifact, quantized as its target wants it."""
    artifact = job.step.artifact
    assert artifact is not None
    folder = job.out / "files"
    folder.mkdir()
    return _exported(_as_shipped(job, artifact, written(job, artifact, job.model(artifact.source), folder)))


def _as_shipped(job: Job, artifact: ArtifactPlan, file: ExportedFile) -> ExportedFile:
    """The file as the recipe and the target's options want it shipped, in the folder that it lies in."""
    options = find(artifact.target).read_options(artifact.options)
    if not options.of_the_file:
        if not job.recipe.export.onnx.sidecar or file.format != "onnx":
            return file
        from export.onnx import weights_beside  # it needs torch, which a run that finds all in the store does not

        return weights_beside(file)
    with tempfile.TemporaryDirectory(dir=file.folder.parent) as work:
        plain = Path(work) / "plain"
        file.folder.rename(plain)
        file.folder.mkdir()
        return options.rewrite(replace(file, folder=plain), file.folder)


def written(job: Job, artifact: ArtifactPlan, model: TorchModel, folder: Path) -> ExportedFile:
    """The file of an artifact made from `model`, in an empty folder, quantized as its target wants it."""
    write = FORMATS[artifact.format].load()
    if artifact.quantizer is None:
        return write(model, folder)
    config = job.recipe.stage("quantize")
    assert isinstance(config, QuantizeConfig)
    config = config.model_copy(update={"scheme": artifact.scheme})
    quantizer = QUANTIZERS[artifact.quantizer]
    calibration = Calibration(job.data.train, config, job.recipe.seed, model)
    if quantizer.works_on == "module":
        file = write(replace(model, module=quantizer.load()(calibration)), folder)
        return replace(file, precision=artifact.scheme or "int8")
    plain = job.work / "float"
    plain.mkdir(exist_ok=True)
    made: ExportedFile = quantizer.load()(write(model, plain), folder, calibration)
    return made


def export_guarded(job: Job) -> Result:
    """The file that the accuracy guard settles on."""
    from tightship.stages.guarding import guard  # it needs torch, which a run that finds all in the store does not

    artifact, found = job.step.artifact, guard(job)
    assert artifact is not None
    shipped = _as_shipped(job, artifact, _file_of(found, job.out))
    size = float(sum(p.stat().st_size for p in shipped.folder.iterdir()))
    details = {**found.details, "main": shipped.main, "format": shipped.format, "notes": list(shipped.notes)}
    return replace(found, metrics={**found.metrics, "bytes": size}, details=details)


def _exported(file: ExportedFile) -> Result:
    sizes = [path.stat().st_size for _, path in walk(file.folder)]
    total = sum(sizes)
    details = {"main": file.main, "format": file.format, "signature": asdict(file.signature), "notes": list(file.notes)}
    return Result(f"{file.format} {file.precision}: {total:,} bytes in {len(sizes)} files", {"bytes": float(total)}, details)


def exported_file(entry: Entry) -> ExportedFile:
    """The file that an export step wrote."""
    return _file_of(entry.result, entry.folder)


def _file_of(result: Result, folder: Path) -> ExportedFile:
    details = result.details
    signature = Signature.from_json(details["signature"])
    return ExportedFile(details["format"], folder / "files", details["main"], signature, notes=tuple(details["notes"]))


def engine_of(target: str, entry: Entry, folder: Path, options: Mapping[str, Any]) -> Engine:
    """What the target's runtime opens, and how; built in `folder` where the runtime builds anything."""
    engine = find(target).runtime().build(exported_file(entry), folder)
    return replace(engine, options={**engine.options, **options})


def check(job: Job) -> Result:
    """Parity against the model it came from, accuracy on the whole test set, placement, and a self-test to ship."""
    artifact = job.step.artifact
    assert artifact is not None
    entry = job.inputs[f"export {artifact.id}"]
    engine = engine_of(artifact.target, entry, job.out, artifact.options)
    signature = Signature.from_json(entry.result.details["signature"])
    batch = signature.most(256)
    log = job.work / "child.log"
    with Child(engine, log, job.recipe.measure.threads) as child:
        test_inputs, targets = _whole(job)
        save_arrays(job.work / "first.npz", {k: v[:1] for k, v in test_inputs.items()})
        child.open(job.work / "first.npz")
        run = _Runner(child, job.work)
        outputs = run(test_inputs, batch)
        cases, tolerance, against = _cases(job, test_inputs, outputs, run, signature)
        placement = child.ask("placement")
    parity = judge(cases, tolerance, against, job.data.metric == "top1")
    if not parity.passed:
        parity = _locate(job, parity, test_inputs, cases, tolerance)
    from tightship.stages.proving import write_selftest
    from zoo.metrics import score

    deployed = score(job.data.metric, next(iter(outputs.values())), targets)
    notes = write_selftest(job, test_inputs, outputs, cases[0].reference, parity, tolerance)
    if job.data.metric == "top1":
        # which ones, not only how many: two artifacts can then be told apart by a paired test
        right = next(iter(outputs.values())).reshape(len(targets), -1).argmax(axis=1) == targets
        save_arrays(job.out / "correct.npz", {"correct": right.astype(np.uint8)})
    work = asdict(work_of(made_from(job, artifact).module, test_inputs))
    details = {"parity": asdict(parity), "placement": placement, "examples": len(targets), "work": work}
    details |= {"notes": list(notes)} if notes else {}
    state = "parity ok" if parity.passed else f"PARITY FAILED ({parity.first_bad})"
    return Result(f"{job.data.metric} {deployed:.4f} deployed, {state}", {"accuracy": deployed}, details)


def made_from(job: Job, artifact: ArtifactPlan) -> TorchModel:
    """The network that an artifact was made from: the accuracy guard keeps one of its own where it trained."""
    from compress import checkpoint

    own = job.inputs[f"export {artifact.id}"].folder / "model"
    return checkpoint.load(own) if own.is_dir() else job.model(artifact.source)


class _Runner:
    """Runs arrays through a child, by way of files."""

    def __init__(self, child: Child, folder: Path) -> None:
        self.child, self.folder, self.count = child, folder, 0

    def __call__(self, inputs: Arrays, batch: int) -> Arrays:
        self.count += 1
        fed, made = self.folder / f"in-{self.count}.npz", self.folder / f"out-{self.count}.npz"
        save_arrays(fed, inputs)
        self.child.ask("run", inputs=str(fed), outputs=str(made), batch=batch)
        return load_arrays(made)


def _whole(job: Job) -> tuple[Arrays, Any]:
    test = job.data.test
    parts = [test.batch(np.arange(i, min(i + 512, len(test)))) for i in range(0, len(test), 512)]
    inputs = {name: np.concatenate([p[0][name] for p in parts]) for name in parts[0][0]}
    return inputs, np.concatenate([p[1] for p in parts])


def _cases(job: Job, inputs: Arrays, outputs: Arrays, run: _Runner, signature: Signature) -> tuple[list[Case], Tolerance, str]:
    """Real examples at several batch sizes and at the ends of ranges, and made-up ones, against the file's module."""
    import torch

    artifact = job.step.artifact
    assert artifact is not None
    module, tolerance, against = _yardstick(job, artifact)

    def reference(arrays: Arrays) -> Arrays:
        from zoo.models import named_outputs

        with torch.no_grad():
            named = named_outputs(module(*(torch.from_numpy(a) for a in arrays.values())))
        return {name: tensor.numpy() for name, tensor in named.items()}

    real = {k: v[:PARITY_EXAMPLES] for k, v in inputs.items()}
    cases = [Case("real x256", True, reference(real), {k: v[:PARITY_EXAMPLES] for k, v in outputs.items()})]
    some = {k: v[:21] for k, v in real.items()}
    expected = reference(some)
    for batch in dict.fromkeys(map(signature.most, (1, 2, 7))):
        cases.append(Case(f"real, batch {batch}", True, expected, run(some, batch)))
    made_up = _blends(real) if artifact.quantizer else _noise(real)
    name = "blends of real examples" if artifact.quantizer else "uniform noise"
    for end, fed in at_ends(real, signature):
        cases.append(Case(end, False, reference(fed), run(fed, len(next(iter(fed.values())))), fed))
    cases.append(Case(name, False, reference(made_up), run(made_up, signature.most(16))))
    return cases, tolerance, against


def _yardstick(job: Job, artifact: ArtifactPlan) -> tuple[Any, Tolerance, str]:
    """The module that a file must compute, how closely, and what to call it."""
    from compress.qat import simulate
    from compress.quantizers.rounding import rounded, rounds_weights

    model = made_from(job, artifact)
    if artifact.scheme is None:
        return model.module.eval(), CONVERSION, "float"
    config = job.recipe.stage("quantize")
    assert isinstance(config, QuantizeConfig)
    config = config.model_copy(update={"scheme": artifact.scheme})
    if model.ranges:
        return simulate(model, config), SIMULATED, "simulated"
    if artifact.quantizer in OTHER_GRIDS:
        return model.module.eval(), QUANTIZED, "float"
    tolerance = SCHEMES.get(artifact.scheme, QUANTIZED)
    # equalised or corrected weights are not those of the model before they are rounded
    remedied = job.inputs[f"export {artifact.id}"].result.details.get("remedied", False)
    if rounds_weights(config) and not remedied:
        return rounded(model, config), tolerance, "rounded weights"
    return model.module.eval(), tolerance, "float"


def _noise(real: Arrays) -> Arrays:
    generator = np.random.default_rng(0)
    made = {}
    for name, value in real.items():
        if np.issubdtype(value.dtype, np.floating):
            made[name] = generator.uniform(value.min(), value.max(), value[:32].shape).astype(value.dtype)
        else:
            made[name] = generator.permutation(value[:32])
    return made


def _blends(real: Arrays) -> Arrays:
    """Mixtures of two real examples: unseen, yet inside the ranges that calibration saw."""
    made = {}
    for name, value in real.items():
        half = len(value) // 2
        floating = np.issubdtype(value.dtype, np.floating)
        made[name] = ((value[:half] + value[half : 2 * half]) / 2).astype(value.dtype)[:32] if floating else value[:half][:32]
    return made


def _locate(job: Job, parity: ParityRecord, inputs: Arrays, cases: list[Case], tolerance: Tolerance) -> ParityRecord:
    """The failed parity with where the file departs, and with a folder that shows it."""
    from tightship.stages.reproducing import Failed, reproduce

    artifact = job.step.artifact
    assert artifact is not None
    real = {k: v[:PARITY_EXAMPLES] for k, v in inputs.items()}
    made_up = _blends(real) if artifact.quantizer else _noise(real)
    return reproduce(job, parity, Failed(cases, tolerance, real, made_up))
