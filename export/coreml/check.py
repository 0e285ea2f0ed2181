"""What can be known of a Core ML package without a Mac: it is read whole and held against its model, and not run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import ModelError
from artifacts.specs import TensorSpec
from artifacts.types import ExportedFile, TorchModel
from compress.fold import fold, operator

SYSTEMS = {6: "iOS 15, macOS 12", 7: "iOS 16, macOS 13", 8: "iOS 17, macOS 14", 9: "iOS 18, macOS 15", 10: "iOS 26, macOS 26"}
"""The first systems that read a version of the specification (coremltools, `ct.target`)."""

TYPES = {"float32": "fp32", "float16": "fp16", "int32": "int32", "int64": "int32"}
"""What a tensor of the model is called in a program, which has no 64-bit numbers."""

STORED = {"fp32": "fp32", "fp16": "fp16", "int8-weights": "int8", "palette4-weights": "4-bit palette"}
"""How a precision stores the weights of layers."""

NEAR = {"fp32": 1e-6, "fp16": 1e-3, "int8-weights": 0.05, "palette4-weights": 0.5}
"""Largest rms distance of a stored weight from the model's, in units of its spread, that rounding explains."""

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")

NOT_COMPUTED = "not compared: coremltools computes a Core ML program on macOS only"


@dataclass(frozen=True)
class _Weight:
    stored: str
    value: NDArray[Any]


def inspect(file: ExportedFile, model: TorchModel) -> dict[str, str]:
    """What was checked of a package and what was found, in order: each a short name and a phrase.

    Raises:
        ModelError: coremltools cannot read the package, or it is not what was asked for.
    """
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load

    try:
        opened = ct.models.MLModel(str(file.path), skip_model_load=True)
        spec = opened.get_spec()
        version = spec.specificationVersion
        program = load(spec, specification_version=version, file_weights_dir=opened.weights_dir)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the Core ML package {file.main} cannot be read back: {first}; export it again.") from error
    main = program.functions["main"]
    computing = [op for op in main.operations if not op.op_type.startswith("const")]
    weights = _weights(main)
    return {
        "opens": f"ML Program, specification version {version}, {len(computing)} operations, every one read back and typed",
        "inputs": _tensors("input", file.signature.inputs, main.inputs),
        "outputs": _tensors("output", file.signature.outputs, {v.name: v for v in main.outputs}),
        "needs": f"{SYSTEMS.get(version, f'specification version {version}')} or later",
        "computes in": _computes_in(computing, "fp16" if file.precision == "fp16" else "fp32"),
        "weights": _storage(weights, file.precision),
        "values of weights": _values(weights, model, file.precision),
        "values of outputs": NOT_COMPUTED,
    }


def _kind(variable: Any) -> str:
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(variable.dtype))


def _tensors(what: str, wanted: tuple[TensorSpec, ...], found: Mapping[str, Any]) -> str:
    """The inputs or outputs as found, if they are those of the model.

    Raises:
        ModelError: a name, a shape or a type is another.
    """
    if list(found) != [s.name for s in wanted]:
        raise ModelError(f"the Core ML package has {what}s {list(found)} where the model has {[s.name for s in wanted]}.")
    for spec in wanted:
        there, kind = tuple(found[spec.name].shape), _kind(found[spec.name])
        if there != spec.shape or kind != TYPES.get(spec.dtype):
            raise ModelError(
                f"{what} {spec.name!r} of the Core ML package is {kind} {list(there)}, "
                f"but the model's is {spec.dtype} {list(spec.shape)}."
            )
    return ", ".join(f"{s.name} {TYPES[s.dtype]} {list(s.shape)}" for s in wanted) + ", as the model's"


def _computes_in(operations: list[Any], wanted: str) -> str:
    """The float type of the operations between the inputs and the outputs.

    Raises:
        ModelError: another type stands where the program was to compute in `wanted`.
    """
    kinds = [_kind(out) for op in operations if op.op_type != "cast" for out in op.outputs]
    other = sorted({kind for kind in kinds if kind in ("fp16", "fp32")} - {wanted})
    if other:
        raise ModelError(f"the Core ML program computes in {' and '.join(other)}, where {wanted} was asked for.")
    return f"{wanted}, in {kinds.count(wanted)} operations"


def _weights(main: Any) -> dict[str, _Weight]:
    """The float constants of two or more dimensions that operations take, by name, unpacked."""
    found: dict[str, _Weight] = {}
    for op in main.operations:
        made = op.outputs[0]
        if op.op_type == "constexpr_lut_to_dense":
            bits = int(np.log2(op.lut.val.size))
            found[op.name] = _Weight(f"{bits}-bit palette", op.materialized_val_inference())
        elif op.op_type == "constexpr_affine_dequantize":
            found[op.name] = _Weight(_kind(op.quantized_data), op.materialized_val_inference())
        elif op.op_type == "const" and _kind(made) in ("fp32", "fp16") and np.ndim(made.val) > 1:
            found[op.name] = _Weight(_kind(made), np.asarray(made.val))
    return found


def _storage(weights: Mapping[str, _Weight], precision: str) -> str:
    """How many weights are stored in which way.

    Raises:
        ModelError: none, or in a float file not all, are stored as asked.
    """
    asked = STORED[precision]
    counts: dict[str, int] = {}
    for weight in weights.values():
        counts[weight.stored] = counts.get(weight.stored, 0) + weight.value.size
    whole = precision in ("fp32", "fp16")
    if weights and (asked not in counts or (whole and len(counts) > 1)):
        raise ModelError(f"the Core ML package stores its weights in {', '.join(sorted(counts))}, where {asked} was asked for.")
    return "; ".join(f"{count:,} values in {kind}" for kind, count in sorted(counts.items(), key=lambda c: -c[1])) or "none"


def _apart(stored: NDArray[Any], value: NDArray[Any], sort: bool) -> float:
    """The rms distance of two weights in units of the second's spread; of their sorted values where asked."""
    a, b = (np.sort(w, axis=None) if sort else w for w in (stored.astype(np.float64), value.astype(np.float64)))
    return float(np.sqrt(np.mean((a - b) ** 2))) / (float(value.std()) or 1.0)


def _values(weights: Mapping[str, _Weight], model: TorchModel, precision: str) -> str:
    """How near the stored weights are to those of the model that have their shape.

    Raises:
        ModelError: one is further off than its rounding explains.
    """
    folded = fold(model.module, model.signature)
    wanted = {n: t.detach().numpy() for n, t in folded.named_parameters() if t.ndim > 1}
    recurrent = [n for n in folded.graph.nodes if operator(n) in RECURRENT]
    reordered = {str(source.target) for node in recurrent for source in node.all_input_nodes}
    worst, where, found = 0.0, "", 0
    for name, value in wanted.items():
        same = [w.value for w in weights.values() if w.value.shape == value.shape]
        if not same:
            continue  # stored in another shape
        # Core ML has the gates of a recurrent layer in an order of its own
        apart = min(_apart(w, value, sort=name in reordered) for w in same)
        found += 1
        worst, where = max((worst, where), (apart, name))
    if worst > NEAR[precision]:
        raise ModelError(
            f"weight {where!r} in the Core ML package is {worst:.3g} spreads from the model's (limit {NEAR[precision]:g} for "
            f"{precision}); export it again."
        )
    return f"{found} of {len(wanted)} found by their shape, at most {worst:.2g} spreads (rms) from the model's"
