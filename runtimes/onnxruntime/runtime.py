"""ONNX Runtime on CPU, CUDA and TensorRT: the provider that was asked for is asserted, never replaced in silence."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.records.roofline import LayerTimes
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement
from runtimes.onnxruntime.optimized_file import already_optimized
from runtimes.onnxruntime.options import OrtCpuOptions, OrtOptions
from runtimes.options import read_options

HEAVY = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "ConvTranspose")
"""Operators that carry the work: in an int8 file they have fallen back if they run in float."""

REFORMAT = ("QuantizeLinear", "DequantizeLinear")


class OrtSession:
    """An open ONNX Runtime session, told `told` about the session and `options` about its provider."""

    def __init__(
        self,
        path: Path,
        provider: str,
        threads: int,
        options: dict[str, Any] | None = None,
        told: OrtOptions | None = None,
    ) -> None:
        self._path, self._provider, self._threads = path, provider, threads
        self._options, self._told = options or {}, told or OrtOptions()
        self._session = self._open()
        active = self._session.get_providers()[0]
        if active != provider:
            raise TargetUnavailable(f"ONNX Runtime was asked for {provider} but runs {active}; its libraries did not load.")
        self._names = [o.name for o in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        return dict(zip(self._names, self._session.run(None, inputs), strict=True))

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
        return _sort(ran, self._provider, ends)

    def _open(self, profile: str | None = None) -> Any:
        import onnxruntime as ort

        settings = self._told.settings(self._threads, already_optimized(self._path))
        if profile:
            settings.enable_profiling = True
            settings.profile_file_prefix = profile
        try:
            return ort.InferenceSession(str(self._path), settings, providers=[(self._provider, self._options)])
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot open {self._path.name}: {str(error).splitlines()[0]}") from error

    def layer_times(self, inputs: Arrays) -> LayerTimes:
        """What each node takes in a call on these inputs, by ONNX Runtime's own profile."""
        from runtimes.onnxruntime.profile import layer_times

        return layer_times(lambda profile: self._open(profile=profile), self._path, inputs)


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


class OnnxRuntimeCpu:
    """ONNX Runtime's CPU provider."""

    target = "onnxruntime-cpu"
    tells_layers = True
    provider = "CPUExecutionProvider"
    options: type[OrtOptions] = OrtCpuOptions

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import onnxruntime as ort
        except ImportError as error:
            return Availability(False, f"onnxruntime cannot be imported ({error}): pip install onnxruntime")
        if self.provider not in ort.get_available_providers():
            return Availability(
                False,
                f"onnxruntime {ort.__version__} has no {self.provider}: pip install 'tightship[gpu]' on a CUDA machine",
            )
        return Availability(True, f"onnxruntime {ort.__version__}")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """ONNX and .ort files are opened as they are; an optimized one was written when it was exported."""
        return Engine(self.target, file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> OrtSession:
        """See `runtimes.base.Runtime`.

        Raises:
            IntegrityError: the file was optimized for another kind of CPU.
            RequestError: the engine's options are not those of this target.
        """
        told = read_options(self.options, engine.options, self.target)
        return OrtSession(engine.path, self.provider, threads, self.provider_options(engine), told)

    def provider_options(self, engine: Engine) -> dict[str, Any]:
        """What the provider is told."""
        return {}


class OnnxRuntimeCuda(OnnxRuntimeCpu):
    """ONNX Runtime's CUDA provider."""

    target = "onnxruntime-cuda"
    tells_layers = False
    """Kernels on the device end after the host's clock has stopped."""
    provider = "CUDAExecutionProvider"
    options: type[OrtOptions] = OrtOptions

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`; also asks the driver for a device, because the provider is listed without one."""
        listed = super().probe()
        if not listed.available:
            return listed
        import torch

        if not torch.cuda.is_available():
            return Availability(False, f"{listed.reason} lists {self.provider}, but there is no CUDA device")
        return Availability(True, f"{listed.reason}, {torch.cuda.get_device_name(0)}")

    def provider_options(self, engine: Engine) -> dict[str, Any]:
        """The first device; convolution algorithms chosen by measuring."""
        return {"device_id": 0, "cudnn_conv_algo_search": "EXHAUSTIVE"}


class OnnxRuntimeTensorRt(OnnxRuntimeCuda):
    """ONNX Runtime's TensorRT provider."""

    target = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"

    def provider_options(self, engine: Engine) -> dict[str, Any]:
        """int8 from the file's own QDQ; engines and timings kept beside the file."""
        cache = str(engine.path.parent)
        return {
            "device_id": 0,
            "trt_int8_enable": True,
            "trt_fp16_enable": False,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": cache,
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": cache,
        }
