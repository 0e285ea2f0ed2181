"""A recipe whose data have no labels: everything is held against the network that comes in, and the report says so."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from artifacts.records.evidence import read_evidence
from tightship.reporting.sections.scores.outputs import NO_LABELS

NETS = """
from torch import nn

def net(outputs=3):
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, outputs))
"""
DATA = """
import numpy as np

def rows():
    x = np.random.default_rng(0).normal(size=(768, 6)).astype(np.float32)
    return {"train": x[:512], "test": x[512:]}
"""
RECIPE = """
name: unlabelled
model: {factory: "bare_net:net", weights: weights.safetensors}
data: {factory: "bare_data:rows", targets: none, metric: [relative-error, agreement, cosine]}
compress:
  - prune: {sparsity: 0.5, finetune_epochs: 6}
  - quantize: {calibration_samples: 64, max_drop: 0.05}
targets: [onnxruntime-cpu, torchscript-cpu]
gates: {accuracy_drop: 0.6}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bare_net.py").write_text(NETS)
    (tmp_path / "bare_data.py").write_text(DATA)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path


@pytest.mark.slow
def test_a_network_is_compressed_without_labels(folder, cli):
    done = cli("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(folder / "runs" / "unlabelled" / "evidence.json")
    reference = evidence.artifact("torch-cpu/reference").accuracy
    assert (reference.metric, reference.direction, reference.labelled) == ("relative-error", "smaller", False)
    assert reference.deployed == pytest.approx(0, abs=1e-5)
    for made in evidence.artifacts[1:]:
        assert 1e-4 < made.accuracy.deployed < 0.6, "half of its weights are gone, and it was taught by the reference"
        further = {one.metric: one for one in made.accuracy.further}
        assert further["agreement"].reference == 1
        assert 0.6 < further["agreement"].deployed <= 1
        assert 0.7 < further["cosine"].deployed < 1
        assert made.parity.passed
    guarded = evidence.artifact("onnxruntime-cpu/int8-guard").guard
    assert guarded.candidates
    assert guarded.reference == pytest.approx(evidence.artifact("torchscript-cpu/fp32").accuracy.deployed, abs=0.2)
    assert NO_LABELS in (folder / "runs" / "unlabelled" / "summary.md").read_text()


def test_a_reference_that_would_have_to_be_trained_is_refused(folder, cli):
    recipe = RECIPE.replace(", weights: weights.safetensors", "")
    (folder / "recipe.yaml").write_text(recipe)
    done = cli("plan", "recipe.yaml", cwd=folder)
    assert done.returncode == 2
    assert "nothing says what the reference network should be trained for; give it `weights`" in done.stderr


def test_data_are_read_from_arrays_of_inputs_alone(folder, monkeypatch):
    from zoo.data import DataRef, load_data

    monkeypatch.syspath_prepend(folder)
    data = load_data(DataRef(factory="bare_data:rows", targets="none"))
    assert np.array_equal(data.test.batch(np.arange(2))[0]["input"].shape, (2, 6))
