"""Evidence reads back as it was written, and whatever is no evidence is refused in one sentence."""

import json
from dataclasses import asdict

import pytest

from artifacts.errors import RequestError
from artifacts.records.evidence import SCHEMA, read_evidence


@pytest.fixture
def written(artifact, evidence_of, tmp_path):
    """Evidence on disk: the path and what was written."""
    evidence = evidence_of(artifact("torch-cpu/reference"), artifact(verdict="ship"))
    evidence.write(tmp_path / "evidence.json")
    return tmp_path / "evidence.json", evidence


def test_it_reads_back_as_it_was_written(written):
    path, evidence = written
    assert read_evidence(path) == evidence
    assert asdict(read_evidence(path)) == asdict(evidence)


def test_the_same_evidence_gives_the_same_bytes(written):
    path, _ = written
    before = path.read_bytes()
    read_evidence(path).write(path)
    assert path.read_bytes() == before
    assert json.loads(before)["schema"] == SCHEMA


def refusal(path):
    with pytest.raises(RequestError) as caught:
        read_evidence(path)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_newer_schema_is_refused_with_the_way_out(written):
    path, _ = written
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "schema": SCHEMA + 1}))
    assert f"reads up to {SCHEMA}; upgrade tightship" in refusal(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"text"', "{}", '{"schema": "1"}', '{"schema": null}', '{"schema": 1}']
)
def test_what_is_no_evidence_is_refused(tmp_path, text):
    (tmp_path / "evidence.json").write_text(text)
    refusal(tmp_path / "evidence.json")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "evidence.json").write_bytes(b"\xff\xfe\x00\x01")
    refusal(tmp_path / "evidence.json")


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("artifacts", 0, "latency_ms", "p50"), "fast", "latency_ms.p50"),
        (("artifacts", 1, "verdict"), "shipped", "verdict"),
        (("artifacts", 1, "bytes"), None, "bytes"),
        (("verdict", "passed"), "perhaps", "verdict.passed"),
        (("stages",), {}, "stages"),
    ],
)
def test_an_edited_value_is_refused_by_name(written, place, value, named):
    path, _ = written
    whole = json.loads(path.read_text())
    part = whole
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    path.write_text(json.dumps(whole))
    assert named in refusal(path)


@pytest.mark.parametrize("key", ["name", "machine", "stages", "artifacts", "not_run", "verdict"])
def test_a_missing_part_is_refused_by_name(written, key):
    path, _ = written
    whole = json.loads(path.read_text())
    del whole[key]
    path.write_text(json.dumps(whole))
    assert key in refusal(path)


def test_a_latency_edited_to_nan_meets_no_limit(written):
    from tightship.gating.evaluate_run import regate

    path, _ = written
    whole = json.loads(path.read_text())
    whole["artifacts"][1]["latency_ms"]["p50"] = float("nan")
    path.write_text(json.dumps(whole))
    passed = {gate.name: gate.passed for _, gate in regate(path.parent, ["latency_p50_ms=1000"], None)}
    assert passed["latency_p50_ms"] is False


def test_evidence_that_json_cannot_hold_is_not_written(artifact, evidence_of, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        evidence_of(artifact(cold_start_ms=float("nan"))).write(tmp_path / "evidence.json")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    assert "tightship run RECIPE" in refusal(tmp_path / "evidence.json")


def test_an_unknown_artifact_is_refused_with_those_there_are(written):
    _, evidence = written
    with pytest.raises(RequestError, match=r"no artifact 'x' .*torch-cpu/reference, onnxruntime-cpu/fp32"):
        evidence.artifact("x")
