"""Every target that works here, end to end: files in float and int8, parity, accuracy, and a bundle that tests itself."""

import json
import subprocess
import sys

import pytest

from artifacts.manifest import safe_extract
from artifacts.records.evidence import read_evidence
from runtimes.registry import TARGETS
from tightship.bundling.pack import unpackable

RECIPE = """\
name: everywhere
model: {{zoo: resnet, depth: 8, width: 8}}
data: {{zoo: digits}}
train: {{epochs: 6, learning_rate: 0.1}}
compress:
  - quantize: {{scheme: int8, calibration_samples: 128, qat_epochs: 1, samples: 512}}
targets: [{{name: {target}, optional: true{more}}}]
gates: {{accuracy_drop: 0.05}}
measure: {{processes: 1, blocks: 1, block_seconds: 0.02}}
"""
MORE = {"executorch-xnnpack": ", options: {bundled: true}"}
SHIPPING = [t.name for t in TARGETS.values() if not t.reference]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Shared, so that the network is trained once."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.slow
@pytest.mark.parametrize("target", SHIPPING)
def test_a_target_makes_runs_measures_and_packs_its_files(cli, store, tmp_path, target, target_rows):
    row = next(r for r in target_rows if r["target"] == target)
    if not row["available"]:
        pytest.skip(row["reason"])
    (tmp_path / "r.yaml").write_text(RECIPE.format(target=target, more=MORE.get(target, "")))
    done = cli("run", tmp_path / "r.yaml", "--store", store, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((tmp_path / "out" / "evidence.json").read_text())["artifacts"]
    mine = [a for a in made if a["target"] == target]
    precisions = [a["precision"] for a in mine]
    wanted = TARGETS[target]
    assert "fp32" in precisions
    assert ("int8-ptq" in precisions) == (wanted.quantizer is not None)
    assert ("int8-qat" in precisions) == wanted.qat
    for artifact in mine:
        assert artifact["parity"]["passed"], artifact["parity"]
        assert artifact["accuracy"]["deployed"] > 0.9
        assert artifact["placement"]["accelerated"] or artifact["placement"]["fallback"]
        assert artifact["bytes"] == sum(f["bytes"] for f in artifact["files"])
    packed = read_evidence(tmp_path / "out" / "evidence.json").artifact(mine[-1]["id"])
    if wanted.environment is None and not unpackable(packed):
        bundled = cli("bundle", tmp_path / "out", "--artifact", mine[-1]["id"], "--json")
        assert bundled.returncode == 0, bundled.stderr
        folder = safe_extract(json.loads(bundled.stdout)["bundle"], tmp_path / "device")
        assert (folder / "selftest" / "model.bpte").is_file() == (target in MORE)
        assert any("selftest/model.bpte is the program" in note for note in packed.notes) == (target in MORE)
        command = [sys.executable, str(folder / "run.py"), "--selftest"]
        tested = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert tested.returncode == 0, tested.stdout + tested.stderr
