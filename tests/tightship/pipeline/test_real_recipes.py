"""The recipes on real data, shortened to what a test can wait for: what they promise holds on the deployed files."""

import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]

LIMIT = 1500
"""Seconds after which a run is taken to hang: one of them trains for five minutes on a slow machine."""

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.timeout(LIMIT + 60)]


def run(cli, tmp_path, name, change):
    """Run a recipe of ours with some of its keys changed, and give its evidence."""
    recipe = yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())
    recipe |= {"measure": {"processes": 2, "blocks": 1, "block_seconds": 0.1}}
    change(recipe)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = cli("run", str(path), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"), timeout=LIMIT)
    assert done.returncode in (0, 1), done.stderr
    return json.loads((tmp_path / "out" / "evidence.json").read_text())


def test_the_published_resnet20_keeps_its_accuracy_as_onnx_and_loses_little_as_int8(cli, tmp_path):
    def only_onnx(recipe):
        recipe["targets"] = ["onnxruntime-cpu"]
        recipe["gates"] = {"accuracy_drop": 0.003}

    evidence = run(cli, tmp_path, "cifar10-resnet20", only_onnx)
    found = {a["id"]: a for a in evidence["artifacts"]}
    assert evidence["verdict"]["passed"]
    assert all(a["accuracy"]["examples"] == 9_979 for a in found.values())
    reference = found["torch-cpu/reference"]["accuracy"]["deployed"]
    assert round(reference * 9_979) == 9_154
    assert abs(found["onnxruntime-cpu/fp32"]["accuracy"]["deployed"] - reference) <= 0.0002
    int8 = found["onnxruntime-cpu/int8-ptq"]
    assert reference - int8["accuracy"]["deployed"] <= 0.003
    assert int8["placement"]["fallback"] == {}


def test_fashion_mnist_goes_from_idx_files_to_judged_artifacts(cli, tmp_path):
    def short(recipe):
        few = {"samples": 4000, "batch_size": 32}
        recipe["train"] |= {**few, "epochs": 2, "learning_rate": 0.05}
        for stage in recipe["compress"]:
            (options,) = stage.values()
            options |= few
            if "epochs" in options:
                options |= {"epochs": 2, "learning_rate": 0.05}
            if "finetune_epochs" in options:
                options |= {"steps": 1, "finetune_epochs": 1, "learning_rate": 0.02}
        recipe["targets"] = ["onnxruntime-cpu"]
        recipe["gates"] = {"accuracy_drop": 0.5}

    evidence = run(cli, tmp_path, "fashion-mnist", short)
    stages = {s["name"]: s for s in evidence["stages"]}
    assert stages["prune"]["metrics"]["macs"] <= 0.5 * stages["distil"]["metrics"]["macs"]
    assert evidence["data"]["train"] == 60_000
    assert evidence["data"]["labels"][9] == "Ankle boot"
    deployed = {a["id"]: a["accuracy"]["deployed"] for a in evidence["artifacts"]}
    assert {"onnxruntime-cpu/fp32", "onnxruntime-cpu/int8-ptq", "onnxruntime-cpu/int8-qat"} <= set(deployed)
    assert min(deployed.values()) > 0.5
    assert all(a["parity"]["passed"] for a in evidence["artifacts"])


def test_training_at_4_bits_wins_back_half_of_what_rounding_lost(cli, tmp_path):
    def as_it_is(recipe):
        recipe["gates"] = {"accuracy_drop": 0.5}

    evidence = run(cli, tmp_path, "cifar10-resnet20-4bit", as_it_is)
    found = {a["id"]: a["accuracy"]["deployed"] for a in evidence["artifacts"]}
    plain = found["onnxruntime-cpu/fp32"]
    lost = plain - found["onnxruntime-cpu/int8-ptq"]
    assert lost > 0.01
    assert plain - found["onnxruntime-cpu/int8-qat"] <= 0.5 * lost
    assert all(a["parity"]["passed"] for a in evidence["artifacts"])
