"""The table of targets: every artifact, the ratio to fp32 that was measured, and what must be read with it."""

import json
from dataclasses import replace

import pytest

from artifacts.records.evidence import ConvertedRecord, NotRun, SpeedupRecord, read_evidence
from artifacts.records.noise import NoiseRecord
from benchmarks.timing.statistics import mean_ratio, typical_ratio
from tightship.reporting.views import html, markdown
from tightship.reporting.views.tables import rows
from tightship.reporting.views.targets import HEADS, as_markdown, target_table

FLOAT = SpeedupRecord("onnxruntime-cpu/fp32", 2.218, (2.183, 2.262), "faster")


@pytest.fixture
def evidence(artifact, evidence_of):
    """Two targets, out of order: a float file and an int8 one with its ratio, and a target that was not run."""
    int8 = artifact("onnxruntime-cpu/int8-ptq", p50=0.5, verdict="ship", versus_float=FLOAT)
    slow = replace(FLOAT, ratio=0.99, ci95=(0.9, 1.1), verdict="no difference shown", baseline="aotinductor-cpu/fp32")
    timed = artifact("aotinductor-cpu/int8-ptq", versus_float=slow)
    placed = replace(timed.placement, how="profile; 3% of the time outside", fallback_share=0.064)
    made = evidence_of(artifact("torch-cpu/reference"), artifact(), int8, replace(timed, placement=placed))
    file = ConvertedRecord("coreml/fp32", "fp32", "coreml", "m", (), 1_120_000, {}, {"opens": "yes"})
    absent = (NotRun("tensorrt", "no NVIDIA GPU here"), NotRun("coreml", "runs on macOS only", (file,)))
    return replace(made, not_run=absent)


def cells(evidence):
    return {f"{row[0]}/{row[1]}": dict(zip(HEADS, row, strict=True)) for row in target_table(evidence).rows}


def test_every_artifact_has_its_figures_and_targets_stand_together(evidence):
    found = cells(evidence)
    assert sorted(found, key=lambda name: name.partition("/")[0]) == list(found), "ordered by target"
    assert set(found) == {a.id for a in evidence.artifacts}
    int8 = found["onnxruntime-cpu/int8-ptq"]
    assert (int8["accuracy"], int8["p50, ms"], int8["fp32 / this"]) == ("90.00 %", "0.500 [0.450, 0.550]", "2.22 [2.18, 2.26]")
    assert (int8["peak RSS, MB"], int8["kB"], int8["parity, rms"], int8["outside"]) == ("100", "1,000", "1.0e-06", "10 %")
    other = found["aotinductor-cpu/int8-ptq"]
    assert other["fp32 / this"] == "0.990 [0.900, 1.10] no difference shown"
    assert other["outside"] == "6 % (3 % of time)"
    assert found["onnxruntime-cpu/fp32"]["fp32 / this"] == ""


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.0001, "0.0 %"), (0.5238, "52 %"), (1.0, "100 %")]
)
def test_no_operator_outside_and_few_of_them_look_different(evidence, share, shown):
    first = evidence.artifacts[0]
    changed = replace(first, placement=replace(first.placement, fallback_share=share))
    assert cells(replace(evidence, artifacts=(changed,)))[first.id]["outside"] == shown


def test_a_failed_parity_says_so_beside_its_error(evidence):
    first = evidence.artifacts[1]
    broken = replace(first, parity=replace(first.parity, passed=False, rms_error=0.7))
    assert cells(replace(evidence, artifacts=(broken,)))[first.id]["parity, rms"] == "0.700 FAILED"


def noise(disturbed):
    bad, why = (14, ("a fixed loop ran slower than its best",)) if disturbed else (0, ())
    return NoiseRecord(disturbed, 20, bad, 3, why, 2, 0.0, 0.0, 0.0, 0.0, 0, 1.1, None, None, 60)


def test_what_must_be_read_with_it_stands_below(evidence):
    notes = "\n".join(target_table(replace(evidence, noise=noise(True))).notes)
    assert "Disturbed. The machine was not quiet: 14 of 20 turns" in notes
    assert "Not run: tensorrt: no NVIDIA GPU here." in notes
    assert "Converted and checked, not run: coreml/fp32 (1.12 MB): runs on macOS only." in notes
    assert "a cpu | 2 cores | avx2" in notes
    assert "Made by: tightship run x" in notes
    quiet = "\n".join(target_table(replace(evidence, noise=noise(False))).notes)
    assert "The machine was quiet: 20 turns, 3 of them timed again." in quiet
    assert any("not recorded" in note for note in target_table(evidence).notes)


def test_the_versions_are_those_of_what_ran(evidence):
    versions = {"onnxruntime": "1.31.1", "openvino": "2026.4"}
    made = replace(evidence, machine=replace(evidence.machine, versions=versions))
    (line,) = (note for note in target_table(made).notes if note.startswith("Machine"))
    assert "onnxruntime 1.31.1" in line
    assert "openvino" not in line


def test_a_run_of_before_says_that_it_has_no_ratio(evidence):
    said = "not recorded by the version that made this run"
    assert not any(said in note and "fp32 / this" in note for note in target_table(evidence).notes)
    old = replace(evidence, artifacts=tuple(replace(a, versus_float=None) for a in evidence.artifacts))
    assert any(said in note and "fp32 / this" in note for note in target_table(old).notes)


@pytest.mark.parametrize("name", ["a|b", "a\nb", "\u202ex", "<b>", "[link](x)"])
def test_hostile_names_stay_text_in_markdown(evidence, name):
    hostile = replace(evidence.artifacts[1], id=f"t/{name}", target=f"t{name}")
    made = as_markdown(replace(evidence, artifacts=(hostile,), name=name, command=name))
    table = [line for line in made.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert table[2].replace("\\|", "").count("|") == len(HEADS) + 1
    assert not set("\u202e<") & set(made.replace("\\<", ""))


def test_every_view_shows_the_ratio_that_the_evidence_holds(evidence):
    assert "2.22 \\[2.18, 2.26\\]" in as_markdown(evidence)
    assert "2.22 \\[2.18, 2.26\\]" in markdown.summary(evidence)
    assert "<strong>2.22×</strong><small>[2.18, 2.26]</small>" in html.render(evidence)
    flat = next(row for row in rows(evidence) if row["artifact"] == "onnxruntime-cpu/int8-ptq")
    assert (flat["float_speedup"], flat["float_speedup_low"], flat["float_speedup_baseline"]) == (2.218, 2.183, FLOAT.baseline)
    assert flat["parity_rms_error_spreads"] == 1e-6


def test_a_real_run_pairs_each_int8_file_with_its_float_file_by_round(tiny_run):
    evidence = read_evidence(tiny_run.out / "evidence.json")
    (stage,) = (s for s in evidence.stages if s.kind == "measure")
    entry = json.loads((tiny_run.store / "entries" / stage.key[:2] / stage.key / "entry.json").read_text())

    def slices(name):
        """The medians of each process's slices."""
        import numpy as np

        kept = entry["result"]["timings"][name]
        rounds = zip(kept["rounds_ms"], kept["slice_calls"], strict=True)
        return [[np.median(part) for part in np.split(calls, np.cumsum(counts)[:-1])] for calls, counts in rounds]

    fp32 = "onnxruntime-cpu/fp32"
    for name in ("onnxruntime-cpu/int8-ptq", "onnxruntime-cpu/int8-qat"):
        pairs = [typical_ratio(*pair) for pair in zip(slices(fp32), slices(name), strict=True)]
        found, expected = evidence.artifact(name).versus_float, mean_ratio(pairs)
        assert (found.baseline, found.verdict) == (fp32, expected.verdict)
        assert (found.ratio, *found.ci95) == pytest.approx((expected.ratio, expected.low, expected.high))
    assert evidence.artifact(fp32).versus_float is None
    assert evidence.artifact("torch-cpu/reference").versus_float is None


@pytest.mark.slow
def test_the_verb_prints_it_and_writes_it_as_markdown(cli, tiny_run, tmp_path):
    shown = cli("report", tiny_run.out, "--table", "targets")
    assert shown.returncode == 0, shown.stderr
    evidence = read_evidence(tiny_run.out / "evidence.json")
    assert all(any(line.startswith(a.id + " ") for line in shown.stdout.splitlines()) for a in evidence.artifacts)
    assert cli("report", tiny_run.out, "--table", "targets", "--format", "md").stdout == as_markdown(evidence)
    assert cli("report", tiny_run.out, "--table", "targets", "--out", tmp_path / "t.md").stdout == ""
    assert (tmp_path / "t.md").read_text() == as_markdown(evidence)
    said = json.loads(cli("report", tiny_run.out, "--table", "targets", "--json").stdout)
    assert [tuple(row.values()) for row in said["rows"]] == list(target_table(evidence).rows)
    for wrong in (("--format", "csv"), ("--history",), (tiny_run.out,)):
        refused = cli("report", tiny_run.out, "--table", "targets", *wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
