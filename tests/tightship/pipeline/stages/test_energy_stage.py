"""Energy and end-to-end latency in evidence, report and `bench`: what stands there, and why where nothing does."""

import json
from dataclasses import replace
from html import unescape

import pytest
from typer.testing import CliRunner

from artifacts.records.calls import EndToEndRecord, EnergyRecord, PartRecord, PowerRecord, PowerSource
from artifacts.records.evidence import read_evidence
from tightship.benching.energy import ALONE
from tightship.cli.doctor_checks import energy
from tightship.cli.main import app
from tightship.reporting import pages
from tightship.reporting.views import html

POWER = PowerRecord((PowerSource("RAPL package-0", "cpu", 4.5),), None)
ENERGY = EnergyRecord(21.5, (20.0, 23.0), 13.25, 10.5, ("RAPL package-0",))
PARTS = [PartRecord(p, (0.9 * p, 1.1 * p), 2 * p, (1.9 * p, 2.1 * p)) for p in (0.25, 1.5, 0.125, 1.875)]
END_TO_END = EndToEndRecord(*PARTS, samples=1200, processes=3, raw="uint8 1x3x32x32", labels=5)


def text_of(evidence):
    return unescape(html.render(evidence).replace(str(pages.plotly()), ""))


@pytest.fixture
def run(artifact, evidence_of):
    """A run that has both."""
    return replace(evidence_of(artifact(energy=ENERGY, end_to_end=END_TO_END)), power=POWER)


def test_both_read_back_and_older_evidence_reads(run, tmp_path):
    path = tmp_path / "evidence.json"
    run.write(path)
    assert read_evidence(path) == run
    value = json.loads(path.read_text())
    del value["power"], value["no_end_to_end"], value["artifacts"][0]["energy"], value["artifacts"][0]["end_to_end"]
    path.write_text(json.dumps(value))
    old = read_evidence(path)
    assert (old.power, old.artifacts[0].energy, old.artifacts[0].end_to_end) == (None, None, None)
    assert text_of(old).count("not recorded by the version that measured this run") >= 2


def test_the_report_shows_parts_and_energy(run):
    text = text_of(run)
    assert "from a raw example (uint8 1x3x32x32) to the 5 likeliest labels" in text
    assert all(shown in text for shown in ("1.88", "[1.69, 2.06]", "0.250", "21.5", "[20.0, 23.0]", "RAPL package-0 4.50 W"))


def test_the_report_says_why_there_is_none(artifact, evidence_of):
    why = "no RAPL counter under <b>"
    text = text_of(replace(evidence_of(artifact()), power=PowerRecord((), why), no_end_to_end="no preprocessing & no labels"))
    assert f"Not available: {why}." in text
    assert "Not timed: no preprocessing & no labels." in text


def test_an_artifact_without_either_is_named(run, artifact):
    other = artifact("onnxruntime-web/fp32")
    text = text_of(replace(run, artifacts=(*run.artifacts, other)))
    assert "Not timed where the engine lives in a process of its own: onnxruntime-web/fp32." in text
    assert "none counts what it runs on: onnxruntime-web/fp32." in text


def test_doctor_says_whether_energy_can_be_read():
    check = energy()
    assert (check.name, check.core) == ("energy", False)
    assert check.ok == ("not available" not in check.says)


def test_a_run_records_both_or_why_not(tiny_run):
    evidence = read_evidence(tiny_run.out / "evidence.json")
    assert evidence.power.sources or evidence.power.reason
    assert evidence.no_end_to_end is None
    for record in evidence.artifacts:
        found = record.end_to_end
        assert found.raw == "uint8 1x1x8x8"
        assert found.whole.p50 > found.inference.p50 > 0
        assert found.samples >= 10
        assert bool(record.energy) <= bool(evidence.power.sources)


def test_bench_times_files_of_a_run_from_a_raw_picture_and_says_why_not_elsewhere(tiny_run, tmp_path):
    evidence = read_evidence(tiny_run.out / "evidence.json")
    path = tiny_run.out / next(a.main for a in evidence.artifacts if a.target == "onnxruntime-cpu")
    quick = ["--processes", "1", "--seconds", "0.02", "--end-to-end"]
    shown = CliRunner().invoke(app, ["bench", str(path), *quick])
    assert shown.exit_code == 0, shown.output
    assert "uint8 1x1x8x8" in shown.output
    assert "energy: " in shown.output
    (tmp_path / "alone.onnx").write_bytes(path.read_bytes())
    (row,) = json.loads(CliRunner().invoke(app, ["bench", str(tmp_path / "alone.onnx"), *quick, "--json"]).output)
    assert (row["end_to_end"], row["no_end_to_end"]) == (None, ALONE)
