"""Gates and limits against a baseline that other distributions bring are read, checked and judged like ours."""

import math
import re
from dataclasses import replace

import pytest
from pydantic import ValidationError

from tightship.gating.baseline import baseline_of
from tightship.gating.baseline_limits import BASELINE_LIMITS, BaselineLimit
from tightship.gating.evaluate import evaluate
from tightship.gating.gates import GATES, Gate
from tightship.gating.limits import parse_limit
from tightship.gating.relative import judge_relative
from tightship.recipe.gates import GatesConfig


@pytest.fixture
def idle_gate(monkeypatch):
    """A gate of another distribution: at most so many stages without effect, 0 to 10."""
    monkeypatch.setattr(GATES, "_brought", {})
    GATES.add(Gate("idle_stages", lambda a, r: 3.0, "at most", "Most stages without effect.", 1, " stages", least=0, most=10))


def test_a_gate_of_somebody_else_is_a_key_like_ours(artifact, idle_gate):
    pair = artifact(), artifact("torch-cpu/reference")
    config = GatesConfig(size_mb=1, idle_stages="2")
    assert config.limits() == {"size_mb": 1.0, "idle_stages": 2}
    assert [r.passed for r in evaluate(*pair, config.limits())] == [True, False]
    assert evaluate(*pair, {"idle_stages": 2})[0].reason == "idle_stages is 3 stages, limit at most 2"
    assert parse_limit("idle_stages=4") == ("idle_stages", 4.0)
    shown = GatesConfig.model_json_schema()["properties"]["idle_stages"]
    assert shown["description"] == "Most stages without effect."
    assert shown["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 10}


@pytest.mark.parametrize(
    ("limit", "said"),
    [(-1, "greater than or equal to 0"), (11, "less than or equal to 10"), (True, "finite number"), ("many", "valid number"),
     (math.inf, "finite"), ([1], "valid number")],
)  # fmt: skip
def test_its_limits_are_held_to_its_bounds(idle_gate, limit, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        GatesConfig(idle_stages=limit)


def test_a_gate_that_nobody_has_gets_the_nearest():
    with pytest.raises(ValidationError, match="unknown gate 'sise_mb'; did you mean 'size_mb'"):
        GatesConfig(sise_mb=1)
    assert GatesConfig.model_json_schema()["additionalProperties"] is False


def test_a_relative_limit_of_somebody_else_is_a_limit_like_ours(monkeypatch, artifact, evidence_of):
    monkeypatch.setattr(BASELINE_LIMITS, "_brought", {})
    BASELINE_LIMITS.add(BaselineLimit("baseline_files_ratio", lambda a, b: 2.0, "at most", " of the baseline's"))
    assert parse_limit("baseline_files_ratio=1.5") == ("baseline_files_ratio", 1.5)
    good = replace(artifact(), verdict="ship")
    evidence = evidence_of(good)
    (record,) = judge_relative(good, good.id, baseline_of(evidence), evidence.machine, {"baseline_files_ratio": 1.5})
    assert record.reason == "baseline_files_ratio is 2 of the baseline's, limit at most 1.5"
    assert not record.passed
