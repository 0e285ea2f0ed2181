"""A folder that shows with one command where a converted file diverges: the file, inputs, what was expected, a script."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifacts.arrays import save_arrays
from artifacts.files import write_json
from artifacts.json import JsonObject, JsonValue
from artifacts.types import Arrays, ExportedFile
from benchmarks.parity.parity import ClassesAt, Tolerance, places
from runtimes.shipping import ship

if TYPE_CHECKING:
    from benchmarks.parity.bisect import Divergence

REPRODUCER = "reproducer"
"""The folder's name in the entry of the step that made it."""

CUT = "cut.onnx"
REPRO_NEEDS = ("artifacts.specs", "artifacts.types")
"""What `repro.py` imports of ours."""

GROWTH_SHARE = 0.5
"""A quantized layer is shown to differ where, given exact inputs, it makes this share of the error seen at its tensor."""


@dataclass(frozen=True)
class Shown:
    """A conversion that failed, on the inputs that show it best."""

    file: ExportedFile
    target: str
    options: JsonObject
    inputs: Arrays
    expected: Arrays
    """The network's outputs for these inputs."""
    spreads: Mapping[str, float]
    """The spread of each output over all examples that parity was judged by."""
    tolerance: Tolerance
    classes: bool
    """Whether the place of the largest output must be the same."""
    batch: int
    """How many examples go in at a time."""


def write_reproducer(folder: Path, shown: Shown, divergence: "Divergence | None", says: str, loader: str) -> None:
    """Fill `folder`: `repro.py` prints the difference and ends with 1, or with 0 where it finds none.

    Args:
        folder: does not exist yet.
        shown: the file and what it should give.
        divergence: the tensor to cut the ONNX file down to; none keeps to the whole file.
        says: what was found, in one sentence.
        loader: the `runtimes.target.Loader` of the target.
    """
    folder.mkdir(parents=True)
    shutil.copytree(shown.file.folder, folder / "model")
    ship([loader, *REPRO_NEEDS], folder)
    shutil.copyfile(Path(__file__).with_name("repro.py"), folder / "repro.py")
    save_arrays(folder / "inputs.npz", shown.inputs)
    save_arrays(folder / "expected.npz", shown.expected)
    checks = [_whole(shown)]
    if divergence is not None and _cut(shown.file.path, divergence, folder):
        save_arrays(folder / "cut-inputs.npz", divergence.inputs)
        save_arrays(folder / "cut-expected.npz", {divergence.tensor: divergence.expected})
        checks.insert(0, _part(shown, divergence))
    write_json(folder / "repro.json", {"says": says, "loader": loader, "checks": checks})


def _whole(shown: Shown) -> dict[str, JsonValue]:
    """The whole file against the network's outputs, as closely as parity asks."""
    first = next(iter(shown.expected))
    limits = {
        name: _limits(
            shown.spreads[name], shown.tolerance.max_error, shown.tolerance.rms_error, shown.classes and name == first
        )
        for name in shown.expected
    }
    manifest = _manifest(shown, asdict(shown.file.signature))
    return {
        "file": f"model/{shown.file.main}", "about": "the whole file", "inputs": "inputs.npz", "expected": "expected.npz",
        "batch": shown.batch, "limits": limits, "manifest": manifest,
    }  # fmt: skip


def _part(shown: Shown, divergence: "Divergence") -> dict[str, JsonValue]:
    """The part of the file from tensors that agree to the one that diverges."""
    from benchmarks.parity.bisect import LIMIT

    value = divergence.expected
    largest, rms = (LIMIT, LIMIT) if divergence.error is None else (None, max(GROWTH_SHARE * divergence.error, LIMIT))
    signature = {
        "inputs": [{"name": n, "dtype": str(a.dtype), "shape": list(a.shape)} for n, a in divergence.inputs.items()],
        "outputs": [{"name": divergence.tensor, "dtype": str(value.dtype), "shape": list(value.shape)}],
    }
    return {
        "file": CUT, "about": f"from {', '.join(divergence.inputs)} to {divergence.tensor} ({divergence.layer})",
        "inputs": "cut-inputs.npz", "expected": "cut-expected.npz", "batch": None,
        "limits": {divergence.tensor: _limits(float(value.std()) or 1.0, largest, rms, False)},
        "manifest": _manifest(shown, signature),
    }  # fmt: skip


def _limits(spread: float, largest: float | None, rms: float, classes: bool) -> dict[str, JsonValue]:
    return {"spread": spread, "max": largest, "rms": rms, "classes": classes}


def _manifest(shown: Shown, signature: JsonObject) -> dict[str, JsonValue]:
    """How the file is opened."""
    return {"target": shown.target, "threads": 1, "options": dict(shown.options), "signature": signature}


def _cut(path: Path, divergence: "Divergence", folder: Path) -> bool:
    """Write the part of an ONNX file between two sets of tensors; whether that can be done."""
    import onnx

    if not divergence.inputs:
        return False
    try:
        onnx.utils.extract_model(str(path), str(folder / CUT), list(divergence.inputs), [divergence.tensor])
    except Exception:  # a subgraph that stands on its own cannot be made of every file: the whole one is there
        (folder / CUT).unlink(missing_ok=True)
        return False
    return True


def worst(expected: Arrays, found: Arrays, count: int, classes: bool, where: ClassesAt | None = None) -> NDArray[np.int64]:
    """The places of the `count` examples that differ most, those whose largest output is elsewhere first."""
    apart = np.zeros(len(next(iter(expected.values()))))
    scored, axis = where or (next(iter(expected)), None)
    for name, value in expected.items():
        other = found.get(name)
        if other is None or other.shape != value.shape:
            continue
        rows = np.abs(other.astype(np.float64) - value.astype(np.float64)).reshape(len(value), -1)
        apart += np.nan_to_num(rows.max(axis=1), nan=np.inf) / (float(value.std()) or 1.0)
        if classes and name == scored:
            elsewhere = places(value, axis) != places(other, axis)
            apart += 1e12 * elsewhere.reshape(len(value), -1).mean(axis=1)
    return np.sort(np.argsort(-apart, kind="stable")[:count])
