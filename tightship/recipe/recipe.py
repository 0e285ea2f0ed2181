"""The recipe: what a user may ask for, checked as it is read."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from artifacts.errors import RecipeError, nearest
from artifacts.json import JsonValue
from artifacts.yaml_loader import read_yaml
from compress.configs import (
    Config,
    DistilConfig,
    FactorizeConfig,
    ModelConfig,
    PalettizeConfig,
    PruneConfig,
    QuantizeConfig,
    TeacherConfig,
    TrainConfig,
)
from tightship.recipe.data import DataConfig
from tightship.recipe.data_formats import NESTED
from tightship.recipe.gates import GatesConfig
from tightship.recipe.sections import DimConfig, ExportConfig, MeasureConfig, OnnxExportConfig, TargetConfig

StageConfig = DistilConfig | PruneConfig | FactorizeConfig | PalettizeConfig | QuantizeConfig
STAGES: dict[str, type[StageConfig]] = {
    "distil": DistilConfig,
    "prune": PruneConfig,
    "factorize": FactorizeConfig,
    "palettize": PalettizeConfig,
    "quantize": QuantizeConfig,
}
M = TypeVar("M", bound=BaseModel)


class Stage(Config):
    """One entry of `compress`."""

    kind: Literal["distil", "prune", "factorize", "palettize", "quantize"] = Field(examples=["prune"])
    """The method: the one key of the entry."""
    config: StageConfig = Field(examples=[{"macs": 0.5}])
    """The options of the method: the mapping under that key."""


class Recipe(Config):
    """A whole recipe."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["digits"])
    """What the run is called, and its folder under `runs/`: letters, digits, `.`, `_` and `-`."""
    seed: int = Field(0, ge=0)
    """What all draws start from: initial weights, order of examples, augmentation, calibration."""
    model: ModelConfig = Field(examples=[{"zoo": "resnet", "depth": 8, "width": 16}])
    """The network that is compressed and shipped."""
    data: DataConfig = Field(examples=[{"zoo": "digits"}])
    """The examples that it is trained, calibrated and scored on."""
    train: TrainConfig = TrainConfig()
    """How a network that comes without weights is trained before it is compressed."""
    compress: tuple[Stage, ...] = Field((), examples=[[{"prune": {"macs": 0.5}}, {"quantize": {"scheme": "int8"}}]])
    """The methods of compression in their order, each a mapping with one key; the order is checked before any work."""
    export: ExportConfig = ExportConfig()
    """What the files take as input, and how they are written."""
    targets: tuple[TargetConfig, ...] = Field(min_length=1, examples=[["onnxruntime-cpu", "torchscript-cpu"]])
    """What to build for, each a name or a mapping; `tightship targets` lists them."""
    gates: GatesConfig = Field(examples=[{"accuracy_drop": 0.01, "size_mb": 1}])
    """The limits that decide: at least one."""
    measure: MeasureConfig = MeasureConfig()
    """How many processes, blocks of calls and threads the figures are taken with."""

    def stage(self, kind: str) -> StageConfig | None:
        """The config of the last stage of this kind."""
        found = [s.config for s in self.compress if s.kind == kind]
        return found[-1] if found else None

    def as_json(self) -> dict[str, JsonValue]:
        """The recipe as plain JSON, defaults filled in."""
        return self.model_dump(mode="json")


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: one sentence that names the place, the value and the way out.
    """
    return parse_recipe(read_yaml(path), path.resolve().parent, str(path))


def parse_recipe(value: Mapping[str, object], folder: Path, where: str = "recipe") -> Recipe:
    """A recipe from plain values; relative paths are looked for beside the recipe."""
    value = dict(value)
    _known_keys(value, Recipe, where)
    if "data" in value:
        value["data"] = _formats(value["data"], folder, f"{where}: data")
    sections: dict[str, type[BaseModel]] = {
        "model": ModelConfig,
        "data": DataConfig,
        "train": TrainConfig,
        "gates": GatesConfig,
        "measure": MeasureConfig,
    }
    for key, kind in sections.items():
        if key in value:
            value[key] = parse_section(kind, _expand(value[key], folder, f"{where}: {key}"), f"{where}: {key}")
    value["compress"] = tuple(
        _stage(entry, folder, f"{where}: compress[{i}]") for i, entry in enumerate(_list(value, "compress", where))
    )
    value["targets"] = tuple(_target(entry, f"{where}: targets[{i}]") for i, entry in enumerate(_list(value, "targets", where)))
    if "export" in value:
        value["export"] = parse_export(value["export"], f"{where}: export")
    recipe = parse_section(Recipe, value, where)
    if not recipe.gates.limits():
        raise RecipeError(f"{where}: gates is empty, so the run would decide nothing; set at least accuracy_drop.")
    names = [f"{t.name}@{t.label}" if t.label else t.name for t in recipe.targets]
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise RecipeError(f"{where}: target {twice[0]!r} is listed twice; list it once, or give each row a `label` of its own.")
    return recipe


def _list(value: Mapping[str, object], key: str, where: str) -> list[object]:
    entries = value.get(key) or []
    if not isinstance(entries, list):
        raise RecipeError(f"{where}: {key} must be a list; got {type(entries).__name__}.")
    return entries


def _stage(entry: object, folder: Path, where: str) -> Stage:
    if not isinstance(entry, dict) or len(entry) != 1:
        raise RecipeError(f"{where} must be one stage such as `- prune: {{macs: 0.5}}`; got {entry!r}.")
    kind, options = next(iter(entry.items()))
    if kind not in STAGES:
        raise RecipeError(f"{where}: unknown stage {kind!r}; {nearest(kind, STAGES)}.")
    options = _expand(options or {}, folder, where)
    if kind == "distil" and isinstance(options.get("teacher"), dict):
        options["teacher"] = _teacher(options["teacher"], folder, f"{where}: distil.teacher")
    several = options.get("teachers")
    if kind == "distil" and isinstance(several, list):
        named = [(entry, f"{where}: distil.teachers[{i}]") for i, entry in enumerate(several)]
        options["teachers"] = tuple(_teacher(entry, folder, place) for entry, place in named)
    return Stage.model_construct(kind=kind, config=parse_section(STAGES[kind], options, f"{where}: {kind}"))


def _formats(entry: object, folder: Path, where: str) -> object:
    """The section `data`, with the formats that have keys of their own read."""
    if not isinstance(entry, dict):
        return entry
    read = {
        key: parse_section(kind, _expand(entry[key], folder, f"{where}: {key}"), f"{where}: {key}")
        for key, kind in NESTED.items()
        if isinstance(entry.get(key), dict)
    }
    return {**entry, **read}


def _teacher(entry: object, folder: Path, where: str) -> TeacherConfig:
    return parse_section(TeacherConfig, _expand(entry, folder, where), where)


def _target(entry: object, where: str) -> TargetConfig:
    value = {"name": entry} if isinstance(entry, str) else entry
    if isinstance(value, dict) and isinstance(value.get("gates"), dict):
        value = {**value, "gates": parse_section(GatesConfig, value["gates"], f"{where}: gates")}
    return parse_section(TargetConfig, value, where)


def parse_export(entry: object, where: str) -> ExportConfig:
    """What a recipe's `export` says; `where` begins the message.

    Raises:
        RecipeError: a key is unknown, or a value is beyond its limits.
    """
    value = dict(_known_keys(entry, ExportConfig, where))
    dims = value.get("dims")
    if isinstance(dims, dict):
        value["dims"] = {name: parse_section(DimConfig, one, f"{where}: dims.{name}") for name, one in dims.items()}
    if "onnx" in value:
        value["onnx"] = parse_section(OnnxExportConfig, value["onnx"], f"{where}: onnx")
    return parse_section(ExportConfig, value, where)


def _expand(value: object, folder: Path, where: str) -> dict[str, object]:
    """The mapping with `$VARIABLES` filled in and paths made absolute, taken from the recipe's folder."""
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be a mapping; got {value!r}.")
    made = dict(value)
    for key in ("weights", "file", "imagefolder", "idx", "npz", "npy", "wav", "hf", "folder", "train", "test"):
        if isinstance(made.get(key), str):
            made[key] = folder / _fill(made[key], where)
    return made


def _fill(text: str, where: str) -> str:
    def replace(found: "re.Match[str]") -> str:
        name = found[1] or found[2]
        if name not in os.environ:
            raise RecipeError(f"{where}: {text!r} needs the environment variable {name}, which is not set.")
        return os.environ[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", replace, text)


def _known_keys(value: object, kind: type[BaseModel], where: str) -> dict[str, object]:
    """The value, which is a mapping whose keys are all known."""
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be a mapping; got {value!r}.")
    for key in () if kind.model_config.get("extra") == "allow" else value:
        if key not in kind.model_fields:
            new = kind.renamed.get(key) if issubclass(kind, Config) else None
            if new:
                raise RecipeError(f"{where}: {key!r} is called {new!r} now; rename it.")
            raise RecipeError(f"{where}: unknown key {key!r}; {nearest(key, kind.model_fields)}.")
    return value


def parse_section(kind: type[M], value: object, where: str) -> M:
    """A part of a recipe from plain values; `where` begins the message.

    Raises:
        RecipeError: a key is unknown (the message names the nearest), or a value is beyond its limits.
    """
    if isinstance(value, kind):
        return value
    _known_keys(value, kind, where)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        given = "" if first["type"] in ("missing", "value_error") else f" (got {first['input']!r})"
        raise RecipeError(f"{where}{f': {place}' if place else ''}: {message.rstrip('.')}{given}.") from None
