"""The example with an operator of its own comes through the command line, and a wrong translation does not."""

import json
import shutil
from pathlib import Path

import pytest

from artifacts.records.evidence import read_evidence

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-operator"
RANGE = {"name": "batch", "min": 1, "max": 64, "opt": 8}
QUICK = {
    "epochs: 8": "epochs: 1",
    "accuracy_drop: 0.02": "accuracy_drop: 1.0",
    "processes: 3, blocks: 2": "processes: 1, blocks: 1, block_seconds: 0.02",
    ", {name: openvino-cpu, optional: true}": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cli):
    """A copy of the example, made quick, after its run."""
    copy = tmp_path_factory.mktemp("operator") / "own-operator"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", "runs", ".tightship"))
    recipe = (copy / "recipe.yaml").read_text()
    for said, quick in QUICK.items():
        assert said in recipe
        recipe = recipe.replace(said, quick)
    (copy / "recipe.yaml").write_text(recipe)
    done = cli("run", "recipe.yaml", cwd=copy)
    assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture(scope="module")
def evidence(folder):
    return read_evidence(folder / "runs" / "own-operator" / "evidence.json")


def test_the_example_is_clean():
    assert {p.name for p in EXAMPLE.iterdir()} - {"__pycache__"} == {"README.md", "gates.py", "nets.py", "recipe.yaml"}
    assert "    tightship run recipe.yaml\n" in (EXAMPLE / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8-ptq"])
def test_the_operator_is_translated_in_float_and_in_int8(folder, evidence, precision):
    import onnx

    record = evidence.artifact(f"onnxruntime-cpu/{precision}")
    assert record.parity.passed
    assert record.latency_ms.p50 > 0
    graph = onnx.load(folder / "runs" / "own-operator" / record.main).graph
    assert {n.domain for n in graph.node} <= {"", "ai.onnx"}
    assert sum(n.op_type == "Mul" for n in graph.node) == 4


@pytest.mark.slow
def test_ranges_stand_in_the_evidence_and_their_ends_were_compared(evidence):
    for record in evidence.artifacts:
        assert record.signature["ranges"] == [RANGE]
        assert {"batch = 1", "batch = 64"} <= set(record.parity.cases)


@pytest.mark.slow
def test_ranges_stand_in_the_bundle(folder):
    import tarfile

    (bundle,) = (folder / "runs" / "own-operator" / "bundles").glob("*.tar.gz")
    with tarfile.open(bundle) as archive:
        manifest = archive.extractfile(next(n for n in archive.getnames() if n.endswith("manifest.json")))
        assert json.load(manifest)["signature"]["ranges"] == [RANGE]


@pytest.mark.slow
@pytest.mark.parametrize("moved", [False, True], ids=["in the run", "moved away"])
def test_bench_refuses_a_batch_outside_the_range(folder, evidence, cli, tmp_path, moved):
    path = folder / "runs" / "own-operator" / evidence.artifact("onnxruntime-cpu/int8-ptq").main
    if moved:
        path = Path(shutil.copy(path, tmp_path / "away.onnx"))
    done = cli("bench", path, "--batch", "1,65")
    assert done.returncode == 2
    assert f"{path.name} at batch 65: 'batch' (axis 0 of input 'image') is 65, outside the range 1 to 64" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_wrong_translation_fails_parity_and_is_named(folder, cli):
    gates = folder / "gates.py"
    text = gates.read_text()
    gates.write_text(text.replace("0.5), 0.0, 1.0)", "0.7), 0.0, 1.0)"))
    assert gates.read_text() != text
    done = cli("run", "recipe.yaml", "--out", "wrong", cwd=folder)
    assert done.returncode == 1
    for precision in ("fp32", "int8-ptq"):
        parity = read_evidence(folder / "wrong" / "evidence.json").artifact(f"onnxruntime-cpu/{precision}").parity
        assert not parity.passed
        assert "at 'soft_gate" in parity.first_bad
