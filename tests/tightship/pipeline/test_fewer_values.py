"""Factorized and palettized models through the command line: what ships is small, exact, and says how it is stored."""

import json

import pytest

HEAD = "name: small\nmodel: {zoo: resnet, depth: 8, width: 16}\ndata: {zoo: digits}\ntrain: {epochs: 3}\n"
TAIL = "targets: [onnxruntime-cpu]\ngates: {accuracy_drop: 0.3}\nmeasure: {processes: 2, blocks: 1, block_seconds: 0.02}\n"
LOW_RANK = "factorize: {macs: 0.8, align: 4, conv: spatial, finetune_epochs: 1, samples: 256}"
PALETTES = "palettize: {bits: 4, finetune_epochs: 1, samples: 256}"


@pytest.fixture(scope="module")
def ran(tmp_path_factory, cli):
    """The evidence of a chain of stages, by the stages; the runs share a store."""
    folder = tmp_path_factory.mktemp("fewer-values")

    def run(*stages):
        recipe, out = folder / "recipe.yaml", folder / f"out-{len(list(folder.iterdir()))}"
        recipe.write_text(HEAD + "compress:\n" + "".join(f"  - {stage}\n" for stage in stages) + TAIL)
        done = cli("run", recipe, "--store", folder / "store", "--out", out)
        assert done.returncode == 0, done.stderr
        return json.loads((out / "evidence.json").read_text()), out

    return run


@pytest.mark.slow
def test_a_factorized_model_is_quantized_and_passes_parity(ran):
    evidence, _ = ran("prune: {macs: 0.9, align: 4, finetune_epochs: 0}", LOW_RANK, "quantize: {calibration_samples: 64}")
    stage = next(s for s in evidence["stages"] if s["kind"] == "factorize")
    assert stage["details"]["layers"]
    assert stage["details"]["not_split"]
    assert stage["metrics"]["macs"] <= 0.8 * stage["details"]["macs_before"]
    made = {a["id"]: a for a in evidence["artifacts"]}
    for name in ("onnxruntime-cpu/fp32", "onnxruntime-cpu/int8-ptq"):
        assert made[name]["parity"]["passed"], made[name]["parity"]
    assert made["onnxruntime-cpu/int8-ptq"]["bytes"] < 0.5 * made["onnxruntime-cpu/fp32"]["bytes"]


@pytest.mark.slow
def test_a_palettized_model_ships_in_packed_bytes(ran):
    evidence, out = ran(LOW_RANK, PALETTES)
    made = next(a for a in evidence["artifacts"] if a["id"] == "onnxruntime-cpu/fp32")
    assert made["parity"]["passed"]
    assert made["format"] == "onnx"
    assert made["bytes"] == (out / made["main"]).stat().st_size
    stage = next(s for s in evidence["stages"] if s["kind"] == "palettize")
    assert all(values <= 16 for values in stage["details"]["values"].values())
    assert made["bytes"] < 0.25 * stage["metrics"]["bytes"]
    assert "weights: 16-entry palettes, packed 4 bit" in made["notes"]


@pytest.mark.parametrize(
    ("stage", "named"),
    [
        ("factorize: {}", "give exactly one of 'energy'"),
        ("factorize: {enrgy: 0.9}", "did you mean 'energy'"),
        ("palettize: {bits: 12}", "bits"),
        ("palettize: {kind: ternary, bits: 3}", "'bits' is for kind 'kmeans'"),
        ("palettise: {}", "did you mean 'palettize'"),
    ],
)
def test_a_wrong_stage_is_refused_in_one_line(cli, tmp_path, stage, named):
    (tmp_path / "recipe.yaml").write_text(HEAD + f"compress:\n  - {stage}\n" + TAIL)
    done = cli("plan", "recipe.yaml", "--store", "store", cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
