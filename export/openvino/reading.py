"""OpenVINO IR as it is read: the model, and what it takes and gives."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec

if TYPE_CHECKING:
    from export.base import Shapes


@cache
def core() -> Any:
    """OpenVINO of this process."""
    import openvino as ov

    return ov.Core()


def read(path: Path) -> Any:
    """The model in an IR file, not compiled yet.

    Raises:
        ModelError: it cannot be read, or gives nothing.
    """
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise ModelError(f"OpenVINO cannot open {path.name}: its weights {path.with_suffix('.bin').name} are not beside it.")
    try:
        model = core().read_model(path)
    except Exception as error:
        raise ModelError(f"OpenVINO cannot open {path.name}: it is not an IR that this version reads.") from error
    if not model.outputs:
        raise ModelError(f"OpenVINO cannot open {path.name}: it has no outputs.")
    return model


def port_name(port: Any, index: int, specs: tuple[TensorSpec, ...]) -> str:
    """What the signature calls a port, or else what the file does."""
    names = port.get_names()
    own = specs[index : index + 1]  # first: one tensor that is given back twice has both names
    known = next((s.name for s in (*own, *specs) if s.name in names), None)
    if known or own:  # a file cannot call an output as it calls an input
        return known or own[0].name
    return min(names) if names else str(port.get_node().get_friendlyport_name())


def signature_of(path: Path, given: "Shapes | None" = None) -> Signature:
    """The inputs and outputs of an IR file.

    Raises:
        TargetUnavailable: openvino is not installed.
        ModelError: the file cannot be read.
        RequestError: it takes or gives something that is no array.
    """
    try:
        import openvino  # noqa: F401
    except ImportError:
        raise TargetUnavailable("reading OpenVINO files needs openvino: pip install 'tightship[openvino]'.") from None
    model = read(path)

    def spec(index: int, port: Any) -> TensorSpec:
        name, shape = port_name(port, index, ()), port.get_partial_shape()
        if shape.rank.is_dynamic:
            raise RequestError(f"{path.name} does not say how many dimensions {name!r} has; give --inputs FILE.npz.")
        dims = tuple(f"{name}_{i}" if d.is_dynamic else d.get_length() for i, d in enumerate(shape))
        try:
            return TensorSpec(name, str(port.get_element_type().to_dtype()), dims)
        except RuntimeError:
            kind = port.get_element_type()
            raise RequestError(f"{path.name}: {name!r} is of type {kind}, which has no NumPy form.") from None

    inputs = tuple(spec(i, p) for i, p in enumerate(model.inputs))
    return Signature(inputs, tuple(spec(i, p) for i, p in enumerate(model.outputs)))
