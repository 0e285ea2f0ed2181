"""LiteRT with XNNPACK's delegate: one example at a time, as the file was converted.

It runs in the environment that LiteRT needs, so it imports numpy, LiteRT and nothing else.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.environments import LITERT
from artifacts.errors import ModelError
from artifacts.types import Arrays, Availability, Engine, ExportedFile, Placement

DELEGATE = "DELEGATE"


class LiteRtSession:
    """A loaded file; batches larger than its own run example by example."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._interpreter, self._path = _interpreter(engine.path, threads), engine.path
        inputs, outputs = _ends(self._interpreter)
        self._batch = next((s.shape[0] for s in engine.signature.inputs if s.shape), None)
        self._inputs = _matched([s.name for s in engine.signature.inputs], inputs, engine.path)
        self._outputs = _matched([s.name for s in engine.signature.outputs] or list(outputs), outputs, engine.path)
        kinds = {s.name: np.dtype(s.dtype) for s in engine.signature.outputs}
        self._kinds = {n: kinds.get(n, np.dtype(d["dtype"])) for n, d in self._outputs.items()}
        self._shapes = {name: tuple(detail["shape"]) for name, detail in self._inputs.items()}

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        count = len(next(iter(inputs.values())))
        if self._batch != 1 or count == 1:
            return self._one(inputs)
        rows = [self._one({name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _one(self, inputs: Arrays) -> Arrays:
        interpreter = self._interpreter
        for name, detail in self._inputs.items():
            value = inputs[name]
            if value.shape != self._shapes[name]:
                self._resize(name, detail, value)
            # 64-bit tensors became 32-bit ones in conversion
            interpreter.set_tensor(detail["index"], value.astype(detail["dtype"], copy=False))
        interpreter.invoke()
        return {
            name: interpreter.get_tensor(detail["index"]).astype(self._kinds[name], copy=False)
            for name, detail in self._outputs.items()
        }

    def _resize(self, name: str, detail: Any, value: np.ndarray[Any, Any]) -> None:
        try:
            self._interpreter.resize_tensor_input(detail["index"], value.shape, strict=True)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"input {name!r} has shape {value.shape}, but the file takes {self._shapes[name]}.") from error
        self._shapes[name] = value.shape

    def tensors(self, inputs: Arrays) -> Arrays:
        """The float tensors inside the file for one call, integers as the floats that they stand for.

        LiteRT's own kernels compute them, because XNNPACK's delegate keeps nothing of what lies inside it.
        """
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        inside = Interpreter(str(self._path), experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True)
        for name, detail in self._inputs.items():
            inside.resize_tensor_input(detail["index"], inputs[name].shape)
        inside.allocate_tensors()
        for name, detail in self._inputs.items():
            inside.set_tensor(detail["index"], inputs[name].astype(detail["dtype"], copy=False))
        inside.invoke()
        made = dict.fromkeys(int(i) for operator in inside._get_ops_details() for i in operator["outputs"])
        details = {d["index"]: d for d in inside.get_tensor_details()}
        return {details[i]["name"]: _floats(inside.get_tensor(i), details[i]) for i in made if i in details}

    def placement(self) -> Placement:
        """The file's operators: inside XNNPACK's delegate, or run by LiteRT's own kernels."""
        operators = self._interpreter._get_ops_details()
        delegates = [o for o in operators if o["op_name"] == DELEGATE]
        plain = [o for o in operators if o["op_name"] != DELEGATE]
        taken = _delegated(plain, delegates)
        inside: dict[str, int] = {}
        outside: dict[str, int] = {}
        for operator in plain:
            counts = inside if operator["index"] in taken else outside
            counts[operator["op_name"]] = counts.get(operator["op_name"], 0) + 1
        partitions = f"{len(delegates)} partition" + ("" if len(delegates) == 1 else "s")
        return Placement(inside, outside, f"the interpreter's operators: XNNPACK's delegate ({partitions}) against the rest")


def _floats(value: np.ndarray[Any, Any], detail: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The numbers that a tensor stands for: scale * (value - zero point), per channel where it has several."""
    quantized = detail["quantization_parameters"]
    scales, zeros = quantized["scales"], quantized["zero_points"]
    if not len(scales):
        return value
    shape = [1] * value.ndim
    if len(scales) > 1:
        shape[quantized["quantized_dimension"]] = -1
    return np.asarray((value.astype(np.float32) - zeros.reshape(shape)) * scales.reshape(shape), np.float32)


def _delegated(operators: list[dict[str, Any]], delegates: list[dict[str, Any]]) -> set[int]:
    """The operators that a delegate computes: those between its inputs and its outputs."""
    producer = {int(tensor): operator for operator in operators for tensor in operator["outputs"]}
    taken: set[int] = set()
    for delegate in delegates:
        given = set(map(int, delegate["inputs"]))
        waiting = [int(t) for t in delegate["outputs"]]
        while waiting:
            tensor = waiting.pop()
            operator = producer.get(tensor)
            if tensor in given or operator is None or operator["index"] in taken:
                continue
            taken.add(operator["index"])
            waiting += [int(t) for t in operator["inputs"] if t >= 0]
    return taken


def _interpreter(path: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        made = Interpreter(model_path=str(path), num_threads=threads)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"LiteRT cannot open {path.name}: {first}.") from error
    return made


def _ends(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and outputs by name: those of the signature if the file has one, those of the tensors if not."""
    signatures = interpreter.get_signature_list()
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        named = runner.get_input_details(), runner.get_output_details()
        if len(named[0]) == len(interpreter.get_input_details()):
            return named
    return {d["name"]: d for d in interpreter.get_input_details()}, {d["name"]: d for d in interpreter.get_output_details()}


def _matched(names: list[str], found: dict[str, Any], path: Path) -> dict[str, Any]:
    """The tensors under the names that are asked for: by name, or by place where the file has names of its own.

    Raises:
        ModelError: there are more or fewer of them than asked for.
    """
    if len(names) != len(found):
        raise ModelError(f"{path.name} has the tensors {', '.join(found)}, not {', '.join(names)}; give it those.")
    if set(names) == set(found):
        return {name: found[name] for name in names}
    return dict(zip(names, found.values(), strict=True))


class LiteRtXnnpack:
    """LiteRT's interpreter on the CPU, with the XNNPACK delegate that it applies by itself."""

    tells_tensors = True

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            import ai_edge_litert.interpreter  # noqa: F401  the import is the question
        except ImportError as error:
            return Availability(False, f"{error.name} cannot be imported: {LITERT.command}")
        from importlib.metadata import version

        return Availability(True, f"ai-edge-litert {version('ai-edge-litert')} in an environment of its own")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """The file is opened as it is."""
        return Engine("litert-xnnpack", file.path, file.signature)

    def open(self, engine: Engine, threads: int) -> LiteRtSession:
        """See `runtimes.base.Runtime`."""
        return LiteRtSession(engine, threads)


def describe(path: Path) -> dict[str, list[dict[str, Any]]]:
    """What a file takes and gives, as `artifacts.specs.Signature` reads it.

    Raises:
        ModelError: the file cannot be opened.
    """

    def spec(name: str, detail: Any) -> dict[str, Any]:
        known = detail.get("shape_signature", detail["shape"])
        shape = [int(size) if size >= 0 else f"{name}_{axis}" for axis, size in enumerate(known)]
        return {"name": name, "dtype": np.dtype(detail["dtype"]).name, "shape": shape}

    inputs, outputs = _ends(_interpreter(path, 1))
    return {"inputs": [spec(*i) for i in inputs.items()], "outputs": [spec(*o) for o in outputs.items()]}


if __name__ == "__main__":
    try:
        sys.stdout.write("\n" + json.dumps(describe(Path(sys.argv[1]))) + "\n")
    except ModelError as refused:
        sys.exit(f"refused: {refused}")
