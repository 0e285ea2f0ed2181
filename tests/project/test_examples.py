"""The example works as its README says, outside the checkout; weights come in the shapes that people have."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.records.evidence import read_evidence

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-model"
QUICK = """\
name: quick
model: {factory: "nets:build", weights: %s, width: 16}
data: {factory: "data:load"}
targets: [{name: onnxruntime-cpu, precisions: [fp32]}]
gates: {accuracy_drop: 0.01}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, environment):
    """A copy of the example with its weights trained."""
    copy = tmp_path_factory.mktemp("example") / "own-model"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", "runs", ".tightship", "*.safetensors"))
    command = [sys.executable, "train_weights.py"]
    done = subprocess.run(command, cwd=copy, env=environment(), capture_output=True, text=True, check=True)
    assert "top-1 0.9" in done.stdout
    return copy


def test_the_example_is_clean(folder):
    assert {p.name for p in EXAMPLE.iterdir()} - {"__pycache__"} == {
        "README.md", "data.py", "nets.py", "recipe.yaml", "train_weights.py",
    }  # fmt: skip
    readme = (EXAMPLE / "README.md").read_text()
    for command in ("python train_weights.py", "tightship plan recipe.yaml", "tightship run recipe.yaml"):
        assert f"    {command}\n" in readme


@pytest.mark.slow
def test_training_gives_the_same_weights_again(folder, environment, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "again", ignore=shutil.ignore_patterns("*.safetensors", "runs", ".tightship"))
    subprocess.run([sys.executable, "train_weights.py"], cwd=copy, env=environment(), capture_output=True, check=True)
    assert (copy / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_the_example_runs_as_its_readme_says(folder, cli):
    assert cli("plan", "recipe.yaml", cwd=folder).returncode == 0
    done = cli("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(folder / "runs" / "own-model" / "evidence.json")
    assert evidence.verdict.passed
    assert {a.target for a in evidence.artifacts} == {"torch-cpu", "onnxruntime-cpu", "torchscript-cpu"}
    assert {a.precision for a in evidence.artifacts} >= {"fp32", "int8-ptq"}
    assert evidence.artifact("torch-cpu/reference").accuracy.deployed > 0.9
    assert evidence.data["labels"] == [str(i) for i in range(10)]
    stages = {s.name: s.metrics for s in evidence.stages}
    assert stages["prune"]["macs"] <= 0.6 * stages["reference"]["macs"]
    assert list((folder / "runs" / "own-model" / "bundles").iterdir())


@pytest.mark.slow
def test_a_network_and_data_of_ones_own_come_through_with_their_accuracy(folder, cli):
    (folder / "quick.yaml").write_text(QUICK % "weights.safetensors")
    done = cli("run", "quick.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(folder / "runs" / "quick" / "evidence.json")
    shipped = evidence.artifact("onnxruntime-cpu/fp32")
    assert shipped.accuracy.examples == 450
    assert shipped.accuracy.deployed > 0.9
    assert shipped.accuracy.deployed == pytest.approx(evidence.artifact("torch-cpu/reference").accuracy.deployed, abs=1 / 450)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", None])
def test_weights_in_an_envelope_with_prefixes_are_the_same_weights(folder, tmp_path, key, legacy):
    import torch
    from safetensors.torch import load_file

    from zoo.models import read_state

    plain = load_file(folder / "weights.safetensors")
    wrapped = {f"module.{name}": tensor for name, tensor in plain.items()}
    saved = {key: wrapped, "epoch": 3} if key else wrapped
    torch.save(saved, tmp_path / "weights.pt", _use_new_zipfile_serialization=not legacy)
    found = read_state(tmp_path / "weights.pt")
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.slow
def test_a_checkpoint_in_an_envelope_runs_through_the_command_line(folder, cli):
    import torch
    from safetensors.torch import load_file

    state = {f"module.{name}": tensor for name, tensor in load_file(folder / "weights.safetensors").items()}
    torch.save({"state_dict": state, "epoch": 3}, folder / "checkpoint.pt")
    (folder / "envelope.yaml").write_text((QUICK % "checkpoint.pt").replace("name: quick", "name: envelope"))
    done = cli("run", "envelope.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(folder / "runs" / "envelope" / "evidence.json")
    assert evidence.artifact("onnxruntime-cpu/fp32").accuracy.deployed > 0.9


class Payload:
    """An object whose unpickling runs a command."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.proof}",)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["plain", "torch", "torch legacy"])
def test_a_pickle_with_code_is_refused_and_the_code_is_not_run(folder, cli, tmp_path, how):
    import torch

    proof, weights = tmp_path / "ran", folder / "evil.pt"
    if how == "plain":
        weights.write_bytes(pickle.dumps({"state_dict": Payload(proof)}))
    else:
        torch.save({"state_dict": Payload(proof)}, weights, _use_new_zipfile_serialization=how == "torch")
    (folder / "evil.yaml").write_text((QUICK % "evil.pt").replace("name: quick", "name: evil"))
    done = cli("run", "evil.yaml", cwd=folder)
    assert done.returncode == 2
    assert "evil.pt" in done.stderr
    assert "never run" in done.stderr or "cannot be read as weights" in done.stderr
    assert "Traceback" not in done.stderr
    assert not proof.exists()
    assert not (folder / "runs" / "evil").exists()
