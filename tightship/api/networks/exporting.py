"""Artifacts from a network that is given as an object, and from a finished run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.arrays import load_arrays
from artifacts.errors import IntegrityError, RequestError
from artifacts.specs import Signature
from artifacts.types import ExportedFile
from tightship.api.networks.artifacts import Artifact
from tightship.api.networks.options import working

if TYPE_CHECKING:
    from torch import nn

    from artifacts.records.evidence import ArtifactRecord, Evidence
    from tightship.api.networks.models import ExampleInputs


def export(
    model: "nn.Module",
    example_inputs: "ExampleInputs",
    target: str = "onnxruntime-cpu",
    *,
    format: str | None = None,
    options: Mapping[str, object] | None = None,
    dims: Mapping[str, object] | None = None,
    onnx: Mapping[str, object] | None = None,
    torchscript: Mapping[str, object] | None = None,
    dynamic_batch: bool = True,
    factory: str | None = None,
) -> Artifact:
    """Write a network as the file that a target opens, in float32.

    Args:
        model: a network, which is left as it is.
        example_inputs: a tensor, a tuple of tensors in the order of forward's parameters, or a dict by their names; examples
            along the first axis.
        target: a target's name; `targets()` lists them.
        format: another of the target's formats than the usual one, such as `torchscript-script`.
        options: how the target opens the file, as a recipe's `targets: [{options: ...}]`.
        dims: dynamic dimensions, as a recipe's `export: {dims: ...}`.
        onnx: how ONNX files are written, as a recipe's `export: {onnx: ...}`.
        torchscript: as a recipe's `export: {torchscript: ...}`.
        dynamic_batch: whether the first axis may have any size; else all sizes are those of the examples.
        factory: `"module:callable"` that builds the network, for targets such as `torch-cpu` that store how to build it.

    Returns:
        The artifact; its file lies in a temporary folder until `.save(folder)`.

    Raises:
        ModelError: the network cannot run on the examples, or has no form in the target's format.
        RequestError: there is no such target, or an option is unknown.
        TargetUnavailable: a library of the target is missing.

    >>> import tightship as ts, torch
    >>> artifact = ts.export(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()), torch.zeros(1, 4))
    >>> artifact.file.signature.inputs[0]
    TensorSpec(name='input', dtype='float32', shape=('batch', 4))
    """
    with working("export"):
        from tightship.api.networks.models import given_model
        from tightship.api.networks.writing import Writing, with_export

        writing = Writing.of(target, options, format)
        given = given_model(model, example_inputs, dynamic_batch=dynamic_batch, factory=factory)
        shaped = with_export(given.model, {"dims": dims, "onnx": onnx, "torchscript": torchscript})
        return writing.write(shaped, given.examples, None, None)


def artifact_of(folder: Path, evidence: "Evidence", artifact_id: str | None) -> Artifact:
    """An artifact of a finished run.

    Raises:
        RequestError: there is none; nothing passed and none is named.
        IntegrityError: its file is missing, or is not the one that was measured.
    """
    chosen = artifact_id or evidence.verdict.best
    if chosen is None:
        known = ", ".join(a.id for a in evidence.artifacts)
        raise RequestError(f"run {evidence.name!r} has no artifact that passed; name one: {known}.")
    record = evidence.artifact(chosen)
    _unchanged(folder, record)
    home = f"artifacts/{record.id}"
    signature = Signature.from_json(record.signature)
    precision = record.precision.partition("@")[0]
    file = ExportedFile(record.format, folder / home, record.main.removeprefix(f"{home}/"), signature, precision, record.notes)
    recorded = folder / "selftest" / record.id
    return Artifact(
        record.target, file, dict(record.options), load_arrays(recorded / "inputs.npz"),
        stored=load_arrays(recorded / "outputs.npz"),
    )  # fmt: skip


def _unchanged(folder: Path, record: "ArtifactRecord") -> None:
    from artifacts.files import sha256_file

    for one in record.files:
        path = folder / one.path
        if not path.is_file() or sha256_file(path) != one.sha256:
            raise IntegrityError(f"{one.path} in {folder} is not the file that was measured; run the recipe again.")
