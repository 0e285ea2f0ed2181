"""What an ExecuTorch program takes and gives, read by ExecuTorch in a child: importing it is slow and noisy."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from export.base import Shapes
from export.executorch.program import METHOD, loadable

DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
}  # fmt: skip
"""ExecuTorch's numbers of its scalar types (`portable_type/scalar_type.h`) that have a NumPy form."""

SECONDS = 300.0


def signature_of(path: Path, given: Shapes | None = None) -> Signature:
    """The inputs and outputs of a program, with the sizes that it was exported with; it has no names for them.

    Raises:
        TargetUnavailable: executorch is not installed.
        ModelError: the file cannot be read.
    """
    command = [sys.executable, "-m", "export.executorch.reading", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise ModelError(f"ExecuTorch did not read {path.name} in {SECONDS:.0f} s; is it a program?") from None
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode or not last.startswith("{"):
        raise ModelError(
            f"ExecuTorch cannot open {path.name}: it is damaged or no program (reading ended with code {done.returncode})."
        )
    said = json.loads(last)
    if "missing" in said:
        raise TargetUnavailable(f"reading {path.name} needs {said['missing']}: pip install 'tightship[mobile]'.")
    if "error" in said:
        raise ModelError(said["error"])
    return Signature.from_json(said)


def describe(path: Path) -> Signature:
    """Read a program in this process.

    Raises:
        ImportError: executorch is not installed.
        RequestError: the file cannot be read, or it takes or gives something that has no NumPy form.
    """
    from executorch.runtime import Runtime, Verification

    try:
        program = Runtime.get().load_program(loadable(path), verification=Verification.InternalConsistency)
        read = program.load_method(METHOD)
    except Exception as error:
        raise ModelError(f"ExecuTorch cannot open {path.name}: {' '.join(str(error).split())}.") from error
    if read is None:
        raise ModelError(f"{path.name} has no method {METHOD!r}; export one of that name.")
    meta = read.metadata

    def spec(name: str, tensor: object) -> TensorSpec:
        number = tensor.dtype()  # type: ignore[attr-defined]
        if number not in DTYPES:
            raise RequestError(f"{path.name}: {name!r} is of ExecuTorch's scalar type {number}, which has no NumPy form.")
        return TensorSpec(name, DTYPES[number], tuple(tensor.sizes()))  # type: ignore[attr-defined]

    return Signature(
        tuple(spec(f"input_{i}", meta.input_tensor_meta(i)) for i in range(meta.num_inputs())),
        tuple(spec(f"output_{i}", meta.output_tensor_meta(i)) for i in range(meta.num_outputs())),
    )


if __name__ == "__main__":
    try:
        answer = asdict(describe(Path(sys.argv[1])))
    except ImportError as missing:
        answer = {"missing": missing.name or "executorch"}
    except RequestError as refused:
        answer = {"error": str(refused)}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    # ExecuTorch's threads can keep the interpreter from ending
    os._exit(0)
