"""One failure is one row: a target that refuses, crashes, hangs or is missing costs its own; all else is measured."""

import json
from xml.etree import ElementTree

import pytest

from artifacts.records.evidence import read_evidence

PLUG_IN = """\
from artifacts.types import Availability
from runtimes.base import Runtime
from runtimes.target import Target
import faulty_loader

class Faulty(Runtime):
    session = faulty_loader.Program

    def probe(self):
        return Availability(True, "it works")

    def open(self, engine, threads):
        return faulty_loader.Program(engine, threads)

TARGETS = tuple(
    Target(name, f"faulty:{name.title()}", ("onnx",), None, ("onnxruntime", "faulty"), loader="faulty_loader:Program")
    for name in ("refuses", "crashes", "hangs", "tires")
)
for one in TARGETS:
    globals()[one.name.title()] = type(one.name.title(), (Faulty,), {"target": one.name})
"""
LOADER = """\
import os, time
from artifacts.errors import ModelError

class Program:
    def __init__(self, engine, threads):
        import onnxruntime
        if engine.target == "refuses":
            print("the library says why", flush=True)
            raise ModelError("it does not like this file.")
        self.target, self.calls = engine.target, 0
        self.session = onnxruntime.InferenceSession(str(engine.path), providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self.session.get_outputs()]

    def run(self, inputs):
        self.calls += 1
        if self.target == "crashes":
            os._exit(7)
        if self.target == "hangs":
            time.sleep(3600)
        if self.target == "tires" and self.calls > 60:
            os._exit(9)
        return dict(zip(self.names, self.session.run(None, inputs)))
"""
ODD = """\
from torch import nn

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, image, *more):
        return self.fc(image.flatten(1))
"""
RECIPE = """\
name: several
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1}
targets: [onnxruntime-cpu, refuses, crashes, hangs, tires, {name: torchscript-cpu, precisions: [fp32]}]
gates: {accuracy_drop: 1.0}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""
WANTED = {
    "refuses/fp32": ("check", "ModelError", "it does not like this file"),
    "crashes/fp32": ("check", "StageCrashed", "died (exit code 7)"),
    "hangs/fp32": ("check", "StageCrashed", "did not answer 'open' in 8 s"),
    "tires/fp32": ("measure", "StageCrashed", "died (exit code 9)"),
}
GOOD = {"torch-cpu/reference", "onnxruntime-cpu/fp32", "torchscript-cpu/fp32"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with four faulty targets that are installed, and a recipe that names them beside two good ones."""
    folder = tmp_path_factory.mktemp("several")
    info = folder / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    names = "".join(f"{target} = faulty:TARGETS\n" for target in ("refuses", "crashes", "hangs", "tires"))
    (info / "entry_points.txt").write_text(f"[tightship.runtimes]\n{names}")
    (folder / "faulty.py").write_text(PLUG_IN)
    (folder / "faulty_loader.py").write_text(LOADER)
    (folder / "several.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def several(place, cli):
    return cli("run", "several.yaml", "--out", "out", cwd=place, PYTHONPATH=str(place), TIGHTSHIP_TIMEOUT="8")


@pytest.mark.slow
def test_everything_else_is_measured_and_judged_and_the_run_fails(several, place):
    assert several.returncode == 1, several.stderr
    evidence = read_evidence(place / "out" / "evidence.json")
    assert {a.id for a in evidence.artifacts} == GOOD
    assert all(a.latency_ms.p50 > 0 for a in evidence.artifacts)
    assert set(evidence.verdict.shipped) == GOOD - {"torch-cpu/reference"}
    assert not evidence.verdict.passed
    assert len(evidence.verdict.reasons) == len(WANTED)


@pytest.mark.slow
def test_each_failure_stands_in_every_view_with_stage_sentence_and_log(several, place, cli):
    evidence = read_evidence(place / "out" / "evidence.json")
    failed = {failure.id: failure for failure in evidence.failed}
    assert failed.keys() == WANTED.keys()
    out = place / "out"
    junit = ElementTree.parse(out / "junit.xml")
    cases = {case.get("classname"): case for case in junit.iter("testcase") if case.find("failure") is not None}
    for name, (stage, kind, says) in WANTED.items():
        assert (failed[name].stage, failed[name].kind) == (stage, kind)
        assert says in failed[name].reason
        for view in (several.stdout, (out / "summary.md").read_text(), (out / "report.html").read_text()):
            assert name in view.replace("\\", "")
        assert cases[name].get("name") == stage
        assert says in cases[name].find("failure").get("message")
    rows = {row["artifact"]: row for row in json.loads(cli("report", out, "--format", "json").stdout)}
    assert {name: rows[name]["verdict"] for name in WANTED} == {n: f"failed at {stage}" for n, (stage, *_) in WANTED.items()}
    assert "the library says why" in (out / failed["refuses/fp32"].log).read_text()


@pytest.mark.slow
def test_the_gate_judges_what_failed_too(several, place, cli):
    done = cli("gate", place / "out", "--json")
    assert done.returncode == 1
    made = {row["artifact"]: row for row in json.loads(done.stdout) if row["name"] == "made"}
    assert made.keys() == WANTED.keys()
    assert not any(row["passed"] for row in made.values())


@pytest.mark.slow
def test_a_run_that_fails_fast_ends_there(several, place, cli):
    done = cli("run", "several.yaml", "--out", "fast", "--fail-fast", cwd=place, PYTHONPATH=str(place), TIGHTSHIP_TIMEOUT="8")
    assert done.returncode == 2, done.stderr
    assert "refuses: it does not like this file." in done.stderr
    assert not (place / "fast" / "evidence.json").exists()


@pytest.mark.slow
def test_a_script_that_cannot_be_made_is_one_row_and_is_made_only_where_it_is_asked_for(tmp_path, cli):
    (tmp_path / "odd.py").write_text(ODD)
    recipe = RECIPE.replace("{zoo: resnet, depth: 8, width: 8}", '{factory: "odd:Odd"}').split("targets:")[0]
    recipe += "gates: {accuracy_drop: 1.0}\nmeasure: {processes: 1, blocks: 1, block_seconds: 0.02}\n"
    codes = {}
    for name, precisions in (("plain", ""), ("scripted", ", precisions: [fp32, fp32-script]")):
        (tmp_path / f"{name}.yaml").write_text(f"{recipe}targets: [{{name: torchscript-cpu{precisions}}}]\n")
        codes[name] = cli("run", f"{name}.yaml", "--out", name, "--store", "store", cwd=tmp_path).returncode
    assert codes == {"plain": 0, "scripted": 1}
    (failed,) = read_evidence(tmp_path / "scripted" / "evidence.json").failed
    assert (failed.id, failed.stage, failed.kind) == ("torchscript-cpu/fp32-script", "export", "ModelError")
    assert read_evidence(tmp_path / "scripted" / "evidence.json").artifact("torchscript-cpu/fp32").verdict == "ship"


@pytest.mark.slow
def test_a_ranking_that_fails_costs_the_ranking_alone(tmp_path, cli):
    recipe = RECIPE.split("targets:")[0] + "compress: [{quantize: {scheme: int8, calibration_samples: 1250}}]\n"
    recipe += "targets: [{name: onnxruntime-cpu, precisions: [int8]}]\ngates: {accuracy_drop: 1.0}\n"
    recipe += "measure: {processes: 1, blocks: 1, block_seconds: 0.02, sensitivity: true}\n"
    (tmp_path / "ranked.yaml").write_text(recipe)
    done = cli("run", "ranked.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    evidence, name = read_evidence(tmp_path / "out" / "evidence.json"), "onnxruntime-cpu/int8-ptq"
    (failed,) = evidence.failed
    assert (failed.id, failed.stage, failed.kind) == (name, "sensitivity", "ModelError")
    assert "lower calibration_samples 1250" in failed.reason
    made = evidence.artifact(name)
    assert (made.verdict, made.sensitivity, evidence.verdict.best) == ("ship", None, name)
    assert made.latency_ms.p50 > 0
    assert (tmp_path / "out" / made.main).is_file()
    assert "sensitivity" not in {stage.kind for stage in evidence.stages}
    rows = json.loads(cli("report", tmp_path / "out", "--format", "json").stdout)
    (row,) = [row for row in rows if row["artifact"] == name]
    assert row["verdict"] == "ship"
    assert row["failed"] == f"sensitivity: {failed.reason}"
    gated = json.loads(cli("gate", tmp_path / "out", "--json").stdout)
    assert {row["name"] for row in gated if row["artifact"] == name and not row["passed"]} == {"ranked"}


@pytest.mark.slow
def test_a_target_that_is_missing_is_a_row_and_exit_code_3(tiny_run, tmp_path, cli, target_rows):
    missing = next(row["target"] for row in target_rows if not row["available"] and "cuda" in row["target"])
    recipe = tiny_run.recipe.read_text().replace("targets: [torch-cpu,", f"targets: [torch-cpu, {missing},")
    (tmp_path / "tiny.yaml").write_text(recipe)
    done = cli("run", tmp_path / "tiny.yaml", "--store", tiny_run.store, "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    evidence = read_evidence(tmp_path / "out" / "evidence.json")
    (failed,) = evidence.failed
    assert (failed.id, failed.stage, failed.precision) == (missing, "probe", None)
    assert evidence.verdict.missing_only
    assert evidence.verdict.best, "what ships elsewhere is still said"
    assert missing in done.stdout
    done = cli("run", tmp_path / "tiny.yaml", "--store", tiny_run.store, "--out", tmp_path / "fast", "--fail-fast")
    assert (done.returncode, f"target {missing!r} cannot run here" in done.stderr) == (3, True)
