"""ExecuTorch bundled programs (.bpte): a program with test inputs and the outputs expected of it, for a device's own check.

The format and its check are told in https://docs.pytorch.org/executorch/stable/bundled-io.html.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from artifacts.errors import ModelError
from artifacts.files import write_json
from artifacts.types import Arrays
from export.executorch.program import METHOD
from runtimes.options import Examples, Options

FILE = "model.bpte"
FACTS = "model.bpte.json"
"""What was expected and how closely: the format has no place for it."""

BUNDLED = (FILE, FACTS)
SECONDS = 600.0


@dataclass(frozen=True)
class ExecuTorchOptions(Options):
    """What a recipe may tell `executorch-xnnpack`; nothing changes the program or how it is opened."""

    beside: ClassVar[frozenset[str]] = frozenset({"bundled"})
    test_files: ClassVar[tuple[str, ...]] = BUNDLED

    bundled: bool = False
    """Whether the self-test has a bundled program, too."""

    def add_tests(self, program: Path, tests: Examples, folder: Path) -> tuple[str, ...]:
        """See `runtimes.options.Options`: a bundled program that passed ExecuTorch's own check here, or why there is none."""
        if not self.bundled:
            return ()
        try:
            facts = write_bundled(program, tests, folder)
        except ModelError as error:
            return (f"no bundled program: {error}",)
        return (
            f"selftest/{FILE} is the program with {facts['examples']} test examples and the outputs of the {tests.of} network, "
            f"checked here by ExecuTorch at rtol 0, atol {tests.atol:.3g}; it does not count as shipped",
        )

    @classmethod
    def refuse_tests(cls, program: Path, folder: Path) -> str | None:
        """See `runtimes.options.Options`: a bundled program of another program."""
        bundled = folder / FILE
        if bundled.is_file() and program.read_bytes() not in bundled.read_bytes():
            return f"{FILE} does not hold the program that is shipped"
        return None


def write_bundled(program: Path, tests: Examples, folder: Path) -> Mapping[str, object]:
    """Write `model.bpte` and its facts into `folder`, after ExecuTorch ran every test in a process of its own.

    Raises:
        ModelError: it cannot be written, or a test is not passed.
    """
    from artifacts.arrays import save_arrays

    with tempfile.TemporaryDirectory(prefix="tightship-bundled-") as work:
        made = Path(work) / FILE
        save_arrays(Path(work) / "inputs.npz", tests.inputs)
        save_arrays(Path(work) / "expected.npz", tests.expected)
        said = _in_a_child(str(program), work, repr(tests.atol))
        if "error" in said:
            raise ModelError(str(said["error"]))
        (folder / FILE).write_bytes(made.read_bytes())
    facts = {"method": METHOD, "expected": tests.of, "rtol": 0.0, "atol": tests.atol, **said}
    write_json(folder / FACTS, facts)
    return facts


def _in_a_child(*arguments: str) -> dict[str, str | int]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    command = [sys.executable, "-m", "runtimes.executorch.bundled_program", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return {"error": f"ExecuTorch did not write and check it in {SECONDS:.0f} s."}
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode or not last.startswith("{"):
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"writing and checking it ended with code {done.returncode}: {why}."}
    found: dict[str, str | int] = json.loads(last)
    return found


def bundle(program: Path, inputs: Arrays, expected: Arrays) -> bytes:
    """A program with one test for each example: inputs and expected outputs in the program's order, first axis the batch."""
    import torch
    from executorch.devtools.bundled_program.config import MethodTestCase, MethodTestSuite
    from executorch.devtools.bundled_program.core import BundledProgram
    from executorch.devtools.bundled_program.serialize import serialize_from_bundled_program_to_flatbuffer

    def one(arrays: Arrays, at: int) -> list[torch.Tensor]:
        return [torch.from_numpy(value[at : at + 1].copy()) for value in arrays.values()]

    count = len(next(iter(inputs.values())))
    cases = [MethodTestCase(one(inputs, i), one(expected, i)) for i in range(count)]
    made = BundledProgram(None, [MethodTestSuite(METHOD, cases)], pte_file_path=str(program))
    written: bytes = serialize_from_bundled_program_to_flatbuffer(made)
    return written


def failures(bundled: bytes, count: int, atol: float) -> list[int]:
    """Which of the first `count` tests of a bundled program are not passed, as ExecuTorch itself judges them."""
    from executorch.extension.pybindings import portable_lib

    opened, failed = portable_lib._load_bundled_program_from_buffer(bundled), []
    for at in range(count):
        try:
            opened.verify_result_with_bundled_expected_output(METHOD, at, 0.0, atol)
        except RuntimeError:
            failed.append(at)
    return failed


def _main(program: Path, work: Path, atol: float) -> dict[str, str | int]:
    from importlib.metadata import version

    from artifacts.arrays import load_arrays

    inputs, expected = load_arrays(work / "inputs.npz"), load_arrays(work / "expected.npz")
    try:
        made = bundle(program, inputs, expected)
    except ImportError as error:
        return {"error": f"this build of executorch does not write it: {error}."}
    count = len(next(iter(inputs.values())))
    failed = failures(made, count, atol)
    if failed:
        return {"error": f"ExecuTorch's own check failed on example {failed[0]} ({len(failed)} of {count}) at atol {atol:.3g}."}
    (work / FILE).write_bytes(made)
    return {"examples": count, "executorch": version("executorch")}


if __name__ == "__main__":
    answer = _main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    # ExecuTorch's threads can keep the interpreter from ending
    os._exit(0)
