"""A run through the real command line: its evidence is whole and true, and running it again does nothing twice."""

import hashlib
import json
import subprocess
import sys
import textwrap

import pytest

from artifacts.records.evidence import read_evidence

ARTIFACT_FIELDS = {
    "target", "precision", "files", "parity", "accuracy", "latency_ms", "throughput_per_s", "cold_start_ms", "peak_rss_mb",
    "placement", "gates", "verdict",
}  # fmt: skip


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(folder):
    return {p.relative_to(folder).as_posix(): digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def evidence(tiny_run):
    """The evidence of the tiny run as plain JSON."""
    return json.loads((tiny_run.out / "evidence.json").read_text())


def test_the_evidence_has_every_part_that_was_promised(evidence):
    assert {"schema", "machine", "recipe", "stages", "artifacts", "not_run", "verdict", "name", "command"} <= set(evidence)
    assert {"cpu", "isa", "cores", "versions", "governor", "os"} <= set(evidence["machine"])
    for stage in evidence["stages"]:
        assert {"key", "cached", "seconds", "metrics"} <= set(stage)
    for artifact in evidence["artifacts"]:
        assert set(artifact) >= ARTIFACT_FIELDS
        assert {"reference", "simulated", "deployed"} <= set(artifact["accuracy"])
        assert {"p50", "p90", "p99", "ci95", "samples"} <= set(artifact["latency_ms"])
        assert all({"path", "sha256", "bytes"} == set(f) for f in artifact["files"])
        assert all({"name", "limit", "value", "passed"} <= set(g) for g in artifact["gates"])


def test_every_artifact_that_was_asked_for_is_there(evidence):
    wanted = ["torch-cpu/reference", "torch-cpu/fp32", *(f"onnxruntime-cpu/{p}" for p in ("fp32", "int8-ptq", "int8-qat"))]
    assert [a["id"] for a in evidence["artifacts"]] == wanted
    assert [s["name"] for s in evidence["stages"]][:4] == ["data", "reference", "prune", "quantize"]


def test_hashes_and_sizes_are_those_of_the_files(tiny_run, evidence):
    listed = {}
    for artifact in evidence["artifacts"]:
        for file in artifact["files"]:
            path = tiny_run.out / file["path"]
            assert (digest(path), path.stat().st_size) == (file["sha256"], file["bytes"])
            listed[file["path"]] = file["sha256"]
        assert artifact["bytes"] == sum(f["bytes"] for f in artifact["files"])
        assert artifact["main"] in {f["path"] for f in artifact["files"]}
    found = digests(tiny_run.out / "artifacts")
    assert {f"artifacts/{name}": value for name, value in found.items()} == listed


def test_the_three_accuracies_stand_where_they_exist(evidence):
    by_id = {a["id"]: a["accuracy"] for a in evidence["artifacts"]}
    assert by_id["onnxruntime-cpu/int8-qat"]["simulated"] is not None
    assert by_id["onnxruntime-cpu/int8-ptq"]["simulated"] is None
    assert all(a["examples"] == 540 for a in by_id.values())
    assert by_id["torch-cpu/reference"]["deployed"] == by_id["torch-cpu/fp32"]["reference"]


def test_the_accuracy_is_that_of_the_shipped_file(tiny_run, evidence):
    import numpy as np
    import onnxruntime

    from zoo.readers import read_digits

    test = read_digits().test
    inputs, targets = test.batch(np.arange(len(test)))
    for artifact in evidence["artifacts"]:
        if artifact["format"] != "onnx":
            continue
        session = onnxruntime.InferenceSession(str(tiny_run.out / artifact["main"]))
        (name,) = (i.name for i in session.get_inputs())
        found = session.run(None, {name: next(iter(inputs.values()))})[0].argmax(axis=1)
        assert artifact["accuracy"]["deployed"] == pytest.approx((found == targets).mean(), abs=2 / len(targets))


def test_measured_figures_are_consistent(evidence):
    for artifact in evidence["artifacts"]:
        latency = artifact["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"]
        assert (latency["p99"] is None) == (latency["samples"] < 1000)
        assert latency["processes"] == 2
        assert len(latency["curve"]) == 101
        assert latency["curve"] == sorted(latency["curve"])
        assert artifact["cold_start_ms"] > 0
        assert sum(artifact["cold_start_parts_ms"].values()) == pytest.approx(artifact["cold_start_ms"], rel=1e-6)
        assert artifact["peak_rss_mb"] > 10
        assert artifact["parity"]["passed"]
        assert len(artifact["parity"]["cases"]) >= 3
    fast = next(a for a in evidence["artifacts"] if a["id"] == "onnxruntime-cpu/fp32")
    assert fast["speedup"]["baseline"] == "torch-cpu/reference"
    assert fast["peak_rss_mb"] < next(a for a in evidence["artifacts"] if a["id"] == "torch-cpu/fp32")["peak_rss_mb"]


def test_macs_and_parameters_are_measured_and_pruning_lowered_them(evidence):
    stages = {s["name"]: s["metrics"] for s in evidence["stages"]}
    assert stages["prune"]["macs"] <= 0.7 * stages["reference"]["macs"]
    assert stages["prune"]["parameters"] < stages["reference"]["parameters"]


def test_the_run_folder_holds_what_was_promised_and_nothing_half_made(tiny_run):
    found = {p.name for p in tiny_run.out.iterdir()}
    assert {"evidence.json", "report.html", "junit.xml", "summary.md", "artifacts", "selftest", "bundles"} == found
    assert len(list((tiny_run.out / "bundles").iterdir())) == 1


@pytest.fixture(scope="module")
def again(tiny_run, cli, tmp_path_factory):
    """The same run twice more, into one new folder: what lay there after each."""
    out = tmp_path_factory.mktemp("again") / "out"
    found = []
    for _ in range(2):
        done = cli("run", tiny_run.recipe, "--store", tiny_run.store, "--out", out)
        assert done.returncode == 0, done.stderr
        found.append((digests(out), read_evidence(out / "evidence.json")))
    return found


def test_a_second_run_finds_everything_in_the_store(tiny_run, again):
    assert not any(s.cached for s in read_evidence(tiny_run.out / "evidence.json").stages)
    assert all(s.cached for _, evidence in again for s in evidence.stages)


def test_a_second_run_ships_the_same_bytes(tiny_run, again):
    first, (second, _), (third, _) = digests(tiny_run.out), *again
    for kind in ("artifacts/", "selftest/"):
        assert {k: v for k, v in first.items() if k.startswith(kind)} == {k: v for k, v in second.items() if k.startswith(kind)}
    # evidence says what was cached, so only runs that found the same in the store agree on it, and on the bundle around it
    assert second == third


def test_a_second_run_judges_alike(tiny_run, again):
    first = read_evidence(tiny_run.out / "evidence.json")
    assert again[0][1].artifacts == first.artifacts
    assert again[0][1].verdict == first.verdict


def test_a_second_run_does_not_import_torch(tiny_run, environment, tmp_path):
    program = textwrap.dedent("""
        import json, sys
        sys.argv = ["tightship", *sys.argv[1:]]
        from tightship.cli.main import main
        try:
            main()
        except SystemExit as end:
            print(json.dumps([end.code, [m for m in ("torch", "onnx", "onnxruntime", "sklearn") if m in sys.modules]]))
    """)
    arguments = ["run", str(tiny_run.recipe), "--store", str(tiny_run.store), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_a_bundle_of_an_earlier_run_does_not_outlive_it(tiny_run, cli, tmp_path):
    out, strict = tmp_path / "out", tmp_path / "strict.yaml"
    assert cli("run", tiny_run.recipe, "--store", tiny_run.store, "--out", out).returncode == 0
    assert list((out / "bundles").iterdir())
    strict.write_text(tiny_run.recipe.read_text().replace("accuracy_drop: 1.0", "size_mb: 0.000001"))
    done = cli("run", strict, "--store", tiny_run.store, "--out", out)
    assert done.returncode == 1, done.stderr
    assert not list((out / "bundles").glob("*"))


def test_what_a_killed_run_left_in_the_run_folder_is_swept_away(tiny_run, cli, tmp_path):
    out = tmp_path / "out"
    for name in (".artifacts.abc123", ".selftest.abc123"):
        (out / name).mkdir(parents=True)
        (out / name / "half").write_text("half")
    assert cli("run", tiny_run.recipe, "--store", tiny_run.store, "--out", out).returncode == 0
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]


def test_a_flipped_bit_in_the_store_is_made_good(tiny_run, cli, tmp_path):
    import shutil

    store = tmp_path / "store"
    shutil.copytree(tiny_run.store, store)
    stages = {s.name: s.key for s in read_evidence(tiny_run.out / "evidence.json").stages}
    key = stages["export onnxruntime-cpu/int8-ptq"]
    path = store / "entries" / key[:2] / key / "files" / "model.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    done = cli("run", tiny_run.recipe, "--store", store, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "out" / "artifacts") == digests(tiny_run.out / "artifacts")
    rebuilt = [s.name for s in read_evidence(tmp_path / "out" / "evidence.json").stages if not s.cached]
    assert rebuilt == ["export onnxruntime-cpu/int8-ptq"]
    assert [p.name.partition("-")[0] for p in (store / "corrupt").iterdir()] == [key]
