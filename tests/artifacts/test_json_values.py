"""Dataclasses come back from JSON as they were, and what does not fit them is named."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import pytest

from artifacts.json import JsonValue, read
from artifacts.records.accuracy_guard import CandidateRecord, GuardRecord, LayerRecord
from artifacts.records.noise import NoiseRecord
from artifacts.records.sensitivity import LossRecord, SensitiveLayer, SensitivityRecord, sensitivity_of
from artifacts.specs import DimRange, Signature, TensorSpec


@dataclass(frozen=True)
class Inner:
    """A record inside another."""

    name: str
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    """One field of each kind that records have."""

    count: int
    kind: Literal["a", "b"]
    shape: tuple[int | str, ...]
    pair: tuple[float, float | None]
    parts: tuple[Inner, ...]
    by_name: dict[str, tuple[int, ...]]
    numbers: list[float]
    whatever: JsonValue
    inner: Inner | None = None
    notes: list[str] = field(default_factory=list)
    by_size: dict[int, float] = field(default_factory=dict)


FULL = Outer(
    3,
    "b",
    ("batch", 3),
    (0.5, None),
    (Inner("x", 0.25), Inner("y")),
    {"p": (1, 2)},
    [1.0, 2.5],
    {"deep": [1, None]},
    Inner("z"),
)


def test_what_asdict_wrote_comes_back_as_it_was():
    for record in (FULL, replace(FULL, inner=None, notes=["a"], by_size={16: 0.5})):
        assert read(Outer, json.loads(json.dumps(asdict(record)))) == record


@pytest.mark.parametrize(
    "record",
    [
        Signature((TensorSpec("x", "float32", ("batch", 3)),), (), (DimRange("batch", 1, 8, 4),)),
        NoiseRecord(True, 2, 1, 0, ("x",), 4, None, 0.5, None, 0.0, 3, 1.5, (800.0, 3000.0), None, 30),
        GuardRecord(
            0.01, 64, 0.9, 0.91, True, "minmax", (CandidateRecord("minmax", None, None, None, None, None, False, False),),
            (LayerRecord("conv", 12.5),),
        ),
    ],
    ids=["signature", "noise", "guard"],
)  # fmt: skip
def test_records_come_back(record):
    assert read(type(record), json.loads(json.dumps(asdict(record)))) == record


def test_a_sensitivity_comes_back_with_and_without_a_file_that_keeps_layers():
    whole, layer = LossRecord(20.0, None, None, 100), SensitiveLayer("fc", 10, 40, None, reason="it cannot be")
    for kept in (None, LossRecord(30.0, 0.01, 0.002, 120)):
        found = SensitivityRecord(64, "top1", 0.9, whole, None, (layer,), (), ("fc",), kept)
        assert sensitivity_of(json.loads(json.dumps(asdict(found)))) == found


def test_a_whole_number_is_a_float_and_stays_whole_and_true_is_no_number():
    made = read(Outer, {**asdict(FULL), "numbers": [1, 2.5]})
    assert [type(value) for value in made.numbers] == [int, float]
    with pytest.raises(ValueError, match=r"Outer\.numbers\[1\] is True, not float"):
        read(Outer, {**asdict(FULL), "numbers": [1, True]})


def test_what_a_newer_writer_adds_is_left_out_and_what_an_older_one_lacks_has_its_default():
    old = {name: value for name, value in asdict(FULL).items() if name not in ("inner", "notes")}
    assert read(Outer, {**old, "added": 1}) == Outer(**{**vars(FULL), "inner": None})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 1.5}, r"Outer\.count is 1\.5, not int"),
        ({"count": None}, r"Outer\.count is None, not int"),
        ({"kind": "c"}, r"Outer\.kind is 'c', not Literal"),
        ({"shape": "batch"}, r"Outer\.shape is 'batch', not"),
        ({"shape": [None]}, r"Outer\.shape\[0\] is None, not str"),
        ({"pair": [1.0]}, r"Outer\.pair has 1 values, not 2"),
        ({"parts": [{"share": 1.0}]}, r"Outer\.parts\[0\] has no 'name'"),
        ({"parts": {"name": "x"}}, r"Outer\.parts is \{'name': 'x'\}, not"),
        ({"by_name": {"p": [1, "2"]}}, r"Outer\.by_name\['p'\]\[1\] is '2', not int"),
        ({"inner": "z"}, r"Outer\.inner is 'z', not Inner"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change, said):
    with pytest.raises(ValueError, match=said):
        read(Outer, {**asdict(FULL), **change})


def test_a_record_that_is_none_at_all_is_named():
    with pytest.raises(ValueError, match="Inner is 3, not Inner"):
        read(Inner, 3)
    with pytest.raises(ValueError, match="Outer has no 'count'"):
        read(Outer, {})
