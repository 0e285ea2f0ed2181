"""Shows the difference between a converted file and the network that it was made from; ends with 1 where there is one.

python repro.py

Needs numpy and the file's runtime. `repro.json` says what is compared and how closely; each difference is in units of
the spread (standard deviation) of what was expected.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from artifacts.json import JsonObject

HERE = Path(__file__).resolve().parent


class Manifest(TypedDict):
    """How a file is opened."""

    target: str
    threads: int
    options: dict[str, bool | int | str]
    signature: "JsonObject"


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


def outputs_of(check: Check, loader: str) -> dict[str, NDArray[np.floating]]:
    """What the file computes of the stored inputs, by name."""
    from artifacts.specs import Signature
    from artifacts.types import Engine

    manifest, (where, _, name) = check["manifest"], loader.partition(":")
    signature = Signature.from_json(manifest["signature"])
    engine = Engine(manifest["target"], HERE / check["file"], signature, manifest["options"])
    session = getattr(importlib.import_module(where), name)(engine, manifest["threads"])
    with np.load(HERE / check["inputs"], allow_pickle=False) as stored:
        fed = {spec.name: stored[spec.name] for spec in signature.inputs}
    size = len(next(iter(fed.values())))
    batch = check["batch"] or size
    parts = [session.run({n: np.ascontiguousarray(a[i : i + batch]) for n, a in fed.items()}) for i in range(0, size, batch)]
    return {
        spec.name: parts[0][spec.name][None]
        if spec.batch_axis is None
        else np.concatenate([np.moveaxis(part[spec.name], spec.batch_axis, 0) for part in parts])
        for spec in signature.outputs
    }


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
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(HERE / "code"))  # how the file was opened lies there
    told = json.loads((HERE / "repro.json").read_text("utf-8"))
    print(told["says"])
    agreed = True
    checks: list[Check] = told["checks"]
    for check in checks:
        print(f"{check['file']}: {check['about']}")
        found = outputs_of(check, told["loader"])
        with np.load(HERE / check["expected"], allow_pickle=False) as expected:
            for name, limits in check["limits"].items():
                agreed &= compare(name, expected[name], found[name], limits)
    print("no difference shown" if agreed else "the file differs from its network")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
