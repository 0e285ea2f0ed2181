"""The flat table has a row for each artifact, units in its columns, and the figures of the evidence."""

import csv
import io
import json
from dataclasses import replace

import pytest

from artifacts.records.evidence import NotRun, SpeedupRecord
from tightship.reporting.views.tables import MARKDOWN, as_csv, as_json, as_markdown, rows


@pytest.fixture
def evidence(artifact, evidence_of):
    """A reference, an artifact that ships, one from a single process, and a target that was not run."""
    single = artifact("torchscript-cpu/fp32", verdict="fail")
    single = replace(single, latency_ms=replace(single.latency_ms, ci95=(0.0, 1e12), samples=10, p99=3.0))
    stock = SpeedupRecord("onnxruntime-cpu/int8-stock", 1.2, (1.1, 1.3), "faster")
    good = replace(artifact(verdict="ship"), versus_stock=stock)
    made = evidence_of(artifact("torch-cpu/reference"), good, single)
    return replace(made, not_run=(NotRun("tensorrt", "no NVIDIA GPU here"),))


def test_each_artifact_has_a_row_and_what_was_not_run_says_why(evidence):
    table = rows(evidence)
    assert [row["artifact"] for row in table] == ["torch-cpu/reference", "onnxruntime-cpu/fp32", "torchscript-cpu/fp32", None]
    assert len({tuple(row) for row in table}) == 1, "every row has the same columns in the same order"
    assert (table[-1]["target"], table[-1]["verdict"], table[-1]["failed"]) == ("tensorrt", "not run", "no NVIDIA GPU here")
    good = table[1]
    assert (good["latency_p50_ms"], good["size_bytes"], good["accuracy_deployed"]) == (1.0, 1_000_000, 0.9)
    assert (good["speedup"], good["speedup_low"], good["stock_speedup_high"]) == (2.0, 1.5, 1.3)


def test_what_was_not_measured_is_empty_and_not_a_number(evidence):
    single = rows(evidence)[2]
    assert single["latency_p50_high_ms"] is None, "one process gives no interval"
    assert single["latency_p99_ms"] is None, "ten samples give no 99th percentile"
    assert single["stock_speedup"] is None


def test_csv_and_json_hold_the_same_table(evidence):
    table = rows(evidence)
    assert json.loads(as_json(evidence)) == table
    read = list(csv.DictReader(io.StringIO(as_csv(evidence), newline="")))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in table] == read


def test_markdown_has_a_line_for_each_row(evidence):
    lines = as_markdown(evidence).splitlines()
    assert len(lines) == 2 + len(rows(evidence))
    assert all(line.count(" | ") == len(MARKDOWN) - 1 for line in lines[2:])
    assert set(MARKDOWN) <= set(rows(evidence)[0])


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "-2", "+3", "a,b", 'a"b', "a|b", "a\nb", "\u202ex"])
def test_hostile_names_stay_text(evidence, name):
    hostile = replace(evidence, name=name)
    read = list(csv.DictReader(io.StringIO(as_csv(hostile), newline="")))
    assert len(read) == len(rows(evidence))
    assert read[0]["run"][0] not in "=@+-"
    assert "\u202e" not in as_csv(hostile) + as_json(hostile)
    artifact = replace(evidence.artifacts[1], id=name)
    lines = as_markdown(replace(evidence, artifacts=(artifact,))).splitlines()
    assert len(lines) == 4


def test_a_run_without_artifacts_has_an_empty_table(evidence):
    empty = replace(evidence, artifacts=(), not_run=())
    assert json.loads(as_json(empty)) == []
    assert as_csv(empty).strip() == ""
    assert len(as_markdown(empty).splitlines()) == 2
    assert len(rows(replace(evidence, artifacts=()))) == 1


def test_the_verb_prints_or_writes(cli, evidence, tmp_path):
    evidence.write(tmp_path / "evidence.json")
    for form, whole in (("csv", as_csv), ("json", as_json), ("md", as_markdown)):
        done = cli("report", tmp_path, "--format", form)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == whole(evidence).splitlines()
        assert cli("report", tmp_path, "--format", form, "--out", tmp_path / f"t.{form}").stdout == ""
        assert (tmp_path / f"t.{form}").read_bytes().decode() == whole(evidence)
    assert cli("report", tmp_path, "--format", "xls").returncode == 2
    assert {p.name for p in tmp_path.iterdir()} == {"evidence.json", "t.csv", "t.json", "t.md"}
