"""A target of another system: its files are made and checked, shown as converted, and never called run."""

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from artifacts.files import sha256_file
from artifacts.records import evidence as ev
from runtimes.registry import find
from tightship.planning.plan import make_plan
from tightship.reporting.views import html, junit, markdown, tables, terminal

RECIPE = """
name: apple
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1}
compress: [{quantize: {scheme: int8-weights, calibration_samples: 64}}]
targets:
  - {name: onnxruntime-cpu, precisions: [fp32]}
  - {name: coreml, optional: true, precisions: [fp32, int8-weights, palette4-weights]}
gates: {accuracy_drop: 1.0}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""

elsewhere = pytest.mark.skipif(not find("coreml").runs_elsewhere, reason="on macOS the target runs")


def record(precision="int8-weights"):
    main = f"artifacts/coreml/{precision}/model.mlpackage"
    files = tuple(ev.FileRecord(f"{main}/{n}", "ab" * 32, 100) for n in ("Manifest.json", "Data/model.mlmodel"))
    checked = {"weights": "19,464 values in int8", "needs": "iOS 16, macOS 13 or later"}
    return ev.ConvertedRecord(f"coreml/{precision}", precision, "coreml", main, files, 200, {}, checked)


@pytest.fixture
def evidence(evidence_of, artifact):
    """A run with one artifact, a target whose file was converted, and one that was not even that."""
    made = evidence_of(artifact("torch-cpu/reference"), artifact(verdict="ship"))
    absent = (ev.NotRun("coreml", "Core ML runs on macOS only", (record(),)), ev.NotRun("tensorrt", "no NVIDIA GPU here"))
    return replace(made, not_run=absent)


def test_the_plan_makes_its_files_and_neither_checks_nor_measures_them(recipe_from):
    plan = make_plan(recipe_from(RECIPE), "m", frozenset(("coreml",)), frozenset(("coreml",)))
    steps = {s.name: s for s in plan.steps}
    assert [str(a.id) for a in plan.converted] == [f"coreml/{p}" for p in ("fp32", "int8-weights", "palette4-weights")]
    assert all(steps[a.export_step].kind == "convert" for a in plan.converted)
    assert not any(name.startswith("check coreml") for name in steps)
    assert not any("coreml" in needed for needed in steps["measure"].needs.values())
    without = make_plan(recipe_from(RECIPE), "m", frozenset(("coreml",)))
    assert not any("coreml" in step.name for step in without.steps)
    assert {k: plan.keys[k] for k in without.keys} == without.keys


def test_the_evidence_keeps_the_files_apart_from_what_ran(evidence, tmp_path):
    evidence.write(tmp_path / "evidence.json")
    read = ev.read_evidence(tmp_path / "evidence.json")
    assert read.not_run == evidence.not_run
    assert "coreml" not in {a.target for a in read.artifacts}


def test_evidence_of_before_is_still_read(evidence, tmp_path):
    evidence.write(tmp_path / "evidence.json")
    old = json.loads((tmp_path / "evidence.json").read_text())
    for missing in old["not_run"]:
        del missing["converted"]
    for made in old["artifacts"]:
        del made["parity"]["reproducer"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert ev.read_evidence(tmp_path / "old.json").not_run[0] == ev.NotRun("coreml", "Core ML runs on macOS only")


def test_every_view_says_converted_not_run(evidence):
    out = Console(file=io.StringIO(), width=200)
    terminal.print_table(evidence, out)
    views = [out.file.getvalue(), markdown.summary(evidence), html.render(evidence), junit.render(evidence)]
    for text in views:
        assert "converted, not run" in text.lower()
        assert "coreml/int8-weights" in text.replace("\\", "")
        assert "no NVIDIA GPU here" in text
    assert all("19,464 values in int8" in text for text in views[1:])


def test_the_tables_give_a_file_its_bytes_and_no_figure_that_was_not_measured(evidence):
    found = {row["artifact"] or row["target"]: row for row in csv.DictReader(io.StringIO(tables.as_csv(evidence)))}
    row = found["coreml/int8-weights"]
    assert (row["verdict"], row["size_bytes"]) == ("converted, not run", "200")
    assert not any(row[name] for name in row if name.startswith(("accuracy", "latency", "parity", "speedup", "throughput")))
    assert found["tensorrt"]["verdict"] == "not run"
    alone = replace(evidence, artifacts=(), not_run=evidence.not_run[::-1])
    assert [row["size_bytes"] for row in csv.DictReader(io.StringIO(tables.as_csv(alone)))] == ["", "200"]


@elsewhere
def test_a_target_that_must_run_is_refused_before_any_work_where_that_is_asked_for(cli, tmp_path):
    pytest.importorskip("coremltools")
    (tmp_path / "r.yaml").write_text(RECIPE.replace("optional: true, ", ""))
    for verb in (("run", "--fail-fast", "--out", tmp_path / "out"), ("plan",)):
        done = cli(verb[0], tmp_path / "r.yaml", "--store", tmp_path / "store", *verb[1:])
        assert done.returncode == 3
        assert "optional: true" in done.stderr + done.stdout
    assert not (tmp_path / "out" / "evidence.json").exists()


@elsewhere
@pytest.mark.slow
def test_a_run_ships_what_it_ran_and_lays_the_packages_beside_it(cli, tmp_path):
    pytest.importorskip("coremltools")
    (tmp_path / "r.yaml").write_text(RECIPE)
    out = tmp_path / "out"
    done = cli("run", tmp_path / "r.yaml", "--store", tmp_path / "store", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "converted, not run" in done.stdout
    evidence = ev.read_evidence(out / "evidence.json")
    assert evidence.verdict.shipped == ("onnxruntime-cpu/fp32",)
    (missing,) = evidence.not_run
    assert missing.reason == "Core ML runs on macOS only"
    assert [c.id for c in missing.converted] == [f"coreml/{p}" for p in ("fp32", "int8-weights", "palette4-weights")]
    for made in missing.converted:
        assert (out / made.main).is_dir()
        assert len(made.files) == 3
        assert all(sha256_file(out / f.path) == f.sha256 for f in made.files)
        assert made.bytes == sum((out / f.path).stat().st_size for f in made.files)
        assert made.checked["weights"]
