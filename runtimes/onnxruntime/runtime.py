"""ONNX Runtime on CPU, CUDA and TensorRT: the provider that was asked for is asserted, never replaced in silence."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from artifacts.records.roofline import LayerTimes
from artifacts.types import Arrays, Availability, Engine, Placement
from runtimes.base import Placed, Runtime, TimesLayers
from runtimes.onnxruntime.loader import PROVIDERS, OrtProgram

HEAVY = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "ConvTranspose")
"""Operators that carry the work: in an int8 file they have fallen back if they run in float."""

REFORMAT = ("QuantizeLinear", "DequantizeLinear")


class OrtSession(OrtProgram, Placed):
    """An open ONNX Runtime session."""

    def placement(self) -> Placement:
        """Operators as ONNX Runtime really ran them, from its own profile of one run.

        Outside are operators that ran on another provider and, in an int8 file, layers that ran in float and
        conversions beyond those at the inputs and outputs.
        """
        with tempfile.TemporaryDirectory() as folder:
            session = self._open(profile=f"{folder}/profile")
            session.run(None, {i.name: _any_input(i) for i in session.get_inputs()})
            events = json.loads(Path(session.end_profiling()).read_text())
            ends = len(session.get_inputs()) + len(session.get_outputs())
        ran = [e["args"] for e in events if e.get("cat") == "Node" and "op_name" in e.get("args", {})]
        return _sort(ran, self._provider.name, ends)


class OrtCpuSession(OrtSession, TimesLayers):
    """A session on the CPU. On a GPU kernels end after the host's clock has stopped."""

    def layer_times(self, inputs: Arrays) -> LayerTimes:
        """What each node takes in a call on these inputs, by ONNX Runtime's own profile."""
        from runtimes.onnxruntime.profile import layer_times

        return layer_times(lambda profile: self._open(profile=profile), self._engine.path, inputs)


def _sort(ran: list[dict[str, Any]], provider: str, ends: int) -> Placement:
    int8 = any(str(a["op_name"]).startswith("QLinear") or a["op_name"] in REFORMAT for a in ran)
    inside: dict[str, int] = {}
    outside: dict[str, int] = {}
    free = ends
    for arguments in ran:
        name = str(arguments["op_name"])
        away = arguments.get("provider", provider) != provider
        if int8 and name in REFORMAT and free > 0:
            free -= 1
            fell = away
        else:
            fell = away or (int8 and name in (*HEAVY, *REFORMAT))
        where = outside if fell else inside
        where[name] = where.get(name, 0) + 1
    return Placement(inside, outside, f"ONNX Runtime's profile of one run on {provider}")


def _any_input(argument: Any) -> Any:
    shape = [d if isinstance(d, int) else 1 for d in argument.shape]
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
             "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_,
             "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}  # fmt: skip
    return np.zeros(shape, kinds[argument.type])


class OnnxRuntimeCpu(Runtime):
    """ONNX Runtime's CPU provider; an optimized file was written when it was exported."""

    target = "onnxruntime-cpu"
    session: ClassVar[type[OrtSession]] = OrtCpuSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import onnxruntime as ort
        except ImportError as error:
            return Availability(False, f"onnxruntime cannot be imported ({error}): pip install onnxruntime")
        provider = PROVIDERS[self.target].name
        if provider not in ort.get_available_providers():
            return Availability(
                False, f"onnxruntime {ort.__version__} has no {provider}: pip install 'tightship[gpu]' on a CUDA machine"
            )
        return Availability(True, f"onnxruntime {ort.__version__}")

    def open(self, engine: Engine, threads: int) -> OrtSession:
        """See `runtimes.base.Runtime`, and `OrtProgram` for what is raised."""
        return self.session(replace(engine, target=self.target), threads)


class OnnxRuntimeCuda(OnnxRuntimeCpu):
    """ONNX Runtime's CUDA provider."""

    target = "onnxruntime-cuda"
    session = OrtSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`; also asks the driver for a device, because the provider is listed without one."""
        listed = super().probe()
        if not listed.available:
            return listed
        import torch

        if not torch.cuda.is_available():
            return Availability(False, f"{listed.reason} lists {PROVIDERS[self.target].name}, but there is no CUDA device")
        return Availability(True, f"{listed.reason}, {torch.cuda.get_device_name(0)}")


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """ONNX Runtime's TensorRT provider."""

    target = "onnxruntime-tensorrt"
