"""What the rest asks of a quantizer stands in its record, so one of another distribution is used like ours."""

import pytest

from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Quantizer
from compress.quantizers.rounding import stored_limit
from runtimes.registry import TARGETS


def test_targets_name_quantizers_that_there_are():
    named = {q for t in TARGETS.values() for q in (t.quantizer, *t.schemes.values(), t.stock[1] if t.stock else None) if q}
    assert named <= set(QUANTIZERS)
    assert all(quantizer.entry_point.partition(":")[2] for quantizer in QUANTIZERS.values())


@pytest.mark.parametrize(("vnni", "limit"), [(False, 31.5), (True, 127.0)])
def test_the_grid_of_a_file_is_what_its_quantizer_says(monkeypatch, vnni, limit):
    monkeypatch.setattr("compress.quantizers.rounding.has_vnni", lambda: vnni)
    monkeypatch.setattr(QUANTIZERS, "_brought", {})
    QUANTIZERS.add(Quantizer("quartered", "file", "math:floor", (), by_vnni=True, halved_limit=31.5))
    assert stored_limit("quartered", QuantizeConfig()) == limit
    assert stored_limit("quartered", QuantizeConfig(weight_bits=4)) == 7.0
    assert stored_limit("onnx-qdq-symmetric", QuantizeConfig()) == 127.0
    assert stored_limit(None, QuantizeConfig()) == 127.0


def test_only_core_mls_weights_lie_on_a_grid_that_we_do_not_know():
    assert [q.name for q in QUANTIZERS.own().values() if q.own_grid] == ["coreml-weights"]
    assert {q.name: q.halved_limit for q in QUANTIZERS.own().values() if q.halved_limit} == {"onnx-qdq": 64.0, "nncf": 63.5}
