"""Schemes besides int8 through the real command line: files, parity, notes and accuracy in the evidence."""

import json

import pytest

RECIPE = """
name: schemes
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 2, learning_rate: 0.1}
compress:
  - quantize: {scheme: int8, weight_bits: 4, calibration_samples: 64, calibrator: mse, qat_epochs: 1, samples: 256}
targets:
  - {name: onnxruntime-cpu, precisions: [int8, fp16]}
  - {name: torchscript-cpu, precisions: [bf16]}
gates: {accuracy_drop: 0.5}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""


@pytest.mark.slow
def test_schemes_are_made_held_to_parity_and_measured(cli, tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = cli("run", tmp_path / "r.yaml", "--store", tmp_path / "store", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    artifacts = {a["id"]: a for a in evidence["artifacts"] if a["role"] == "compressed"}
    wanted = [*(f"onnxruntime-cpu/{p}" for p in ("int8-ptq", "int8-qat", "fp16")), "torchscript-cpu/bf16"]
    assert list(artifacts) == wanted
    assert all(a["parity"]["passed"] for a in artifacts.values())
    against = [a["parity"]["against"] for a in artifacts.values()]
    assert against == ["rounded weights", "simulated", "float", "float"]
    assert all(a["accuracy"]["deployed"] > 0.4 for a in artifacts.values())


def test_bf16_for_onnxruntime_is_refused_before_any_work(cli, tmp_path):
    text = RECIPE.replace("precisions: [int8, fp16]", "precisions: [bf16]")
    (tmp_path / "r.yaml").write_text(text)
    done = cli("plan", tmp_path / "r.yaml", "--store", tmp_path / "store")
    assert done.returncode == 2
    assert "onnxruntime-cpu does not run scheme bf16, which torchscript-cpu" in done.stderr + done.stdout
