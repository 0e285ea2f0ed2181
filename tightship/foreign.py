"""Measure files that may come from anywhere: find their target and their inputs, then interleave them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.arrays import load_arrays
from artifacts.errors import RequestError
from artifacts.evidence import read_evidence
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Arrays, Engine
from benchmarks.measure import Measured, MeasurePlan, measure
from benchmarks.statistics import interval, quantile
from runtimes.registry import find

SUFFIXES = {".onnx": "onnxruntime-cpu", ".pt": "torchscript-cpu", ".pte": "executorch-xnnpack", ".json": "torch-cpu"}
BLOCKS = 4


def bench_files(
    files: Sequence[Path], inputs: Path | None, target: str | None, *, processes: int, seconds: float, threads: int
) -> list[dict[str, Any]]:
    """One row of figures per file, measured together."""
    found = _measure(files, inputs, target, processes, seconds, threads)
    rows = []
    for path, (engine, raw) in zip(files, found, strict=True):
        low, high = interval(raw.medians)
        rows.append({
            "file": str(path), "target": engine.target, "p50_ms": quantile(raw.samples, 0.5), "ci95_ms": [low, min(high, 1e12)],
            "p90_ms": quantile(raw.samples, 0.9), "p99_ms": quantile(raw.samples, 0.99), "samples": len(raw.samples),
            "batch": batch_of([engine]) or 1, "throughput_per_s": raw.throughput_per_s,
            "cold_start_ms": float(np.mean([c["total"] for c in raw.cold_ms])),
            "peak_rss_mb": max(raw.peak_rss_mb), "bytes": shipped_bytes(path), "threads": threads, "processes": processes,
        })  # fmt: skip
    return rows


def compare_files(a: Path, b: Path, inputs: Path | None, *, processes: int, seconds: float, threads: int) -> dict[str, Any]:
    """Whether B is faster than A, with the interval of the ratio of their latencies."""
    (_, raw_a), (_, raw_b) = _measure([a, b], inputs, None, processes, seconds, threads)
    ratio = raw_b.speedup_over(raw_a)
    return {
        "verdict": ratio.verdict, "ratio": ratio.ratio, "ci": [ratio.low, ratio.high], "a": str(a), "b": str(b),
        "a_ms": float(np.median(raw_a.medians)), "b_ms": float(np.median(raw_b.medians)),
        "processes": processes, "threads": threads,
    }  # fmt: skip


def _measure(
    files: Sequence[Path], inputs: Path | None, target: str | None, processes: int, seconds: float, threads: int
) -> list[tuple[Engine, Measured]]:
    engines = [engine_of(path, target, inputs) for path in files]
    signatures = {str(e.signature.inputs) for e in engines}
    if len(signatures) > 1 and inputs is None:
        raise RequestError("the files take different inputs; measure them apart, or give --inputs that fits all.")
    batch = batch_of(engines)
    given = load_arrays(inputs) if inputs else synthesise(engines[0].signature)
    plan = MeasurePlan(
        processes, BLOCKS, seconds / BLOCKS, threads=threads, latency_batch=batch or 1, throughput_batch=batch or 32
    )
    with tempfile.TemporaryDirectory() as folder:
        names = {f"{i}-{p.name}": e for i, (p, e) in enumerate(zip(files, engines, strict=True))}
        found = measure(names, given, plan, Path(folder))
    return list(zip(engines, found.values(), strict=True))


def batch_of(engines: Sequence[Engine]) -> int | None:
    """The number of examples that the files take at once; none where it is theirs to choose."""
    first = {spec.shape[0] for e in engines for spec in e.signature.inputs if spec.shape}
    return next((size for size in first if isinstance(size, int)), None)


def engine_of(path: Path, target: str | None, inputs: Path | None) -> Engine:
    """What to open: the target told from the name, the signature from the run's evidence, the file or the inputs.

    Raises:
        RequestError: the file is missing, or its kind or its inputs cannot be told.
    """
    if not path.is_file():
        raise RequestError(f"there is no file {path}.")
    name = target or SUFFIXES.get(path.suffix)
    if name is None:
        raise RequestError(f"cannot tell the runtime of {path.name}; known endings: {', '.join(SUFFIXES)}, or give --target.")
    find(name)
    return Engine(name, path.resolve(), signature_of(path, inputs))


def signature_of(path: Path, inputs: Path | None) -> Signature:
    """The inputs and outputs of a file."""
    for folder in path.resolve().parents:
        if (folder / "evidence.json").is_file():
            for record in read_evidence(folder / "evidence.json").artifacts:
                if (folder / record.main).resolve() == path.resolve():
                    return Signature.from_json(record.signature)
    if path.suffix == ".onnx":
        return _onnx_signature(path)
    if inputs is not None:
        return Signature(tuple(TensorSpec(k, str(v.dtype), v.shape) for k, v in load_arrays(inputs).items()))
    raise RequestError(f"{path.name} does not say what it takes; give --inputs FILE.npz with one array per input, in order.")


def _onnx_signature(path: Path) -> Signature:
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise RequestError(f"{path} is not an ONNX file: {error}.") from None
    weights = {i.name for i in model.graph.initializer}

    def spec(value: Any) -> TensorSpec:
        tensor = value.type.tensor_type
        dims = tuple(d.dim_value or d.dim_param or f"{value.name}_{i}" for i, d in enumerate(tensor.shape.dim))
        return TensorSpec(value.name, str(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))), dims)

    return Signature(tuple(spec(v) for v in model.graph.input if v.name not in weights), tuple(map(spec, model.graph.output)))


def synthesise(signature: Signature) -> Arrays:
    """One batch of made-up inputs: normal noise for floats, zeros for whole numbers; every dynamic dimension is 1."""
    generator = np.random.default_rng(0)
    sizes = dict.fromkeys(signature.dynamic, 1)
    made = {}
    for spec in signature.inputs:
        shape, kind = spec.concrete(sizes), np.dtype(spec.dtype)
        made[spec.name] = (generator.standard_normal(shape) if kind.kind == "f" else np.zeros(shape)).astype(kind)
    return made


def shipped_bytes(path: Path) -> int:
    """The bytes of a file with its sidecars: what lies beside it under the same name."""
    family = [p for p in path.parent.iterdir() if p.is_file() and p.name.startswith(path.name)]
    if path.name == "model.json":
        family.append(path.parent / "weights.safetensors")
    if path.suffix == ".onnx":
        family += _sidecars(path)
    return sum(p.stat().st_size for p in {p.resolve() for p in family} if p.is_file())


def _sidecars(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its weights, whatever their names."""
    import onnx

    weights = onnx.load(path, load_external_data=False).graph.initializer
    return [path.parent / entry.value for w in weights for entry in w.external_data if entry.key == "location"]
