"""Runs and tests the model of this bundle with numpy and the one runtime that requirements.txt names.

python run.py --selftest                        check every file, reproduce the stored outputs, time a call
python run.py --input x.npz [--output y.npz]    run model inputs that are ready to feed, first axis the batch
python run.py --image picture.png               the three likeliest labels of a picture (needs Pillow)
"""

import argparse
import hashlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

import numpy as np

HERE = Path(__file__).resolve().parent
if not __package__:
    sys.dont_write_bytecode = True  # with a file more, this folder would not be what its manifest lists
    sys.path.insert(0, str(HERE / "code"))

from artifacts import pictures  # noqa: E402  from the folder that was put in front
from artifacts.errors import IntegrityError, RequestError, TargetUnavailable, TightshipError, first_line  # noqa: E402
from artifacts.isa import same_cpu  # noqa: E402
from artifacts.specs import Signature  # noqa: E402
from artifacts.types import Array, Arrays, Engine, Session  # noqa: E402

Json = dict[str, Any]
NEEDS = ("artifacts.pictures", "artifacts.errors", "artifacts.isa", "artifacts.specs", "artifacts.types")
"""What this script imports of ours."""

SCHEMA, WARMUP, CALLS = 1, 20, 200


def say(text: str, stream: TextIO = sys.stdout) -> None:
    """Print one line, without characters that drive the terminal or that it cannot show."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    encoding = stream.encoding or "ascii"
    print(plain.encode(encoding, "replace").decode(encoding), file=stream)


def require(module: str, package: str) -> ModuleType:
    """Import a library, or say what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise TargetUnavailable(f"{module} cannot be imported ({first_line(error)}); pip install {package}.") from None


def open_model(manifest: Json) -> Session:
    """The model of this bundle, opened as it was when it was measured."""
    where, _, name = manifest["loader"].partition(":")
    engine = Engine(
        manifest["target"], HERE / manifest["main"], Signature.from_json(manifest["signature"]), manifest["options"]
    )
    try:
        session: Session = getattr(importlib.import_module(where), name)(engine, manifest["threads"])
    except ImportError as error:
        wanted = HERE / "requirements.txt"
        raise TargetUnavailable(f"{error.name} cannot be imported ({first_line(error)}); pip install -r {wanted}.") from None
    return session


def read_manifest() -> Json:
    """The manifest beside this script, after every file was held against it."""
    try:
        manifest: Json = json.loads((HERE / "manifest.json").read_text("utf-8"))
        schema, listed = manifest["schema"], {entry["path"]: entry for entry in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"manifest.json cannot be read ({first_line(error)}); unpack the bundle again.") from None
    if schema != SCHEMA:
        raise IntegrityError(f"manifest.json has schema {schema}, but this run.py reads schema {SCHEMA}; use its own run.py.")
    inside = {path.relative_to(HERE).as_posix(): path for path in HERE.rglob("*")}
    found = {name: path for name, path in inside.items() if name != "manifest.json" and path.is_file()}
    links = [name for name, path in inside.items() if path.is_symlink()]
    for name in links + sorted(found.keys() ^ listed.keys()):
        state = "is missing" if name in listed and name not in links else "does not belong to this bundle"
        raise IntegrityError(f"{name} {state}; the folder must hold just what manifest.json lists, so unpack it again.")
    for name, path in sorted(found.items()):
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != listed[name]["sha256"]:
                raise IntegrityError(f"{name} was changed since the bundle was made; unpack it again.")
    return manifest


class Model:
    """The model of this bundle, loaded."""

    def __init__(self, manifest: Json) -> None:
        self.inputs: list[Json] = manifest["signature"]["inputs"]
        self.outputs: dict[str, int | None] = {o["name"]: o.get("batch_axis", 0) for o in manifest["signature"]["outputs"]}
        first = self.inputs[0]["shape"][0]
        self.fixed_batch: int | None = first if isinstance(first, int) else None
        self.ranges: dict[str, Json] = {r["name"]: r for r in manifest["signature"].get("ranges", ())}
        self.most: int | None = self.ranges.get(str(first), {}).get("max")
        self.session = open_model(manifest)

    def checked(self, arrays: Arrays) -> Arrays:
        """The inputs in call order, after names, types, shapes and rows were checked."""
        names = [spec["name"] for spec in self.inputs]
        if sorted(names) != sorted(arrays):
            raise RequestError(f"the inputs are named {sorted(arrays)}, but the model takes {sorted(names)}; rename them.")
        for name, spec in zip(names, self.inputs, strict=True):
            given, sizes = arrays[name], ["batch", *spec["shape"][1:]]
            fits = [isinstance(want, str) or want == size for want, size in zip(sizes, given.shape, strict=False)]
            if given.ndim != len(sizes) or not all(fits) or given.dtype != np.dtype(spec["dtype"]):
                is_now = f"{given.dtype} {list(given.shape)}"
                raise RequestError(f"input {name!r} is {is_now}, but the model takes {spec['dtype']} {sizes}; convert it.")
            for size, limits in zip(given.shape[1:], map(self.ranges.get, spec["shape"][1:]), strict=True):
                if limits and not limits["min"] <= size <= limits["max"]:
                    span = f"{limits['min']} to {limits['max']}"
                    raise RequestError(
                        f"input {name!r} has {limits['name']} {size}, but the model takes {span}; cut or fill it."
                    )
        rows = [len(arrays[name]) for name in names]
        if min(rows) != max(rows) or rows[0] == 0:
            raise RequestError(f"the inputs have {rows} rows; give each the same number, one or more.")
        return {name: arrays[name] for name in names}

    def run(self, arrays: Arrays) -> Arrays:
        """All rows, in steps of the model's batch or of its largest, filled up by repeating one; outputs have rows first."""
        checked = self.checked(arrays)
        rows = len(checked[self.inputs[0]["name"]])
        step = self.fixed_batch or min(rows, self.most or rows)
        filled = {n: np.concatenate([a, np.repeat(a[-1:], -rows % step, axis=0)]) for n, a in checked.items()}
        parts = [self.session.run({n: a[i : i + step] for n, a in filled.items()}) for i in range(0, rows, step)]
        moved = {n: [p[n][None] if a is None else np.moveaxis(p[n], a, 0) for p in parts] for n, a in self.outputs.items()}
        return {n: (m[0] if self.outputs[n] is None else np.concatenate(m))[:rows] for n, m in moved.items()}


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file; nothing in it is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:
        raise RequestError(f"{path} cannot be read as an .npz file of plain arrays ({first_line(error)}).") from None


def compare(name: str, stored: Array, fresh: Array, lenient: bool) -> tuple[bool, str]:
    """Whether an output was reproduced, and the sentence that says how well."""
    if stored.shape != fresh.shape:
        return False, f"output {name!r} has shape {fresh.shape}, but {stored.shape} is stored"
    wide = stored.astype(np.float64)
    error = float(np.abs(np.subtract(wide, fresh)).max())
    # a constant output has no spread: there the limit is what float32 itself can hold
    limit = max(1e-3 * float(wide.std()), 1e-6 * float(np.abs(wide).max())) if stored.dtype.kind == "f" else 0.0
    text = f"output {name!r}: largest difference {error:.3g}, limit {limit:.3g}, on {len(stored)} rows"
    if error <= limit or not lenient or stored.ndim != 2 or stored.shape[1] < 2 or not np.isfinite(error):
        return error <= limit, text
    agree = int((stored.argmax(axis=1) == fresh.argmax(axis=1)).sum())
    text += f"; int8 may round otherwise here, on a CPU that is not the one measured: argmax agrees on {agree} rows"
    return agree == len(stored), text


def time_calls(model: Model, inputs: Arrays) -> tuple[float, float]:
    """The median and the 90th percentile, in milliseconds, of many calls at the smallest batch."""
    feed = {name: a[: model.fixed_batch or 1].copy() for name, a in model.checked(inputs).items()}
    spent = np.empty(CALLS)
    for i in range(-WARMUP, CALLS):
        begin = time.perf_counter_ns()
        model.session.run(feed)
        spent[max(i, 0)] = (time.perf_counter_ns() - begin) / 1e6
    return float(np.percentile(spent, 50)), float(np.percentile(spent, 90))


def selftest(manifest: Json) -> bool:
    """Reproduce the stored outputs and time the model."""
    say(f"{manifest['name']} {manifest['artifact']}: {len(manifest['files'])} files are as the manifest says.")
    model = Model(manifest)
    inputs, stored = (read_arrays(HERE / "selftest" / f"{kind}.npz") for kind in ("inputs", "outputs"))
    fresh = model.run(inputs)
    lenient = manifest["precision"].startswith("int") and not same_cpu(manifest["machine"]["cpu"], manifest["machine"]["isa"])
    results = [compare(name, stored[name], fresh[name], lenient) for name in model.outputs]
    for passed, text in results:
        say(f"{'ok  ' if passed else 'FAIL'} {text}.")
    here = (*time_calls(model, inputs), model.fixed_batch or 1, manifest["threads"], CALLS, "this machine")
    then = manifest["measured"]["latency_ms"]
    then = (*(then[key] for key in ("p50", "p90", "batch", "threads", "samples")), manifest["machine"]["cpu"])
    for kind, (p50, p90, batch, threads, calls, where) in (("here", here), ("then", then)):
        say(f"{kind} p50 {p50:.3f} ms, p90 {p90:.3f} ms; batch {batch}, threads {threads}, {calls} calls, {where}")
    passed = all(good for good, _ in results)
    say(f"self-test {'passed' if passed else 'FAILED: the outputs are not those that were measured'}.")
    return passed


def run_file(manifest: Json, source: Path, output: Path | None) -> None:
    """Run the inputs of one file, and print or write what comes out."""
    if output is not None and output.resolve().is_relative_to(HERE):
        raise RequestError(f"{output} lies inside the bundle, which holds only what its manifest lists; write elsewhere.")
    made = Model(manifest).run(read_arrays(source))
    for name, array in made.items():
        say(f"{name}: {array.dtype} {list(array.shape)}, smallest {array.min():.6g}, largest {array.max():.6g}")
    if output is not None:
        partial = output.with_name(f".{output.name}.part")
        with partial.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **made)
        os.replace(partial, output)


def name_picture(manifest: Json, path: Path) -> None:
    """Print the three likeliest labels of a picture, resized and normalized as the manifest says."""
    spec, how = manifest["signature"]["inputs"][0], manifest["preprocessing"] or {}
    size = dict(zip(str(how.get("layout")), spec["shape"], strict=False))
    fixed = sorted(size) == sorted("NCHW") and size["C"] in (1, 3) and isinstance(size["H"], int)
    if not fixed or not {"scale", "mean", "std"} <= how.keys() or len(manifest["signature"]["inputs"]) != 1:
        raise RequestError("the preprocessing in manifest.json does not describe pictures; use --input with an .npz file.")
    image = require("PIL.Image", "pillow").open(path).convert("L" if size["C"] == 1 else "RGB").resize((size["W"], size["H"]))
    # a scale below 1 brings raw values to 0..1, so white is 1 / scale there: 255 for bytes, 16 for 4-bit scans
    white = 1 / how["scale"] if how["scale"] < 1 else 255
    raw = np.asarray(image, np.float32).reshape(1, size["H"], size["W"], size["C"]) * (white / 255)
    ready = pictures.prepare(raw.transpose(0, 3, 1, 2), how["scale"], how["mean"], how["std"]).astype(spec["dtype"])
    ready = ready if how["layout"] == "NCHW" else ready.transpose(0, 2, 3, 1)
    model = Model(manifest)
    scores = next(iter(model.run({spec["name"]: np.ascontiguousarray(ready)}).values())).reshape(1, -1)
    for i, share in zip(*(found[0] for found in pictures.likeliest(scores, 3)), strict=True):
        say(f"{manifest['labels'][i] if manifest['labels'] else i}: {share:.1%}")


def main() -> int:
    """Do what the command line asks; 0 done or passed, 1 the self-test failed, 2 the request cannot be done."""
    parser = argparse.ArgumentParser(description="Run and test the model of this bundle.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--selftest", action="store_true", help="check files, reproduce stored outputs, time a call")
    action.add_argument("--input", type=Path, help="an .npz file of model inputs, first axis the batch")
    action.add_argument("--image", type=Path, help="a picture to classify")
    parser.add_argument("--output", type=Path, help="where --input writes the outputs, as .npz")
    asked = parser.parse_args()
    try:
        manifest = read_manifest()
        if asked.selftest:
            return 0 if selftest(manifest) else 1
        if asked.image:
            name_picture(manifest, asked.image)
        else:
            run_file(manifest, asked.input, asked.output)
        return 0
    except Exception as error:
        kind = "" if isinstance(error, TightshipError) else f"{type(error).__name__}: "
        say(f"error: {kind}{first_line(error)}", sys.stderr)
        return 1 if asked.selftest else 2


if __name__ == "__main__":
    sys.exit(main())
