"""The list of targets: every row can be loaded, keeps the protocol, and unknown names find the nearest."""

import inspect
import subprocess
import sys

import pytest

from artifacts.errors import RequestError
from artifacts.types import Availability
from compress.quantizers import QUANTIZERS
from export.registry import FORMATS
from runtimes.base import Placed, Runtime
from runtimes.registry import TARGETS, find


@pytest.mark.parametrize(
    ("wrong", "right"), [("onnxruntime-cpi", "onnxruntime-cpu"), ("tensort", "tensorrt"), ("torch_cpu", "torch-cpu")]
)
def test_an_unknown_target_names_the_nearest(wrong, right):
    with pytest.raises(RequestError, match=f"unknown target '{wrong}'; did you mean '{right}'"):
        find(wrong)


def test_a_target_like_none_lists_them_all():
    with pytest.raises(RequestError) as caught:
        find("???")
    assert all(name in str(caught.value) for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_every_runtime_satisfies_the_protocol(name):
    runtime = find(name).runtime()
    for verb in ("probe", "build", "open"):
        wanted = list(inspect.signature(getattr(Runtime, verb)).parameters)[1:]
        assert list(inspect.signature(getattr(runtime, verb)).parameters) == wanted
        assert inspect.getdoc(getattr(runtime, verb))
    assert runtime.target == name
    assert callable(runtime.session.run)
    assert issubclass(runtime.session, Placed)
    assert isinstance(runtime.probe(), Availability)


@pytest.mark.parametrize("name", TARGETS)
def test_every_row_names_formats_and_quantizers_that_exist(name):
    target = find(name)
    assert target.name == name
    assert target.formats
    assert set(target.formats) <= set(FORMATS)
    assert target.quantizer is None or target.quantizer in QUANTIZERS
    assert (target.device == "cuda") == any(word in name for word in ("cuda", "tensorrt"))
    assert target.quantizer or not target.qat, "learned ranges go into an int8 file"


def test_reading_the_list_imports_nothing_heavy():
    code = "import sys, runtimes.registry, export.registry, compress.quantizers, zoo.registry; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "onnx", "onnxruntime", "executorch", "tensorrt", "sklearn"}
