"""The one list of targets: runtime + device + the file it opens + the quantizer that it runs at full speed."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from artifacts.environments import LITERT, Environment
from artifacts.errors import RequestError, nearest
from runtimes.base import Runtime
from runtimes.options import Options, read_options


@dataclass(frozen=True)
class Target:
    """One row of the list; nothing heavy is imported until `runtime()` is called."""

    name: str
    entry_point: str
    """`module:Class` of the runtime."""
    formats: tuple[str, ...]
    """The export formats it opens (names of `export.registry`); the first is the usual one."""
    quantizer: str | None
    """How int8 is made for it (a name of `compress.quantizers`); none if it has no int8 of its own."""
    libraries: tuple[str, ...]
    """The distributions whose versions decide what it computes and how fast."""
    extra: str | None = None
    """The extra of this distribution that brings its libraries."""
    reference: bool = False
    """A yardstick, not a thing to ship: its artifacts are measured but not gated."""
    qat: bool = False
    """Whether its int8 file can carry the ranges learned in quantization-aware training."""
    device: Literal["cpu", "cuda"] = "cpu"
    stock: tuple[str, str] | None = None
    """Format and quantizer of the int8 file that the runtime's own tools make: what a user has without us."""
    environment: Environment | None = None
    """Where it is probed, opened and measured, if not in this environment."""
    schemes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The quantizers of the schemes that it runs besides int8: scheme -> name in `compress.quantizers`."""
    options: str | None = None
    """`module:Class` of the options that its runtime takes; none if it takes none."""

    only_on: str | None = None
    """The one `sys.platform` on which its files run; on others they are converted and checked, and not run."""

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its files run on another system only."""
        return self.only_on is not None and sys.platform != self.only_on

    def quantizer_for(self, scheme: str) -> str | None:
        """The quantizer that makes a scheme's files for this target; none if it does not run the scheme."""
        return self.quantizer if scheme == "int8" else self.schemes.get(scheme)

    def runtime(self) -> Runtime:
        """The runtime of this target."""
        made: Runtime = _named(self.entry_point)()
        return made

    def options_kind(self) -> type[Options]:
        """What its options are."""
        kind: type[Options] = _named(self.options) if self.options else Options
        return kind

    def read_options(self, given: Mapping[str, Any]) -> Options:
        """Its options from plain values, such as those of a recipe.

        Raises:
            RequestError: one is unknown, or has a value that it cannot have.
        """
        return read_options(self.options_kind(), given, self.name)


def _named(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target(
            "torch-cpu",
            "runtimes.torch.eager:TorchCpu",
            ("module",),
            None,
            ("torch",),
            reference=True,
            options="runtimes.torch.options:TorchOptions",
        ),
        Target("torch-cuda", "runtimes.torch.eager:TorchCuda", ("module",), None, ("torch",), None, True, device="cuda"),
        Target(
            "torchscript-cpu",
            "runtimes.torch.torchscript:TorchScriptCpu",
            ("torchscript-trace", "torchscript-script"),
            "fx-int8",
            ("torch",),
            schemes={"int8-dynamic": "fx-dynamic", "fp16": "torch-half", "bf16": "torch-half"},
            options="runtimes.torch.options:TorchScriptOptions",
        ),
        Target(
            "inductor-cpu",
            "runtimes.torch.inductor:InductorCpu",
            ("module",),
            None,
            ("torch",),
            reference=True,
            options="runtimes.torch.options:TorchOptions",
        ),
        Target(
            "aotinductor-cpu",
            "runtimes.torch.aotinductor:AotInductorCpu",
            ("aotinductor",),
            "pt2e-x86",
            ("torch",),
            qat=True,
            schemes={"bf16": "torch-half"},
        ),
        Target(
            "onnxruntime-cpu",
            "runtimes.onnxruntime.runtime:OnnxRuntimeCpu",
            ("onnx",),
            "onnx-qdq",
            ("onnxruntime",),
            qat=True,
            stock=("onnx-stock", "onnx-stock"),
            schemes={
                "int8-dynamic": "onnx-dynamic",
                "int8-weights": "onnx-weights",
                "int4-weights": "onnx-weights",
                "fp16": "onnx-half",
            },
            options="runtimes.onnxruntime.options:OrtCpuOptions",
        ),
        Target(
            "onnxruntime-cuda",
            "runtimes.onnxruntime.runtime:OnnxRuntimeCuda",
            ("onnx",),
            "onnx-qdq-symmetric",
            ("onnxruntime-gpu",),
            "gpu",
            qat=True,
            device="cuda",
            options="runtimes.onnxruntime.options:OrtOptions",
        ),
        Target(
            "onnxruntime-tensorrt",
            "runtimes.onnxruntime.runtime:OnnxRuntimeTensorRt",
            ("onnx",),
            "onnx-qdq-symmetric",
            ("onnxruntime-gpu",),
            "gpu",
            qat=True,
            device="cuda",
            options="runtimes.onnxruntime.options:OrtOptions",
        ),
        Target(
            "tensorrt",
            "runtimes.tensorrt.runtime:TensorRt",
            ("onnx",),
            "onnx-qdq-symmetric",
            ("tensorrt",),
            "gpu",
            qat=True,
            device="cuda",
        ),
        Target(
            "openvino-cpu",
            "runtimes.openvino.runtime:OpenVinoCpu",
            ("openvino",),
            "nncf",
            ("openvino", "nncf"),
            "openvino",
            qat=True,
            schemes={"fp16": "openvino-half", "bf16": "openvino-half"},
            options="runtimes.openvino.options:OpenVinoOptions",
        ),
        Target(
            "executorch-xnnpack",
            "runtimes.executorch.runtime:ExecuTorchXnnpack",
            ("executorch",),
            "pt2e-xnnpack",
            ("executorch", "torchao"),
            "mobile",
            qat=True,
            stock=("executorch", "pt2e-stock"),
            options="runtimes.executorch.bundled_program:ExecuTorchOptions",
        ),
        Target(
            "litert-xnnpack",
            "runtimes.litert:LiteRtXnnpack",
            ("litert",),
            "litert-int8",
            ("ai-edge-litert",),
            environment=LITERT,
        ),
        Target(
            "onnxruntime-web",
            "runtimes.onnxruntime_web.runtime:OnnxRuntimeWeb",
            ("onnx",),
            "onnx-qdq",
            ("onnxruntime-web",),
            qat=True,
        ),
        Target("ncnn-cpu", "runtimes.ncnn:NcnnCpu", ("ncnn",), None, ("ncnn",), "ncnn", schemes={"fp16": "ncnn-half"}),
        Target(
            "coreml",
            "runtimes.coreml:CoreMl",
            ("coreml",),
            None,
            ("coremltools",),
            "coreml",
            schemes={"fp16": "coreml-half", "int8-weights": "coreml-weights", "palette4-weights": "coreml-weights"},
            only_on="darwin",
        ),
    )
}


def running(scheme: str) -> list[str]:
    """The names of the targets that run a scheme."""
    return [target.name for target in TARGETS.values() if target.quantizer_for(scheme)]


def find(name: str) -> Target:
    """The target with this name.

    Raises:
        RequestError: there is no such target; the message names the nearest.
    """
    if name not in TARGETS:
        raise RequestError(f"unknown target {name!r}; {nearest(name, TARGETS)}.")
    return TARGETS[name]
