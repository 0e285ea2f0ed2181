"""A stage says which operators are not in its MACs, and unknown MACs are not 0."""

from dataclasses import replace

import pytest

from artifacts.records.evidence import StageRecord
from tightship.pipeline.stages.results import NetworkResult
from tightship.reporting.sections.stages import _figure

KNOWN = NetworkResult("trained", 0.9, 100.0, 500.0, 400.0, 0.0)


def shown(result):
    """The stage's cell of the report."""
    return _figure(None, StageRecord("a", "start", "k", False, 1.0, "did", result.metrics(), result.details()), "macs")


def test_macs_that_are_all_counted_are_a_number():
    assert KNOWN.metrics()["macs"] == 500
    assert "uncounted" not in KNOWN.details()
    assert shown(KNOWN) == "500"


@pytest.mark.parametrize(("macs", "cell"), [(500.0, "over 500"), (0.0, "unknown")])
def test_macs_that_lack_some_say_so(macs, cell):
    result = replace(KNOWN, macs=macs, uncounted=("aten._fft_r2c",))
    assert result.details()["uncounted"] == ["aten._fft_r2c"]
    assert result.metrics().get("macs") == (macs or None)
    assert shown(result) == cell


def test_a_network_that_multiplies_nothing_has_none():
    assert shown(replace(KNOWN, macs=0.0)) == "0"
