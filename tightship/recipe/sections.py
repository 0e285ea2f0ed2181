"""The sections of a recipe that say which targets, what must hold, and how much is measured."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from artifacts.specs import DimRange, Signature
from compress.configs import Config
from compress.configs.quantize import Scheme
from runtimes.options import Options
from runtimes.registry import find
from tightship.recipe.gates import GatesConfig
from tightship.recipe.loop import LoopMeasure

Precision = Literal["fp32"] | Scheme | Annotated[str, Field(pattern=r"^fp32-[a-z0-9]+$")]


class TargetConfig(Config):
    """One target to build for."""

    name: str = Field(examples=["onnxruntime-cpu"])
    """The target, as `tightship targets` lists them."""
    optional: bool = False
    """If it cannot run here, say so in the report instead of failing."""
    precisions: tuple[Precision, ...] | None = Field(None, examples=[["fp32", "int8"]])
    """What is made: fp32, schemes of quantization, and a target's further forms of fp32, such as fp32-script of
    torchscript-cpu; by default fp32 and the scheme of the recipe's `quantize`."""
    stock: bool = False
    """Measure beside it the reference in int8 as the runtime's own tools make it: what a user has without compression."""
    gates: GatesConfig | None = Field(None, examples=[{"speedup": 1.5}])
    """Limits of this target; they replace the recipe's of the same name."""
    options: Mapping[str, Any] = Field(default_factory=dict, examples=[{"graph_level": "extended"}])
    """How its runtime opens the files, by the runtime's own names."""
    label: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=40, examples=["phone"])
    """Tells rows of one target apart: their artifacts end in `@label`."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        find(name)
        return name

    _settings: Options = PrivateAttr()

    @property
    def settings(self) -> Options:
        """The target's options, of its own type."""
        return self._settings

    @model_validator(mode="after")
    def _forms_of_the_target(self) -> "TargetConfig":
        known = find(self.name).float_formats
        for precision in self.precisions or ():
            if precision.startswith("fp32") and precision not in known:
                raise ValueError(f"precision {precision!r} is none of target {self.name}, which has {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _options_of_the_target(self) -> "TargetConfig":
        self._settings = find(self.name).read_options(self.options)
        if external := sorted(self._settings.external & set(self.options)):
            raise ValueError(
                f"option {external[0]} is for files made elsewhere (`tightship bench FILE --option {external[0]}=...`); "
                "what a recipe exports needs no library: say under `operators` how its operators are written"
            )
        return self


class DimConfig(Config):
    """The sizes that a dynamic dimension may take."""

    min: Annotated[int, Field(strict=True, ge=1)] = 1
    """The smallest size."""
    max: Annotated[int, Field(strict=True, ge=1)] = Field(examples=[64])
    """The largest size."""
    opt: Annotated[int, Field(strict=True, ge=1)] | None = Field(None, examples=[8])
    """The size that TensorRT chooses kernels for; by default `min`, with `axes` what the data has."""
    axes: Mapping[str, Annotated[int, Field(strict=True, ge=1)]] = Field(default_factory=dict, examples=[{"image": 2}])
    """Axes of inputs, counted from 0, that the data has at one size and that get this name: `{image: 2}`."""

    @model_validator(mode="after")
    def _rising(self) -> "DimConfig":
        if self.min >= self.max:
            raise ValueError(f"min {self.min} is not below max {self.max}; a dynamic dimension needs two sizes or more")
        if self.opt is not None and not self.min <= self.opt <= self.max:
            raise ValueError(f"opt {self.opt} is outside min {self.min} to max {self.max}; set it inside")
        return self


class OnnxExportConfig(Config):
    """How ONNX files are written, and files that are made from them."""

    opset: Annotated[int, Field(strict=True, ge=18, le=23)] = 18
    """The version of ONNX's operator set; read back from the file, which is refused if it has another."""
    sidecar: bool = False
    """Whether weights lie in `model.onnx.data` however few they are; above 1.5 GB they always do."""
    metadata: bool = True
    """Whether files say their labels and preprocessing."""
    operators: Mapping[str, str] = Field(default_factory=dict, examples=[{"gates::soft_gate": "gates:soft_gate_onnx"}])
    """Operators of your own that ONNX lacks: `namespace::name` -> `"module:callable"` that translates it."""

    @field_validator("operators")
    @classmethod
    def _by_name(cls, operators: Mapping[str, str]) -> Mapping[str, str]:
        for name, spec in operators.items():
            if not re.fullmatch(r"\w+::\w+(\.\w+)?", name):
                raise ValueError(f"{name!r} is no operator's name; PyTorch's are of the form namespace::name")
            if not re.fullmatch(r"[\w.]+:\w+", spec):
                raise ValueError(f"{name!r} is translated by {spec!r}, which is not of the form module:callable")
        return operators


class TorchScriptExportConfig(Config):
    """How TorchScript files are written."""

    script: tuple[str, ...] = Field((), examples=[["body.gate"]])
    """Modules, by dotted name, that a traced program holds compiled, with their control flow."""

    @field_validator("script")
    @classmethod
    def _by_name(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not re.fullmatch(r"\w+(\.\w+)*", name):
                raise ValueError(f"{name!r} is no module's name; they are of the form layer1.0.gate")
        return names


class ExportConfig(Config):
    """What files take, and how they are written."""

    dims: Mapping[str, DimConfig] = Field(default_factory=dict, examples=[{"batch": {"min": 1, "opt": 8, "max": 64}}])
    """The sizes that the inputs' dynamic dimensions may take, by name; those left out take any."""
    onnx: OnnxExportConfig = OnnxExportConfig()
    """How ONNX files are written, and those that are made from them."""
    torchscript: TorchScriptExportConfig = TorchScriptExportConfig()
    """What traced TorchScript programs hold compiled."""

    @model_validator(mode="after")
    def _each_axis_once(self) -> "ExportConfig":
        seen: dict[tuple[str, int], str] = {}
        for name, dim in self.dims.items():
            for axis in dim.axes.items():
                if axis in seen:
                    raise ValueError(f"dims: axis {axis[1]} of input {axis[0]!r} is named twice, {seen[axis]!r} and {name!r}")
                seen[axis] = name
        return self

    def signature(self, given: Signature) -> Signature:
        """What files take: the signature with its axes named and the ranges of all of them."""
        names = {(name, axis): dim for dim, d in self.dims.items() for name, axis in d.axes.items()}
        inputs = [
            replace(s, shape=tuple(names.get((s.name, at), size) for at, size in enumerate(s.shape))) for s in given.inputs
        ]
        usual = {names[s.name, at]: n for s in given.inputs for at, n in enumerate(s.shape) if (s.name, at) in names}
        ranges = [DimRange(n, d.min, d.max, d.opt or int(usual.get(n, d.min))) for n, d in self.dims.items()]
        return replace(given, inputs=tuple(inputs), ranges=tuple(ranges))


class MeasureConfig(Config):
    """How much is measured."""

    renamed: ClassVar[Mapping[str, str]] = {"sensitivity_examples": "sensitivity_samples"}
    processes: Annotated[int, Field(ge=1, le=100)] = 3
    """Fresh processes per artifact; the interval is over these."""
    blocks: Annotated[int, Field(ge=1)] = 4
    """Blocks of calls that each process times, in turns with the others."""
    block_seconds: Annotated[float, Field(gt=0)] = 0.15
    """Least length of a block in seconds; it has at least 10 calls too."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of each engine."""
    throughput_batch: Annotated[int, Field(ge=1)] = 32
    """Examples per call where the throughput is measured."""
    sensitivity: bool = False
    """Of each int8 file: quantize every layer alone, and tell which loses how much."""
    sensitivity_samples: Annotated[int, Field(ge=50)] = 256
    """Held-out training examples for that."""

    loop: LoopMeasure | None = Field(None, examples=[{"steps": 32, "feed": {"state": "next_state"}}])
    """A loop that each file is called in, such as the sampling of text: each step is fed what the step before gave."""

    def timing(self) -> dict[str, Any]:
        """What decides the timing."""
        return self.model_dump(exclude={"sensitivity", "sensitivity_samples", "loop"})
