"""From a network to the file of one target: which format, which quantizer, and what a recipe's `export` would say."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import ModelError, RecipeError, RequestError, TargetUnavailable, nearest
from artifacts.types import Arrays, ExportedFile, OnnxForm, TorchModel
from tightship.api.networks.artifacts import Artifact, Made
from tightship.api.networks.options import quiet

if TYPE_CHECKING:
    from compress.quantizers import Calibration
    from runtimes.options import Options
    from runtimes.target import Target


@dataclass(frozen=True)
class Writing:
    """How files for a target are written."""

    target: "Target"
    options: "Options"
    format: str

    @classmethod
    def of(cls, name: str, options: Mapping[str, object] | None, format_name: str | None = None) -> "Writing":
        """Of this target, with these options.

        Raises:
            RequestError: there is no such target, it opens no such format, or an option is unknown.
            TargetUnavailable: a library that makes its files is missing.
        """
        from export.registry import FORMATS
        from runtimes.probe import missing_library
        from runtimes.registry import find

        target = find(name)
        told = target.read_options(options or {})
        if format_name is not None and format_name not in target.formats:
            raise RequestError(f"target {name} opens no {format_name!r} files; {nearest(format_name, target.formats)}.")
        missing = missing_library(target)
        written = FORMATS.find(format_name or target.formats[0])
        # a runtime whose files others write need not be there to write them
        if missing in written.libraries:
            raise TargetUnavailable(f"target {name!r} needs {missing}, which is not installed: {target.install_hint(missing)}.")
        return cls(target, told, written.name)

    def quantizer(self, scheme: str) -> str:
        """The quantizer that makes a scheme's files for the target.

        Raises:
            RequestError: the target does not run the scheme.
        """
        from runtimes.registry import running

        found = self.target.quantizer_for(scheme)
        if found is None:
            able = ", ".join(running(scheme)) or "no target"
            raise RequestError(f"target {self.target.name} does not run scheme {scheme}; these do: {able}.")
        return found

    def write(self, model: TorchModel, examples: Arrays, quantizer: str | None, calibration: "Calibration | None") -> Artifact:
        """The artifact of a network.

        Raises:
            ModelError: the network has no form in the format, or cannot be quantized.
        """
        from export.quantized import write

        folder, work = new_folder()
        if self.format == "module" and model.ref.factory:
            _builds(model)
        with quiet():
            file = self._shipped(write(model, self.format, folder, quantizer, calibration))
        made = Made(model, quantizer, calibration.config if calibration else None)
        return Artifact(self.target.name, file, self.options.session_options(), examples, made, keep=work)

    def _shipped(self, file: ExportedFile) -> ExportedFile:
        """The file as the target's options want it, in the folder that it lies in."""
        if not self.options.of_the_file:
            return file
        with tempfile.TemporaryDirectory(dir=file.folder.parent) as work:
            plain = Path(work) / "plain"
            file.folder.rename(plain)
            file.folder.mkdir()
            return self.options.rewrite(replace(file, folder=plain), file.folder)


def _builds(model: TorchModel) -> None:
    """Hold the factory against the network.

    Raises:
        ModelError: it builds another one.
    """
    from zoo.models import build

    made, given = build(model.ref).state_dict(), model.module.state_dict()
    if {n: t.shape for n, t in made.items()} != {n: t.shape for n, t in given.items()}:
        raise ModelError(f"factory {model.ref.factory!r} builds a network with other weights than the one that is given.")


def with_export(model: TorchModel, given: Mapping[str, Mapping[str, object] | None]) -> TorchModel:
    """The network with what a recipe's `export` says.

    Raises:
        RequestError: a key is unknown, or a value is beyond its limits.
    """
    from tightship.recipe.recipe import parse_export

    said = {name: value for name, value in given.items() if value is not None}
    try:
        config = parse_export(said, "export")
    except RecipeError as error:
        raise RequestError(str(error)) from None
    known = {spec.name for spec in model.signature.inputs}
    for name, dims in config.dims.items():
        for wanted in dims.axes:
            if wanted not in known:
                raise RequestError(
                    f"dims: {name!r} names the input {wanted!r}, which the network lacks; {nearest(wanted, known)}."
                )
    form = OnnxForm(config.onnx.opset, config.onnx.sidecar, {})
    signature = config.signature(model.signature)
    return replace(model, signature=signature, operators=config.onnx.operators, onnx=form, scripted=config.torchscript.script)


def new_folder() -> "tuple[Path, tempfile.TemporaryDirectory[str]]":
    """An empty folder for a file, in a temporary one that is removed with the object that is returned."""
    work = tempfile.TemporaryDirectory(prefix="tightship-artifact-")
    folder = Path(work.name) / "files"
    folder.mkdir()
    return folder, work
