"""Small ONNX files, and engines whose runtimes misbehave in a child."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 3)),))

MISBEHAVING = '''\
"""Runtimes that do in a child what real libraries do on bad days."""

import os
import signal
import sys
import time

import numpy as np

from artifacts.errors import TargetUnavailable
from artifacts.types import Placement


class Session:
    calls = 0
    buffer = np.zeros((1, 3), np.float32)

    def run(self, inputs):
        mood = os.environ["MOOD"]
        self.calls += 1
        if mood == "drift":
            return {"y": inputs["x"] + self.calls}
        if mood == "drift in one buffer":
            self.buffer += 1
            return {"y": self.buffer}
        if mood == "by process":
            return {"y": inputs["x"] + np.random.default_rng(os.getpid()).standard_normal()}
        if mood == "hungry":
            return {"y": inputs["x"] + float(len(bytearray(60_000_000)) > 0)}
        if mood == "crash":
            print("the last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if mood == "exit":
            os._exit(7)
        if mood == "hang":
            time.sleep(3600)
        if mood == "raise":
            raise KeyError("three\\n  lines\\nof it")
        if mood == "chatty":
            print('{"ok": "not the answer"}', flush=True)
            os.write(1, b'{"error": "nor this"}\\n')
            os.system("echo a child of the child")
        return {"y": inputs["x"] + 1}

    def placement(self):
        return Placement({"Add": 3}, {"Softmax": 1}, "as given")


class Runtime:
    def probe(self):
        pass

    def open(self, engine, threads):
        if os.environ["MOOD"] == "heavy":
            bytearray(80_000_000)[::4096]
        if os.environ["MOOD"] == "absent":
            raise TargetUnavailable("the device is out for lunch.")
        return Session()
'''

REGISTERS = """\
import runtimes.registry as registry
from runtimes.target import Target

registry.TARGETS.add(Target("moody", "moody_runtime:Runtime", ("onnx",), None, ()))
"""


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Engine]:
    """Makes an engine that behaves in its child as it is told: crash, exit, hang, drift and others, or well."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "moody_runtime.py").write_text(MISBEHAVING)
    (code / "sitecustomize.py").write_text(REGISTERS)
    monkeypatch.setattr(sys, "path", [str(code), *sys.path])

    def make(mood: str) -> Engine:
        monkeypatch.setitem(os.environ, "MOOD", mood)
        return Engine("moody", tmp_path / "engine", SIGNATURE)

    return make


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A file with one example."""
    np.savez(tmp_path / "first.npz", x=np.zeros((1, 3), np.float32))
    return tmp_path / "first.npz"


@pytest.fixture
def onnx_engine(tmp_path: Path) -> Callable[..., Engine]:
    """Makes an engine from a tiny ONNX file that multiplies by `factor`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def make(factor: float = 2.0, **names: Any) -> Engine:
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 3]) for n in ("x", "y")]
        weight = numpy_helper.from_array(np.asarray([factor], np.float32), "w")
        graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
        path = tmp_path / f"times-{factor:g}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
        return Engine("onnxruntime-cpu", path, SIGNATURE)

    return make
