"""The example with a runtime of its own, installed by pip, is a target like any other, from `targets` to a bundle's runner."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.manifest import safe_extract
from artifacts.records.evidence import read_evidence

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-runtime"
QUICK = {
    "epochs: 8": "epochs: 4",
    "accuracy_drop: 0.02": "accuracy_drop: 0.5",
    "processes: 2, blocks: 2, block_seconds: 0.1": "processes: 1, blocks: 1, block_seconds: 0.02",
}
PYTHON = sorted(EXAMPLE.rglob("*.py"))


def test_the_example_is_clean_and_short():
    kept = {p.relative_to(EXAMPLE).as_posix() for p in EXAMPLE.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert kept == {
        "README.md", "pyproject.toml", "recipe.yaml",
        *(f"own_runtime/{name}.py" for name in ("__init__", "loader", "runtime")),
    }  # fmt: skip
    assert sum(len(path.read_text().splitlines()) for path in PYTHON) < 80
    readme = (EXAMPLE / "README.md").read_text()
    for command in ("pip install --no-deps .", "tightship targets", "tightship run recipe.yaml"):
        assert f"    {command}\n" in readme


@pytest.fixture(scope="module")
def programs(installed):
    """The programs of an environment in which pip installed the wheel of tightship and the example."""
    return installed(EXAMPLE)


@pytest.fixture(scope="module")
def ran(programs, tmp_path_factory, cli):
    """The folder of its recipe's run, made quick."""
    folder = tmp_path_factory.mktemp("ran")
    recipe = (EXAMPLE / "recipe.yaml").read_text()
    for said, quick in QUICK.items():
        assert said in recipe
        recipe = recipe.replace(said, quick)
    (folder / "recipe.yaml").write_text(recipe)
    done = cli("run", "recipe.yaml", "--out", "out", cwd=folder, programs=programs)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


@pytest.mark.slow
def test_it_is_listed_and_probed(programs, cli):
    rows = json.loads(cli("targets", "--json", programs=programs).stdout)
    (row,) = [row for row in rows if row["target"] == "onnx-reference"]
    assert row["available"]
    assert "reference evaluator" in row["reason"]
    assert rows[0]["target"] == "torch-cpu", "ours come first"


@pytest.mark.slow
def test_it_is_made_checked_timed_and_judged_in_float_and_int8(ran):
    evidence = read_evidence(ran / "evidence.json")
    assert evidence.machine.versions["tightship-onnx-reference"] == "0.1.0"
    for precision in ("fp32", "int8-ptq"):
        record = evidence.artifact(f"onnx-reference/{precision}")
        assert record.parity.passed
        assert record.accuracy.deployed > 0.8
        assert record.latency_ms.p50 > 0
        assert record.placement.fallback["Conv"] > 5
        assert [gate.name for gate in record.gates] == ["accuracy_drop"]
        assert record.verdict in ("ship", "pass")
    assert "onnx-reference" in (ran / "report.html").read_text()


@pytest.mark.slow
def test_its_bundle_runs_where_the_plug_in_is_not(ran, tmp_path):
    (bundle,) = (ran / "bundles").glob("*.tar.gz")
    folder = safe_extract(bundle, tmp_path / "device")
    assert (folder / "code" / "own_runtime" / "loader.py").read_bytes() == (EXAMPLE / "own_runtime" / "loader.py").read_bytes()
    assert "onnx==" in (folder / "requirements.txt").read_text()
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-I", str(folder / "run.py"), "--selftest"]
    done = subprocess.run(command, capture_output=True, text=True, env=alone, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-test passed" in done.stdout


@pytest.mark.slow
def test_it_conforms(programs, environment, tmp_path):
    code = (
        "import tightship; from tightship.testing import check_runtime; "
        "print(len(check_runtime('onnx-reference')), tightship.__file__)"
    )
    command = [programs / "python", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr
    count, where = done.stdout.split()
    assert int(count) > 30
    assert Path(where).is_relative_to(programs.parent), "tightship itself is that of the wheel"


@pytest.mark.slow
def test_without_it_its_name_is_unknown_and_broken_it_is_a_row_in_doctor(programs, packages, cli, tmp_path):
    done = cli("plan", EXAMPLE / "recipe.yaml")
    assert done.returncode == 2
    assert "unknown target 'onnx-reference'" in done.stderr
    broken = tmp_path / "broken"
    for found in packages(programs).glob("*own_runtime*"), packages(programs).glob("*onnx_reference*"):
        for folder in found:
            shutil.copytree(folder, broken / folder.name)
    (broken / "own_runtime" / "__init__.py").write_text("import no_such_library\n")
    done = cli("plan", EXAMPLE / "recipe.yaml", programs=programs, PYTHONPATH=str(broken))
    assert done.returncode == 2
    assert (
        "'onnx-reference' of tightship-onnx-reference 0.1.0 cannot be used: own_runtime:TARGETS cannot be loaded" in done.stderr
    )
    rows = json.loads(cli("doctor", "--json", programs=programs, PYTHONPATH=str(broken)).stdout)
    (row,) = [row for row in rows if row["check"] == "plug-in onnx-reference"]
    assert not row["ok"]
    assert not row["core"]
    assert "ModuleNotFoundError: No module named 'no_such_library'" in row["says"]
    assert {"torch-cpu", "onnxruntime-cpu"} <= {row["check"] for row in rows}
