"""Shows the difference between a converted file and the network that it was made from; ends with 1 where there is one.

python repro.py

Needs numpy and the file's runtime. `repro.json` says what is compared and how closely; each difference is in units of
the spread (standard deviation) of what was expected.
"""

import json
import sys
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent


class Spec(TypedDict):
    """An input or an output."""

    name: str


class Signature(TypedDict):
    """All of them, in order."""

    inputs: list[Spec]
    outputs: list[Spec]


class Manifest(TypedDict):
    """What is read here of what a loader asks for."""

    format: str
    signature: Signature


class Limits(TypedDict):
    """How closely a tensor must agree, in units of its spread."""

    spread: float
    max: float | None
    rms: float
    classes: bool
    """Whether the place of the largest value must be the same."""


class Check(TypedDict):
    """One file and what it should give."""

    file: str
    about: str
    inputs: str
    expected: str
    batch: int | None
    """How many examples go in at a time; none: all."""
    limits: dict[str, Limits]
    manifest: Manifest


def outputs_of(check: Check) -> dict[str, NDArray[np.floating]]:
    """What the file computes of the stored inputs, by name."""
    sys.path.insert(0, str(HERE))
    sys.dont_write_bytecode = True
    import loaders  # type: ignore[import-not-found]  # it lies beside this script

    signature = check["manifest"]["signature"]
    call = loaders.LOADERS[check["manifest"]["format"]](HERE / check["file"], check["manifest"])
    with np.load(HERE / check["inputs"], allow_pickle=False) as stored:
        fed = [stored[spec["name"]] for spec in signature["inputs"]]
    size, batch = len(fed[0]), check["batch"] or len(fed[0])
    parts = [call([np.ascontiguousarray(a[i : i + batch]) for a in fed]) for i in range(0, size, batch)]
    names = [spec["name"] for spec in signature["outputs"]]
    return {name: np.concatenate([part[at] for part in parts]) for at, name in enumerate(names)}


def compare(name: str, expected: NDArray[np.floating], found: NDArray[np.floating], limits: Limits) -> bool:
    """Print how far a tensor is from what was expected; whether that is within its limits."""
    if found.shape != expected.shape:
        print(f"  {name}: shape {found.shape}, expected {expected.shape}: DIFFERS")
        return False
    apart = np.abs(found.astype(np.float64) - expected) / limits["spread"]
    largest, rms = float(apart.max(initial=0.0)), float(np.sqrt(np.mean(apart**2)))
    # written so that a value that is not a number is outside
    near = rms <= limits["rms"] and (limits["max"] is None or largest <= limits["max"])
    same = [int(a.argmax()) == int(b.argmax()) for a, b in zip(found, expected, strict=True)] if limits["classes"] else []
    told = f", the largest is at another place in {same.count(False)} of {len(same)} examples" if same else ""
    bounds = f"rms <= {limits['rms']:g}" + ("" if limits["max"] is None else f", max <= {limits['max']:g}")
    verdict = "agrees" if near and all(same) else "DIFFERS"
    print(f"  {name}: max {largest:.3g}, rms {rms:.3g} ({bounds}){told}: {verdict}")
    return near and all(same)


def main() -> int:
    """Run every check; 1 if any tensor differs."""
    told = json.loads((HERE / "repro.json").read_text("utf-8"))
    print(told["says"])
    agreed = True
    checks: list[Check] = told["checks"]
    for check in checks:
        print(f"{check['file']}: {check['about']}")
        found = outputs_of(check)
        with np.load(HERE / check["expected"], allow_pickle=False) as expected:
            for name, limits in check["limits"].items():
                agreed &= compare(name, expected[name], found[name], limits)
    print("no difference shown" if agreed else "the file differs from its network")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
