"""Rungs made, deployed and scored on a real target: trained ones come back as they were deployed, rankings find the culprit."""

import json

import numpy as np
import pytest
import torch

from artifacts.types import ModelRef, TorchModel
from compress import checkpoint
from compress.configs import QuantizeConfig, TrainConfig
from compress.guarding.search import Candidate
from compress.qat import simulate
from compress.quantizers.rounding import stored_limit
from compress.training.loop import Training, fit, task_loss
from runtimes.registry import find
from tightship.pipeline.stages.accuracy_guard import TargetTrials
from tightship.pipeline.stages.int8_trials import Int8Trials
from zoo.metrics.base import first
from zoo.models import build, complete
from zoo.readers import read_digits
from zoo.signatures import trace_signature


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    data = read_digits()
    torch.manual_seed(0)
    ref = complete(ModelRef("mobilenet", options={"width": 4}), data)
    module = build(ref)
    fit(module, task_loss(), Training(data.train, TrainConfig(epochs=3, learning_rate=0.05), 0))
    return TorchModel(module.eval(), ref, trace_signature(module, data)), data


@pytest.fixture
def trials(network, tmp_path):
    model, data = network
    target = find("onnxruntime-cpu")
    with Int8Trials(model, data, target, "onnx-qdq", "onnx", 0, 128, 1, tmp_path, lambda share, text: None) as made:
        yield made


@pytest.mark.slow
def test_a_trained_candidate_is_stored_as_it_was_deployed(trials):
    target_trials = TargetTrials(trials)
    candidate = Candidate(QuantizeConfig(calibration_samples=128, qat_epochs=1, samples=256), trained=True)
    attempt = target_trials.attempt(candidate)
    folder = target_trials.folder(candidate)
    stored = simulate(checkpoint.load(folder / "model"), candidate.config, stored_limit("onnx-qdq", candidate.config))
    file = json.loads((folder / "attempt.json").read_text())["file"]
    assert (folder / "files" / file["main"]).stat().st_size == attempt.bytes
    assert attempt.drop == pytest.approx(trials.reference - attempt.metric)
    with torch.no_grad():
        expected = stored(torch.from_numpy(trials.examples.inputs["image"])).numpy()
    outputs = first(trials.run(trials.make(candidate, _empty(trials))))
    from_stored, from_untrained = (np.square(outputs - other).mean() for other in (expected, first(trials.examples.outputs)))
    assert from_stored < 0.5 * from_untrained


@pytest.mark.slow
def test_a_candidate_that_was_made_before_a_kill_is_not_made_again(trials, monkeypatch):
    target_trials, candidate = TargetTrials(trials), Candidate(QuantizeConfig(calibration_samples=128))
    first = target_trials.attempt(candidate)
    monkeypatch.setattr(trials, "make", None)
    assert target_trials.attempt(candidate) == first


@pytest.mark.slow
def test_the_layer_whose_channels_differ_most_is_the_most_sensitive(network, tmp_path):
    model, data = network
    hostile = build(model.ref)
    hostile.load_state_dict(model.module.state_dict())
    with torch.no_grad():  # the norm after it takes the factors out again, once its statistics know of them
        block = hostile.blocks[2].layers
        factors = torch.logspace(0, 3, len(block[3].weight))
        block[4].weight *= factors
        block[4].bias *= factors
        block[6].weight /= factors.view(1, -1, 1, 1)
        block[5] = torch.nn.ReLU()
    hostile.eval()
    changed = TorchModel(hostile, model.ref, model.signature)
    target = find("onnxruntime-cpu")
    with Int8Trials(changed, data, target, "onnx-qdq", "onnx", 0, 128, 1, tmp_path, lambda share, text: None) as trials:
        ranked = trials.rank(Candidate(QuantizeConfig(calibration_samples=128, per_channel=False)))
    assert len(ranked) == 23
    assert {r.layer for r in ranked[:2]} == {"blocks.2.layers.3", "blocks.2.layers.6"}
    assert ranked[0].sqnr_db < ranked[-1].sqnr_db - 10


def test_scores_and_errors_are_those_of_the_held_out_examples(trials):
    known = trials.examples
    assert len(known.targets) == 1024
    outputs = first(known.outputs)
    assert outputs.shape == (1024, 10)
    metric, drop, error = trials.score(known.outputs)
    assert (metric, drop, error) == (trials.reference, 0.0, 0.0)
    worse = {name: values.copy() for name, values in known.outputs.items()}
    right = np.flatnonzero(outputs.argmax(1) == known.targets)[:100]
    first(worse)[right] *= -1
    _, drop, error = trials.score(worse)
    assert drop == pytest.approx(100 / 1024)
    assert error == pytest.approx(np.sqrt(drop * (1 - drop) / 1024), rel=0.2)  # what the binomial law gives
    assert trials.score(worse)[2] == error


def _empty(trials):
    folder = trials.work / "again" / "files"
    folder.mkdir(parents=True)
    return folder
