"""What a file takes and gives: from the evidence of the run that made it, from the file itself, or from given inputs."""

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import load_arrays
from artifacts.environments import LITERT, REFUSED, child_environment
from artifacts.errors import ModelError, RequestError
from artifacts.records.evidence import read_evidence
from artifacts.specs import Signature, TensorSpec


def signature_of(path: Path, inputs: Path | None, target: str, more_operators: bool = False) -> Signature:
    """The inputs and outputs of a file.

    Args:
        path: the file.
        inputs: an NPZ with one array per input, for files that do not say what they take.
        target: what is to run it; an operator that it lacks is refused here.
        more_operators: whether a library brings operators that the target lacks.

    Raises:
        RequestError: the file cannot be read, is no program, or does not say what it takes and no inputs are given.
    """
    if recorded := _recorded(path):
        return recorded
    if path.suffix == ".onnx":
        return _onnx_signature(path, inputs, target.startswith("onnxruntime") and not more_operators)
    if path.suffix == ".ort":
        from runtimes.onnxruntime.optimized_file import signature_of as optimized_signature

        return optimized_signature(path)
    if path.suffix == ".tflite":
        return _litert_signature(path)
    if path.suffix == ".xml":
        from runtimes.openvino.runtime import signature_of as openvino_signature

        return openvino_signature(path)
    if path.suffix in (".pte", ".bpte"):
        from tightship.benching.executorch_signature import signature_of as program_signature

        return _named(program_signature(path), inputs)
    if path.suffix == ".pt2":
        from export.aotinductor import signature_of as packaged_signature

        if packaged := packaged_signature(path):
            return packaged
    if path.suffix in (".pt", ".ptl"):
        _refuse_weights(path)
    if inputs is None:
        raise RequestError(
            f"{path.name} does not say what it takes; give --inputs FILE.npz with one array per input, in order."
        )
    return Signature(_given(inputs))


def _recorded(path: Path) -> Signature | None:
    for folder in path.resolve().parents:
        if (folder / "evidence.json").is_file():
            for record in read_evidence(folder / "evidence.json").artifacts:
                if (folder / record.main).resolve() == path.resolve():
                    return Signature.from_json(record.signature)
    return None


def _given(inputs: Path) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, str(value.dtype), value.shape) for name, value in load_arrays(inputs).items())


def _named(signature: Signature, inputs: Path | None) -> Signature:
    """A signature without names of its own, under the names of the given inputs, in their order."""
    given = _given(inputs) if inputs else ()
    if len(given) != len(signature.inputs):
        return signature
    pairs = zip(given, signature.inputs, strict=True)
    return Signature(tuple(TensorSpec(own.name, spec.dtype, spec.shape) for own, spec in pairs), signature.outputs)


def _refuse_weights(path: Path) -> None:
    """Tell a TorchScript program, which has constants beside its data, from what `torch.save` writes.

    Raises:
        ModelError: it holds weights or pickled objects.
    """
    entries: list[str] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in entries):
        return
    with path.open("rb") as file:
        pickled = file.read(2)[:1] == b"\x80"
    if pickled or any(name.endswith("/data.pkl") for name in entries):
        raise ModelError(
            f"{path.name} holds weights or pickled objects (torch.save), not a program; write one with torch.jit.save, or "
            "name it under weights: in a recipe beside the factory of its network."
        )


def _litert_signature(path: Path) -> Signature:
    """What a `.tflite` file says of itself, as LiteRT reads it in its own environment."""
    command = LITERT.module("runtimes.litert", str(path))
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
    last = ((done.stderr if done.returncode else done.stdout).strip().splitlines() or ["no message"])[-1]
    if done.returncode:
        raise RequestError(last.removeprefix(REFUSED))
    return Signature.from_json(json.loads(last))


def _onnx_signature(path: Path, inputs: Path | None, known_only: bool) -> Signature:
    import onnx

    from export.onnx.metadata import read_ranges

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise RequestError(f"{path} is not an ONNX file: {error}.") from None
    if known_only:
        _refuse_unknown_operators(path, model)
    given = {spec.name: spec.shape for spec in _given(inputs)} if inputs else {}
    weights = {i.name for i in model.graph.initializer}

    def spec(value: Any, needed: bool) -> TensorSpec:
        kind = value.type.WhichOneof("value")
        tensor = value.type.tensor_type
        if kind != "tensor_type" or tensor.elem_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
            what = "text" if kind == "tensor_type" else str(kind).removesuffix("_type").replace("_", " ")
            raise ModelError(f"{path.name}: {value.name!r} is {what}, not an array of numbers; only arrays can be measured.")
        dtype = str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
        if needed and not tensor.HasField("shape"):
            if value.name not in given:
                raise RequestError(f"{path.name} does not say how many dimensions {value.name!r} has; give --inputs FILE.npz.")
            return TensorSpec(value.name, dtype, given[value.name])
        dims = (d.dim_value if d.dim_value > 0 else d.dim_param for d in tensor.shape.dim)
        return TensorSpec(value.name, dtype, tuple(d or f"{value.name}_{i}" for i, d in enumerate(dims)))

    taken = tuple(spec(v, True) for v in model.graph.input if v.name not in weights)
    return Signature(taken, tuple(spec(v, False) for v in model.graph.output), read_ranges(model))


def _refuse_unknown_operators(path: Path, model: Any) -> None:
    """Hold a file's operators of other domains against those that ONNX Runtime has.

    Raises:
        ModelError: it has operators of a domain that ONNX Runtime does not have, and that the file does not define.
    """
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    from export.onnx.graph import nodes

    known = {(schema.domain, schema.name) for schema in get_all_operator_schema()}
    known |= {(function.domain, function.name) for function in model.functions}
    bodies = [model.graph.node, *(function.node for function in model.functions)]
    used = {(node.domain, node.op_type) for body in bodies for node in nodes(body)}
    # of the standard domain ONNX Runtime itself says best what it lacks, the version included
    missing = sorted(f"{domain}:{name}" for domain, name in used - known if domain not in ("", "ai.onnx"))
    if missing:
        raise ModelError(
            f"{path.name} needs {', '.join(missing)}, which ONNX Runtime does not have; name a library that has them "
            "(`bench --option custom_ops=FILE`), or cut out the part without them (onnx.utils.extract_model) and measure that."
        )
