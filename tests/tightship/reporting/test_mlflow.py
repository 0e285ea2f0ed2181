"""`report --mlflow`: a run goes into MLflow's store and is read back from there by MLflow itself."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from artifacts.errors import RequestError, TargetUnavailable
from tightship.cli.main import app
from tightship.reporting.views.mlflow import log_run, metrics_of, parameters_of

IDS = ("torch-cpu/reference", "onnxruntime-cpu/int8-ptq", "onnxruntime-cpu/int8-ptq@two threads")


@pytest.fixture
def run_folder(artifact, evidence_of, tmp_path):
    """The folder of a run with three artifacts."""
    evidence = replace(
        evidence_of(*(artifact(name) for name in IDS)),
        recipe={"name": "made-up", "measure": {"processes": 3}, "targets": [{"name": "onnxruntime-cpu"}], "model": None},
    )
    (tmp_path / "run").mkdir()
    evidence.write(tmp_path / "run" / "evidence.json")
    return tmp_path / "run", evidence


def report(folder, *options):
    return CliRunner().invoke(app, ["report", str(folder), *options])


def test_a_run_is_read_back_from_the_store(run_folder, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    folder, evidence = run_folder
    answer = report(folder, "--mlflow-uri", str(tmp_path / "store"), "--json")
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.output)["mlflow"]
    client = mlflow.MlflowClient(told["store"])
    stored = client.get_run(told["run_id"])
    assert (stored.info.run_name, stored.info.status) == ("made-up", "FINISHED")
    assert stored.data.params["recipe.measure.processes"] == "3"
    assert json.loads(stored.data.params["recipe.targets"]) == [{"name": "onnxruntime-cpu"}]
    assert stored.data.params["machine.cpu"] == evidence.machine.cpu
    for record in evidence.artifacts:
        for name, value in metrics_of(record).items():
            assert stored.data.metrics[f"{name}/{record.id.replace('@', ':')}"] == value
    assert {"accuracy", "latency_p50_ms", "bytes", "peak_rss_mb"} <= metrics_of(evidence.artifacts[0]).keys()
    assert {f.path for f in client.list_artifacts(told["run_id"])} == {"evidence.json", "report.html"}
    kept = client.download_artifacts(told["run_id"], "evidence.json", str(tmp_path))
    assert Path(kept).read_text() == (folder / "evidence.json").read_text()


def test_the_same_evidence_is_logged_once(run_folder, tmp_path):
    pytest.importorskip("mlflow")
    folder, evidence = run_folder
    files, store = {"evidence.json": folder / "evidence.json"}, str(tmp_path / "store")
    first, second = log_run(evidence, files, store), log_run(evidence, files, store)
    assert (first.again, second.again) == (False, True)
    assert first.run_id == second.run_id
    replace(evidence, name="another").write(folder / "evidence.json")
    assert log_run(evidence, files, store).run_id != first.run_id


def test_by_default_the_store_is_a_folder_here(run_folder, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    answer = report(run_folder[0], "--mlflow")
    assert answer.exit_code == 0, answer.output
    assert "MLflow run" in answer.output
    assert (tmp_path / "mlruns").is_dir()


def test_a_store_that_cannot_be_opened_is_one_sentence(run_folder):
    pytest.importorskip("mlflow")
    folder, evidence = run_folder
    with pytest.raises(RequestError, match="MLflow cannot"):
        log_run(evidence, {"evidence.json": folder / "evidence.json"}, "nothing://here")


def test_without_the_package_the_command_that_brings_it_is_named(run_folder, monkeypatch):
    folder, evidence = run_folder
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'tightship\[mlflow\]'"):
        log_run(evidence, {"evidence.json": folder / "evidence.json"})


def test_it_does_not_go_with_several_runs(run_folder):
    folder, _ = run_folder
    answer = report(folder, str(folder), "--mlflow")
    assert isinstance(answer.exception, RequestError)


def test_parameters_are_flat_and_leave_out_what_was_not_said(run_folder):
    found = parameters_of(run_folder[1])
    assert "recipe.model" not in found
    assert all(isinstance(value, str) for value in found.values())
