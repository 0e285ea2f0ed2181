"""The examples of tasks go through distillation, pruning and int8 to three runtimes, and are scored as a sum by hand says."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.machine import describe
from tightship.pipeline.execute import execute
from tightship.pipeline.progress import Quiet
from tightship.pipeline.stages.results import CheckResult, DataResult, ExportResult
from tightship.planning.plan import make_plan
from tightship.planning.stage_order import check_chain
from tightship.recipe.recipe import load_recipe
from tightship.store import Store

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tasks"
TASKS = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
TARGETS = ("onnxruntime-cpu", "openvino-cpu", "executorch-xnnpack")


def of_classes(scores, targets):
    """The share of positions that count whose largest score, along the last axis, is at the target."""
    counted = targets != -100
    return (scores.argmax(-1) == targets)[counted].mean()


def overlap(scores, targets):
    """The mean over both classes of intersection over union, of pixels that count."""
    answers, each = scores.argmax(-1)[targets != -100], []
    for kind in (0, 1):
        said, true = answers == kind, targets[targets != -100] == kind
        each.append((said & true).sum() / (said | true).sum())
    return np.mean(each)


def f1_of_labels(logits, targets):
    each = []
    for label in range(targets.shape[1]):
        said, true = logits[:, label] > 0, targets[:, label] == 1
        each.append(2 * (said & true).sum() / (said.sum() + true.sum()))
    return np.mean(each)


def recall(left, right):
    cosines = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in right] for a in left]
    return np.mean([int(np.argmax(row)) == at for at, row in enumerate(cosines)])


BY_HAND = {
    "segmentation": lambda out, x, y: overlap(out["output"].transpose(0, 2, 3, 1), y),
    "tagging": lambda out, x, y: of_classes(out["output"], y),
    "language_model": lambda out, x, y: of_classes(out["output"], y),
    "detection": lambda out, x, y: of_classes(out["scores"], y["scores"]),
    "regression": lambda out, x, y: np.sqrt(((out["output"][:, 0] - y) ** 2).mean()),
    "multi_label": lambda out, x, y: f1_of_labels(out["output"], y),
    "sequence_to_sequence": lambda out, x, y: of_classes(out["scores"], y["scores"]),
    "contrastive": lambda out, x, y: recall(out["picture_embedding"], out["sound_embedding"]),
    "autoencoder": lambda out, x, y: ((out["output"] - x["input"]) ** 2).mean(),
    "diffusion_step": lambda out, x, y: ((out["output"] - y) ** 2).mean(),
}
LEARNED = {
    "segmentation": 0.7, "tagging": 0.95, "language_model": 0.7, "detection": 0.95, "regression": 0.2, "multi_label": 0.9,
    "sequence_to_sequence": 0.9, "contrastive": 0.7, "autoencoder": 0.3, "diffusion_step": 0.7,
}  # fmt: skip
"""What each example reaches at least, or at most where smaller is better: far from what an untrained network does."""
SMALLER = {"regression", "autoencoder", "diffusion_step"}


def test_every_example_has_its_sum_by_hand():
    assert set(TASKS) == set(BY_HAND) == set(LEARNED)
    assert all(len((EXAMPLES / f"{task}.py").read_text().splitlines()) < 60 for task in TASKS)


@pytest.fixture(params=TASKS)
def made(request, tmp_path, monkeypatch):
    """A task and the finished steps of its plan, all but the timing."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    recipe = load_recipe(EXAMPLES / f"{request.param}.yaml")
    check_chain(recipe)
    plan = make_plan(recipe, describe().fingerprint())
    plan = replace(plan, steps=tuple(step for step in plan.steps if step.kind != "measure"))
    yield request.param, execute(plan, Store(tmp_path / "store"), Quiet())
    sys.modules.pop(request.param, None)


def held_out(task):
    """The inputs by name and the targets of an example's test split."""
    made = importlib.import_module(task).data()
    part = made["test"] if isinstance(made, dict) else made[1]
    inputs, targets = part if isinstance(part, tuple) else (part, None)
    return (inputs if isinstance(inputs, dict) else {"input": inputs}), targets


def run(entry, inputs):
    """What an ONNX file gives, by the names of its signature, in ONNX Runtime's own hands."""
    result = entry.result
    session = onnxruntime.InferenceSession(entry.folder / "files" / result.main, providers=["CPUExecutionProvider"])
    given = [inputs[spec.name] for spec in result.signature.inputs]
    taken = dict(zip((spec.name for spec in session.get_inputs()), given, strict=True))
    return dict(zip((spec.name for spec in result.signature.outputs), session.run(None, taken), strict=True))


@pytest.mark.slow
def test_a_task_goes_through_and_is_scored_as_a_sum_by_hand_says(made):
    task, entries = made
    inputs, targets = held_out(task)
    for precision in ("fp32", "int8-ptq"):
        by_hand = BY_HAND[task](run(entries[f"export onnxruntime-cpu/{precision}"], inputs), inputs, targets)
        scored = entries.of(f"check onnxruntime-cpu/{precision}", CheckResult).accuracy
        assert scored == pytest.approx(by_hand, rel=1e-5)
        for target in TARGETS:
            checked = entries.of(f"check {target}/{precision}", CheckResult)
            assert checked.parity.passed, (target, checked.parity.first_bad)
            assert checked.examples == len(next(iter(inputs.values())))
            assert set(checked.further) == set(entries.of("data", DataResult).further)
            if precision == "fp32":
                assert checked.accuracy == pytest.approx(by_hand, rel=5e-3)
        assert by_hand < LEARNED[task] if task in SMALLER else by_hand > LEARNED[task]
    outputs = entries.of("export onnxruntime-cpu/fp32", ExportResult).signature.outputs
    rms = entries.of("check onnxruntime-cpu/fp32", CheckResult).parity.rms_by_output
    assert set(rms) == ({spec.name for spec in outputs} if len(outputs) > 1 else set())
    pruned = entries["prune"].result
    assert pruned.sparsity > 0.4
