"""Asking whether a target works: a library that crashes, hangs or chatters as it is imported is a normal answer."""

import sys
import time

import pytest

from artifacts.types import Availability
from runtimes.probe import missing_library, probe, probe_all
from runtimes.registry import find
from runtimes.target import Target


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Puts a module of this name and code before the real one, for children too."""

    def make(name, code):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    return make


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import os; os.abort()", "-6"),
        ("import os; os._exit(7)", "7"),
        ("import sys; sys.stderr.write('no driver\\n'); sys.exit(3)", "no driver"),
        ("raise OSError('libcuda.so.1: cannot open shared object file')", "libcuda.so.1"),
        ("import ctypes; ctypes.string_at(0)", "-11"),
    ],
)
def test_an_import_that_ends_the_process_is_an_answer(library, code, word):
    library("onnxruntime", code)
    found = probe(find("onnxruntime-cpu"))
    assert not found.available
    assert word in found.reason
    assert "\n" not in found.reason


def test_an_import_that_hangs_is_an_answer(library):
    library("onnxruntime", "import time; time.sleep(60)")
    started = time.monotonic()
    found = probe(find("onnxruntime-cpu"), timeout=3)
    assert found == Availability(False, "its import did not finish within 3 s")
    assert time.monotonic() - started < 20


def test_an_import_error_names_the_command_that_mends_it(library):
    library("onnxruntime", "raise ImportError('wrong version')")
    found = probe(find("onnxruntime-cpu"))
    assert not found.available
    assert "wrong version" in found.reason
    assert "pip install onnxruntime" in found.reason


def test_what_a_library_prints_is_not_taken_for_the_answer(library):
    library(
        "onnxruntime",
        "import atexit\nprint('hello')\natexit.register(print, '{\"available\": false}')\n__version__ = '9'\n"
        "def get_available_providers(): return ['CPUExecutionProvider']\n",
    )
    assert probe(find("onnxruntime-cpu")) == Availability(True, "onnxruntime 9")


def test_a_provider_that_is_not_in_the_build_is_named(library):
    library("onnxruntime", "__version__ = '9'\ndef get_available_providers(): return []\n")
    found = probe(find("onnxruntime-cpu"))
    assert not found.available
    assert "CPUExecutionProvider" in found.reason


@pytest.mark.parametrize(
    ("extra", "command"), [("mobile", "pip install 'tightship[mobile]'"), (None, "pip install no-such-lib")]
)
def test_a_missing_distribution_is_named_without_importing_anything(extra, command):
    target = Target("x", "no.such:Module", ("onnx",), None, ("torch", "no-such-lib"), extra=extra)
    assert missing_library(target) == "no-such-lib"
    assert probe(target) == Availability(False, f"no-such-lib is not installed: {command}")


def test_a_target_that_works_says_with_what():
    found = probe(find("onnxruntime-cpu"))
    assert found.available
    assert found.reason.startswith("onnxruntime ")


def test_a_gpu_target_says_why_it_cannot_run_here():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    found = probe(find("torch-cuda"))
    assert not found.available
    assert "no CUDA device" in found.reason


def test_several_targets_are_asked_at_once_and_answers_keep_their_order(monkeypatch):
    import threading

    together = threading.Barrier(2, timeout=20)

    def answer(target):
        together.wait()
        return Availability(True, f"{target.name} works")

    monkeypatch.setattr("runtimes.probe.probe", answer)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    asked = [find(name) for name in ("openvino-cpu", "onnxruntime-cpu", "torch-cpu", "coreml")]
    found = probe_all(asked)
    assert list(found) == [target.name for target in asked]
    assert all(answer.reason == f"{name} works" for name, answer in found.items())
