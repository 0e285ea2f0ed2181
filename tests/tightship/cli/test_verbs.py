"""Every verb on a finished run, read as a program would read it: by --json and by exit code."""

import json
import shutil

import pytest


@pytest.fixture
def ask(cli):
    """Runs a verb with --json and parses what it prints."""

    def call(*arguments, code=0):
        done = cli(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    return call


@pytest.fixture(scope="module")
def files(tiny_run):
    """The files of the tiny run by precision."""
    folder = tiny_run.out / "artifacts"
    return {
        "fp32": folder / "onnxruntime-cpu" / "fp32" / "model.onnx",
        "int8": folder / "onnxruntime-cpu" / "int8-ptq" / "model.onnx",
        "eager": folder / "torch-cpu" / "fp32" / "model.json",
    }


def test_run_says_where_it_wrote_and_what_is_best(ask, tiny_run, tmp_path):
    said = ask("run", tiny_run.recipe, "--store", tiny_run.store, "--out", tmp_path / "out")
    assert said["passed"] is True
    assert said["best"].startswith("onnxruntime-cpu/")
    assert said["out"] == str(tmp_path / "out")
    assert said["bundle"].startswith(str(tmp_path / "out" / "bundles"))


def test_run_tells_a_person_what_it_did(tiny_run):
    for text in ("evidence.json", "report.html", "bundles", "onnxruntime-cpu/fp32"):
        assert text in tiny_run.stdout
    assert "prune" in tiny_run.stderr
    assert "\x1b" not in tiny_run.stdout + tiny_run.stderr, "no colors where there is no terminal"


@pytest.mark.slow
def test_bench_measures_files_together(ask, files):
    rows = ask("bench", files["fp32"], files["eager"], "--processes", 2, "--seconds", 0.05)
    assert [r["target"] for r in rows] == ["onnxruntime-cpu", "torch-cpu"]
    for row in rows:
        assert row["p50_ms"] > 0
        assert row["ci95_ms"][0] <= row["p50_ms"] * 1.5
        assert (row["p99_ms"] is None) == (row["samples"] < 1000)
        assert row["throughput_per_s"] > 0
        assert row["processes"] == 2
    assert rows[0]["bytes"] == files["fp32"].stat().st_size
    assert rows[1]["bytes"] == sum(p.stat().st_size for p in files["eager"].parent.iterdir())


def test_bench_counts_every_sidecar_of_a_foreign_file(ask, files, tmp_path):
    import onnx

    model = onnx.load(files["fp32"])
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="numbers.bin", size_threshold=100)
    (row,) = ask("bench", tmp_path / "net.onnx", "--processes", 1, "--seconds", 0.02)
    assert row["bytes"] == sum(p.stat().st_size for p in tmp_path.iterdir())


@pytest.mark.parametrize("shape", [[4, 3], [1, "steps"], ["batch", 3], ["a", "b"]], ids=str)
def test_bench_runs_foreign_files_of_any_shape(ask, tmp_path, shape):
    from onnx import TensorProto, checker, helper, save

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    checker.check_model(model)
    save(model, tmp_path / "net.onnx")
    (row,) = ask("bench", tmp_path / "net.onnx", "--processes", 1, "--seconds", 0.02)
    assert row["p50_ms"] > 0
    assert row["batch"] == (4 if shape == [4, 3] else 1)


def test_bench_refuses_what_it_cannot_open(cli, tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"not a model")
    (tmp_path / "a.bin").write_bytes(b"x")
    (tmp_path / "a.pt").write_bytes(b"x")
    for name, named in (("a.onnx", "not an ONNX file"), ("a.bin", "known endings"), ("a.pt", "--inputs")):
        done = cli("bench", tmp_path / name)
        assert done.returncode == 2
        assert named in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_compare_claims_a_speed_up_only_with_its_interval(ask, files):
    said = ask("compare", files["eager"], files["fp32"], "--processes", 3, "--seconds", 0.05)
    assert {"verdict", "ratio", "ci", "a_ms", "b_ms"} <= set(said)
    low, high = said["ci"]
    assert low <= said["ratio"] <= high
    wanted = "faster" if low > 1 else "slower" if high < 1 else "no difference shown"
    assert said["verdict"] == wanted


def test_gate_agrees_with_the_run_and_takes_other_limits(ask, cli, tiny_run):
    said = ask("gate", tiny_run.out)
    assert {row["name"] for row in said} == {"accuracy_drop", "parity"}
    assert all(row["passed"] for row in said)
    said = ask("gate", tiny_run.out, "--limit", "size_mb=0.000001", "--limit", "accuracy_min=0.01", code=1)
    assert {row["name"]: row["passed"] for row in said} == {"size_mb": False, "accuracy_min": True, "parity": True}
    assert cli("gate", tiny_run.out, "--limit", "sise_mb=1").returncode == 2
    assert cli("gate", tiny_run.out, "--artifact", "x/y").returncode == 2
    assert "pass" in cli("gate", tiny_run.out).stdout


def test_a_run_that_misses_a_limit_is_1_and_its_evidence_says_why(cli, tiny_run, tmp_path):
    strict = tmp_path / "strict.yaml"
    strict.write_text(tiny_run.recipe.read_text().replace("accuracy_drop: 1.0", "size_mb: 0.000001"))
    done = cli("run", strict, "--store", tiny_run.store, "--out", tmp_path / "out")
    assert done.returncode == 1
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert evidence["verdict"]["passed"] is False
    assert "size_mb" in evidence["verdict"]["reasons"][0]
    assert {a["verdict"] for a in evidence["artifacts"]} == {"reference", "fail"}
    assert cli("gate", tmp_path / "out").returncode == 1
    assert cli("bundle", tmp_path / "out").returncode == 2


def test_report_writes_its_views_elsewhere(ask, tiny_run, tmp_path):
    said = ask("report", tiny_run.out, "--out", tmp_path)
    assert said["passed"] is True
    assert {"report.html", "junit.xml", "summary.md"} <= {p.name for p in tmp_path.iterdir()}
    assert all(str(tmp_path) in name for name in said["files"])


def test_a_bundle_is_packed_and_verified_and_a_changed_one_refused(ask, cli, tiny_run, tmp_path):
    said = ask("bundle", tiny_run.out, "--out", tmp_path, "--artifact", "onnxruntime-cpu/int8-qat")
    verified = ask("verify", said["bundle"])
    assert verified["artifact"] == "onnxruntime-cpu/int8-qat"
    shutil.unpack_archive(said["bundle"], tmp_path / "open")
    (folder,) = (tmp_path / "open").iterdir()
    assert ask("verify", folder)["files"] == verified["files"]
    (folder / "README.md").write_text("changed")
    done = cli("verify", folder)
    assert done.returncode == 2
    assert "README.md" in done.stderr


@pytest.mark.slow
def test_inspect_lists_layers_whose_sums_are_those_of_the_evidence(ask, cli, tiny_run):
    rows = ask("inspect", tiny_run.recipe)
    evidence = json.loads((tiny_run.out / "evidence.json").read_text())
    stages = evidence["stages"]
    counted = next(s["metrics"] for s in stages if s["name"] == "reference")
    assert sum(r["parameters"] for r in rows) == counted["parameters"]
    assert sum(r["macs"] for r in rows) == pytest.approx(counted["macs"], rel=0.01)
    # the reference is the network that was inspected, in float
    held = next(a["activation_bytes"] for a in evidence["artifacts"] if a["role"] == "reference")
    assert f"activations at once: at most {held / 4:,.0f} numbers, {held:,.0f} bytes" in cli("inspect", tiny_run.recipe).stdout


@pytest.mark.slow
def test_targets_zoo_and_doctor_answer_with_lists(ask, target_rows):
    assert {"torch-cpu", "onnxruntime-cpu"} <= {row["target"] for row in target_rows if row["available"]}
    entries = ask("zoo")
    assert {"resnet", "digits"} <= {e["name"] for e in entries}
    assert all(e["about"] for e in entries)
    checks = {row["check"]: row["ok"] for row in ask("doctor")}
    assert checks["packages"]
    assert checks["torch"]
