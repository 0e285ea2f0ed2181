"""ONNX Runtime as it is timed, on the one provider that its target names. Bundles ship this module."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import Arrays, Engine
from runtimes.onnxruntime.optimized_file import already_optimized
from runtimes.onnxruntime.options import OrtCpuOptions, OrtOptions
from runtimes.options import OptionValue, read_options


@dataclass(frozen=True)
class Provider:
    """An execution provider of ONNX Runtime."""

    name: str
    options: Callable[[Engine], Mapping[str, OptionValue]]
    """What it is told."""
    session_options: type[OrtOptions] = OrtOptions
    """What the session may be told."""


def _cuda(engine: Engine) -> Mapping[str, OptionValue]:
    """The first device; convolution algorithms chosen by measuring."""
    return {"device_id": 0, "cudnn_conv_algo_search": "EXHAUSTIVE"}


def _tensorrt(engine: Engine) -> Mapping[str, OptionValue]:
    """int8 from the file's own QDQ; engines and timings kept beside the file."""
    cache = str(engine.path.parent)
    return {
        "device_id": 0, "trt_int8_enable": True, "trt_fp16_enable": False, "trt_engine_cache_enable": True,
        "trt_engine_cache_path": cache, "trt_timing_cache_enable": True, "trt_timing_cache_path": cache,
    }  # fmt: skip


PROVIDERS = {
    "onnxruntime-cpu": Provider("CPUExecutionProvider", lambda engine: {}, OrtCpuOptions),
    "onnxruntime-cuda": Provider("CUDAExecutionProvider", _cuda),
    "onnxruntime-tensorrt": Provider("TensorrtExecutionProvider", _tensorrt),
}
"""By target."""


class OrtProgram:
    """An open ONNX or .ort file.

    Raises:
        ModelError: ONNX Runtime cannot open it.
        TargetUnavailable: its provider did not start: one that fails to load is replaced by the CPU without an error.
        IntegrityError: it was optimized for another kind of CPU.
        RequestError: the engine's options are not those of its target.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine, self._threads, self._provider = engine, threads, PROVIDERS[engine.target]
        self._told = read_options(self._provider.session_options, engine.options, engine.target)
        self._session = self._open()
        active = self._session.get_providers()[0]
        if active != self._provider.name:
            raise TargetUnavailable(
                f"ONNX Runtime was asked for {self._provider.name} but runs {active}; its libraries did not load."
            )
        told, found = engine.signature.outputs, self._session.get_outputs()
        # in order: a file cannot call an output as it calls an input
        self._names = [o.name for o in (told if len(told) == len(found) else found)]

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        return dict(zip(self._names, self._session.run(None, inputs), strict=True))

    def _open(self, profile: str | None = None) -> Any:
        import onnxruntime as ort

        path = self._engine.path
        settings = self._told.settings(self._threads, already_optimized(path))
        if profile:
            settings.enable_profiling = True
            settings.profile_file_prefix = profile
        provider = (self._provider.name, dict(self._provider.options(self._engine)))
        try:
            return ort.InferenceSession(str(path), settings, providers=[provider])
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot open {path.name}: {str(error).splitlines()[0]}") from error
