"""What a file takes and gives: from the evidence of the run that made it, from the file itself, or from given inputs."""

from pathlib import Path

from artifacts.arrays import load_arrays
from artifacts.errors import RequestError
from artifacts.records.evidence import read_evidence
from artifacts.specs import Signature, TensorSpec
from export.registry import of_suffix
from runtimes.options import Options
from runtimes.target import Target


def signature_of(path: Path, inputs: Path | None, target: Target, options: Options) -> Signature:
    """The inputs and outputs of a file.

    Args:
        path: the file.
        inputs: an NPZ with one array per input, for files that do not say what they take.
        target: what is to run it; what it lacks for that is refused here.
        options: how it will be opened.

    Raises:
        RequestError: the file cannot be read, is no program, or does not say what it takes and no inputs are given.
    """
    if recorded := _recorded(path):
        return recorded
    given = _given(inputs) if inputs else ()
    known = of_suffix(path.suffix)
    found = known.read_signature(path, {spec.name: _sizes(spec) for spec in given}) if known else None
    target.refuse_file(path, options)
    if known and found:
        return found if known.names_inputs else _named(found, given)
    if inputs is None:
        raise RequestError(
            f"{path.name} does not say what it takes; give --inputs FILE.npz with one array per input, in order."
        )
    return Signature(given)


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size for size in spec.shape if isinstance(size, int))


def _recorded(path: Path) -> Signature | None:
    for folder in path.resolve().parents:
        if (folder / "evidence.json").is_file():
            for record in read_evidence(folder / "evidence.json").artifacts:
                if (folder / record.main).resolve() == path.resolve():
                    return Signature.from_json(record.signature)
    return None


def _given(inputs: Path) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, str(value.dtype), value.shape) for name, value in load_arrays(inputs).items())


def _named(signature: Signature, given: tuple[TensorSpec, ...]) -> Signature:
    """A signature without names of its own, under the names of the given inputs, in their order."""
    if len(given) != len(signature.inputs):
        return signature
    pairs = zip(given, signature.inputs, strict=True)
    return Signature(tuple(TensorSpec(own.name, spec.dtype, spec.shape) for own, spec in pairs), signature.outputs)
