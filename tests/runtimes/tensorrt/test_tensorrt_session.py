"""A session on an engine that stands in host memory: what goes in, what comes out, what is refused."""

import ctypes
import json
import sys
from contextlib import nullcontext
from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artifacts.errors import RequestError, TargetUnavailable
from runtimes.tensorrt import session as tensorrt_session
from runtimes.tensorrt.session import TensorRtSession, called, placement_of


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


def test_layers_are_counted_by_precision_for_both_inspector_formats():
    layers = [
        {"LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 9}},
        {"LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Row major linear FP32"}]},
        {"LayerType": "gemm", "Inputs": [{"Format": "Row major", "DataType": "Half"}]},
        {"LayerType": "Reformat", "Inputs": [{"DataType": "Float"}]},
        "a name without detail",
    ]
    read = placement_of(json.dumps({"Layers": layers}), quantized=True)
    assert read.accelerated == {"CaskConvolution int8": 1, "Reformat fp32": 1, "layer unknown": 1}
    assert read.fallback == {"CaskConvolution fp32": 1, "gemm fp16": 1}
    assert read.fallback_share == pytest.approx(0.4)
    assert placement_of(json.dumps({"Layers": layers}), quantized=False).fallback == {}


def test_outputs_are_called_as_the_signature_calls_them():
    assert called(["y", "x_out"], ["x", "y"]) == {"y": "y", "x_out": "x"}
    assert called(["y"], []) == {"y": "y"}


@pytest.fixture
def session(monkeypatch) -> TensorRtSession:
    """A session on an engine x[1..8, 4] -> y, whose refusals need no GPU."""
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(TensorIOMode=Mode))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(cuda_stream=1))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    engine = SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=lambda index: "xy"[index],
        get_tensor_mode=lambda name: Mode.INPUT if name == "x" else Mode.OUTPUT,
        get_tensor_dtype=lambda name: SimpleNamespace(name="FLOAT"),
    )
    return TensorRtSession(engine, None, {"x": ((1, 4), (1, 4), (8, 4))}, "REBUILD", quantized=False)


class Context:
    """An execution context in host memory that computes y = 2x[:, :3], or fails to start."""

    def __init__(self, starts=True):
        self.addresses, self.shape, self.starts = {}, (), starts

    def set_input_shape(self, name, shape):
        self.shape = shape
        return True

    def get_tensor_shape(self, name):
        return [self.shape[0], 3]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        x = memory(self.addresses["x"], self.shape)
        memory(self.addresses["y"], (self.shape[0], 3))[:] = 2 * x[:, :3]
        return self.starts


def memory(address, shape):
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), shape)


def test_a_batch_goes_in_and_comes_out_at_the_addresses_given(session, monkeypatch):
    monkeypatch.setattr(tensorrt_session, "DEVICE", "cpu")
    session._context = Context()
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x[:, :3])
    np.testing.assert_array_equal(session.run({"x": x.T.copy().T[:2]})["y"], 2 * x[:2, :3])


def test_an_engine_that_does_not_start_is_an_error(session, monkeypatch):
    monkeypatch.setattr(tensorrt_session, "DEVICE", "cpu")
    session._context = Context(starts=False)
    with pytest.raises(TargetUnavailable, match="could not start the engine"):
        session.run({"x": np.zeros((1, 4), np.float32)})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "input 'x' is missing; the engine takes x"),
        ({"x": np.zeros((1, 4))}, "input 'x' is float64, and the engine takes float32; cast it"),
        (
            {"x": np.zeros((9, 4), np.float32)},
            r"shape \(9, 4\), and the engine takes \(1, 4\) to \(8, 4\); .*`REBUILD`",
        ),
        ({"x": np.zeros((1, 4, 1), np.float32)}, r"shape \(1, 4, 1\)"),
    ],
)
def test_inputs_that_the_engine_does_not_take_are_refused(session, inputs, message):
    with pytest.raises(RequestError, match=message):
        session.run(inputs)
