"""Core ML through coremltools, on macOS only: one example at a time, on the devices that Core ML chooses."""

import platform
from typing import Any

import numpy as np

from artifacts.arrays import joined
from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import Arrays, Availability, Engine, Placement
from runtimes.base import Placed, Runtime
from runtimes.target import Target

SYSTEM = "Darwin"
"""What Python calls macOS."""
MACOS_ONLY = "Core ML runs on macOS only"
ACCELERATORS = ("MLNeuralEngineComputeDevice", "MLGPUComputeDevice")
"""The names of coremltools' classes of devices besides the CPU."""


class CoreMlSession(Placed):
    """A loaded package; batches run example by example, since it has a fixed batch of one."""

    def __init__(self, engine: Engine) -> None:
        import coremltools as ct

        try:
            self._model = ct.models.MLModel(str(engine.path), compute_units=ct.ComputeUnit.ALL)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(f"Core ML cannot open {engine.path.name}: {first}.") from error
        self._units = ct.ComputeUnit.ALL
        self._specs = engine.signature.outputs
        self._inputs = [(s.name, _core_ml_type(s.dtype)) for s in engine.signature.inputs]
        self._outputs = {s.name: np.dtype(s.dtype) for s in engine.signature.outputs}

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        count = len(next(iter(inputs.values())))
        rows = [self._one({name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
        return joined(rows, self._specs)

    def _one(self, inputs: Arrays) -> Arrays:
        fed = {name: np.ascontiguousarray(inputs[name], dtype) for name, dtype in self._inputs}
        made: dict[str, Any] = self._model.predict(fed)
        return {name: np.asarray(made[name], self._outputs.get(name)) for name in self._outputs or made}

    def placement(self) -> Placement:
        """The operators by the device that Core ML prefers for them: the Neural Engine and the GPU against the CPU."""
        from coremltools.models.compute_plan import MLComputePlan

        plan = MLComputePlan.load_from_path(self._model.get_compiled_model_path(), self._units)
        accelerated: dict[str, int] = {}
        fallback: dict[str, int] = {}
        for operation in plan.model_structure.program.functions["main"].block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
            if usage is None:
                continue  # a constant
            counts = accelerated if type(usage.preferred_compute_device).__name__ in ACCELERATORS else fallback
            counts[operation.operator_name] = counts.get(operation.operator_name, 0) + 1
        return Placement(accelerated, fallback, "Core ML's compute plan: Neural Engine and GPU against CPU")


def _core_ml_type(dtype: str) -> type[np.generic]:
    """Whole numbers are 32-bit in Core ML."""
    return np.int32 if np.dtype(dtype).kind in "iu" else np.float32


class CoreMl(Runtime):
    """Core ML on a Mac, which compiles a package as it loads; elsewhere packages are made and checked, and not run."""

    target = "coreml"
    session = CoreMlSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        if platform.system() != SYSTEM:
            return Availability(False, MACOS_ONLY)
        try:
            import coremltools
        except ImportError as error:
            return Availability(False, f"{error.name} is not installed: pip install 'tightship[coreml]'")
        return Availability(True, f"Core ML by coremltools {coremltools.__version__}")

    def open(self, engine: Engine, threads: int) -> CoreMlSession:
        """See `runtimes.base.Runtime`; Core ML chooses its threads itself.

        Raises:
            TargetUnavailable: this is no macOS.
        """
        if platform.system() != SYSTEM:
            here = platform.system()
            raise TargetUnavailable(f"{MACOS_ONLY}, and this is {here}; copy {engine.path.name} to a Mac and run it there.")
        return CoreMlSession(engine)


TARGETS = (
    Target(
        "coreml",
        "runtimes.coreml:CoreMl",
        ("coreml",),
        None,
        ("coremltools",),
        extra="coreml",
        schemes={"fp16": "coreml-half", "int8-weights": "coreml-weights", "palette4-weights": "coreml-weights"},
        only_on="darwin",
    ),
)
