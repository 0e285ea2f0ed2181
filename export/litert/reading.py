"""What a LiteRT file says that it takes and gives; read in the environment that LiteRT needs, where this module runs too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.environments import LITERT, REFUSED, child_environment
from artifacts.errors import ModelError, RequestError
from artifacts.specs import Signature

if TYPE_CHECKING:
    from export.base import Shapes


def signature_of(path: Path, given: "Shapes | None" = None) -> Signature:
    """What a `.tflite` file says of itself, as LiteRT reads it in its own environment.

    Raises:
        RequestError: it cannot be opened.
        TargetUnavailable: there is no environment with LiteRT.
    """
    command = LITERT.module("export.litert.reading", str(path))
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(), check=False)
    last = ((done.stderr if done.returncode else done.stdout).strip().splitlines() or ["no message"])[-1]
    if done.returncode:
        raise RequestError(last.removeprefix(REFUSED))
    return Signature.from_json(json.loads(last))


def open_interpreter(path: Path, threads: int) -> Any:
    """LiteRT's interpreter of a file, ready to run.

    Raises:
        ModelError: the file cannot be opened.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        made = Interpreter(model_path=str(path), num_threads=threads)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"LiteRT cannot open {path.name}: {first}.") from error
    return made


def ends(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and outputs by name: those of the signature if the file has one, those of the tensors if not."""
    signatures = interpreter.get_signature_list()
    if signatures:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        named = runner.get_input_details(), runner.get_output_details()
        if len(named[0]) == len(interpreter.get_input_details()):
            return named
    return {d["name"]: d for d in interpreter.get_input_details()}, {d["name"]: d for d in interpreter.get_output_details()}


def describe(path: Path) -> dict[str, list[dict[str, Any]]]:
    """What a file takes and gives, as `artifacts.specs.Signature` reads it.

    Raises:
        ModelError: the file cannot be opened.
    """

    def spec(name: str, detail: Any) -> dict[str, Any]:
        known = detail.get("shape_signature", detail["shape"])
        shape = [int(size) if size >= 0 else f"{name}_{axis}" for axis, size in enumerate(known)]
        return {"name": name, "dtype": np.dtype(detail["dtype"]).name, "shape": shape}

    inputs, outputs = ends(open_interpreter(path, 1))
    return {"inputs": [spec(*i) for i in inputs.items()], "outputs": [spec(*o) for o in outputs.items()]}


if __name__ == "__main__":
    try:
        sys.stdout.write("\n" + json.dumps(describe(Path(sys.argv[1]))) + "\n")
    except ModelError as refused:
        sys.exit(f"refused: {refused}")
