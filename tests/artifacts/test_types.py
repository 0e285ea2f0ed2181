"""The frozen types and the errors: what flows cannot be changed, and every error has its exit code."""

import json
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import pytest

from artifacts import errors
from artifacts.errors import TightshipError, nearest
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ExportedFile, ModelRef, Placement


def test_exit_codes_are_those_of_the_command_line():
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, TightshipError)
    }
    assert codes == {
        "TightshipError": 4,
        "GateFailed": 1,
        "ParityFailed": 1,
        "RequestError": 2,
        "RecipeError": 2,
        "ModelError": 2,
        "DataError": 2,
        "IntegrityError": 2,
        "TargetUnavailable": 3,
        "StageCrashed": 4,
    }
    assert all(name in (errors.__doc__ or "") for name in codes)


def test_the_nearest_word_is_named_or_all_of_them():
    assert nearest("prun", ["prune", "distil"]) == "did you mean 'prune'"
    assert nearest("xyz", ["prune", "distil"]) == "known: distil, prune"


def test_a_signature_survives_json():
    signature = Signature(
        (TensorSpec("a", "float32", ("batch", 3)), TensorSpec("b", "int64", ("batch", "length"))),
        (TensorSpec("c", "float32", ("batch",)),),
    )
    assert Signature.from_json(json.loads(json.dumps(asdict(signature)))) == signature
    assert signature.dynamic == ("batch", "length")
    assert signature.inputs[1].concrete({"batch": 2, "length": 5}) == (2, 5)


def test_what_flows_cannot_be_changed():
    for value, field in ((ModelRef("resnet"), "zoo"), (TensorSpec("a", "float32", (1,)), "name")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field, "other")
    assert ExportedFile("onnx", Path("x"), "m.onnx", Signature(())).path == Path("x/m.onnx")


def test_the_share_of_fallback_counts_operators():
    assert Placement({"a": 3}, {"b": 1}, "").fallback_share == 0.25
    assert Placement({}, {}, "").fallback_share == 0.0
