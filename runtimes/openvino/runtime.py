"""OpenVINO on the CPU: what its sessions tell besides running."""

from typing import Any

from artifacts.records.roofline import LayerTimes
from artifacts.types import Arrays, Availability, Engine, Placement
from export.openvino.reading import core
from runtimes.base import Placed, Runtime, ShowsTensors, TimesLayers
from runtimes.openvino.loader import OpenVinoProgram, smallest
from runtimes.openvino.placement import place, timed_runs


class OpenVinoSession(OpenVinoProgram, Placed, TimesLayers, ShowsTensors):
    """An open model."""

    def placement(self) -> Placement:
        """Operators as the CPU plugin compiled them, from its runtime model.

        Outside are reference kernels, and layers that run in a wider type than the file says.
        """
        _, fixed = smallest(self._model)
        counted = self._compile(fixed, PERF_COUNT=True)
        if self._shapes is not None:
            timed_runs(counted, self._shapes)
        return place(counted.get_runtime_model(), self._model, self._precision)

    def layer_times(self, inputs: Arrays) -> LayerTimes:
        """What each node takes in a call on these inputs, by the CPU plugin's own counters."""
        from runtimes.openvino.profile import layer_times

        fixed = self._shaped(inputs)
        return layer_times(self._compile(fixed, PERF_COUNT=True), fixed, self._inputs, inputs)

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the file for these inputs, by the operators' names in it."""
        from runtimes.openvino.intermediates import inner_tensors

        return inner_tensors(self._shaped(inputs), self._compile, [inputs[name] for name in self._inputs])

    def _shaped(self, inputs: Arrays) -> Any:
        """A copy of the model for inputs of these shapes alone."""
        fixed = self._model.clone()
        fixed.reshape({port: list(inputs[name].shape) for port, name in zip(fixed.inputs, self._inputs, strict=True)})
        return fixed


class OpenVinoCpu(Runtime):
    """OpenVINO's CPU plugin."""

    target = "openvino-cpu"
    session = OpenVinoSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import openvino as ov
        except ImportError as error:
            return Availability(False, f"{error.name} is not installed: pip install 'tightship[openvino]'")
        devices, version = core().available_devices, ov.__version__.partition("-")[0]
        if "CPU" not in devices:
            return Availability(False, f"openvino {version} has no CPU plugin here; it has {', '.join(devices) or 'none'}")
        return Availability(True, f"openvino {version}")

    def open(self, engine: Engine, threads: int) -> OpenVinoSession:
        """See `runtimes.base.Runtime`.

        Raises:
            ModelError: the file is no IR, or the CPU plugin cannot compile it.
            TargetUnavailable: the file is meant for bf16 and the CPU has none.
        """
        return OpenVinoSession(engine, threads)
