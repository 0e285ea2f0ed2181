"""Baselines: what a run measured, as a small file that people review in git and later runs are held against.

The file carries a SHA-256 over its own content. It is no signature: it notices a figure that was edited or merged by
hand, and such a file is refused. The one way to change a baseline is to write it from a run.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from artifacts.errors import IntegrityError, RequestError
from artifacts.files import sha256_json, write_atomic
from artifacts.json import Row
from artifacts.records.evidence import ArtifactRecord, Evidence
from artifacts.records.measured import Bounds

SCHEMA = 1
"""The version of the file; a reader refuses a newer one."""

KIND = "tightship baseline"


@dataclass(frozen=True)
class Figures:
    """What one artifact measured when the baseline was written."""

    metric: str
    accuracy: float
    """Of the deployed file, on the whole test set."""
    examples: int
    test_sha256: str
    bytes: int
    latency_p50_ms: float
    latency_ci95_ms: Bounds
    latency_p90_ms: float
    latency_p99_ms: float | None
    samples: int
    processes: int
    batch: int
    threads: int
    throughput_per_s: float
    throughput_batch: int
    peak_rss_mb: float
    cold_start_ms: float


@dataclass(frozen=True)
class Baseline:
    """The figures of a run that passed, and where they were measured."""

    name: str
    recipe_sha256: str
    machine: str
    """The fingerprint; times and memory are compared with no other machine's."""
    versions: Mapping[str, str]
    shipped: tuple[str, ...]
    """One artifact for each target."""
    artifacts: Mapping[str, Figures]

    def shipped_for(self, target: str) -> str | None:
        """The artifact that ships for a target; none if the baseline ships none there."""
        return next((name for name in self.shipped if name.partition("/")[0] == target), None)


def baseline_of(evidence: Evidence) -> Baseline:
    """What a run would leave as baseline.

    Raises:
        RequestError: the run failed.
    """
    verdict = evidence.verdict
    if not (verdict.passed and verdict.shipped):
        why = "; ".join(verdict.reasons) or "it ships nothing"
        raise RequestError(f"run {evidence.name!r} failed, so it cannot be a baseline: {why}; mend it and run again.")
    return Baseline(
        evidence.name,
        evidence.recipe_sha256,
        evidence.machine.fingerprint(),
        dict(evidence.machine.versions),
        evidence.verdict.shipped,
        {a.id: figures_of(a) for a in evidence.artifacts if a.role == "compressed"},
    )


def figures_of(a: ArtifactRecord) -> Figures:
    """What a baseline holds of an artifact."""
    accuracy, latency = a.accuracy, a.latency_ms
    return Figures(
        accuracy.metric, accuracy.deployed, accuracy.examples, accuracy.test_sha256, a.bytes,
        latency.p50, latency.ci95, latency.p90, latency.p99, latency.samples, latency.processes, latency.batch,
        latency.threads, a.throughput_per_s, a.throughput_batch, a.peak_rss_mb, a.cold_start_ms,
    )  # fmt: skip


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline as JSON with sorted keys, atomically: the same figures give the same bytes."""
    value = {"kind": KIND, "schema": SCHEMA, **asdict(baseline)}
    # through JSON first, so that the digest is over what a reader will see
    value = json.loads(json.dumps(value, allow_nan=False))
    signed = {**value, "sha256": sha256_json(value)}
    write_atomic(path, json.dumps(signed, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        RequestError: the file is missing, is no baseline, has values of a wrong type, or was written by a newer schema.
        IntegrityError: its content was changed after it was written.
    """
    from pydantic import TypeAdapter, ValidationError

    value = _checked(path)
    try:
        return TypeAdapter(Baseline).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"{path} is not a valid baseline: {where}: {first['msg']}; {_again(path)}.") from None


def _checked(path: Path) -> Row:
    try:
        value = json.loads(path.read_text(), object_pairs_hook=_once)
        kind = value["kind"]
        schema, digest = value["schema"], sha256_json({k: v for k, v in value.items() if k != "sha256"})
    except FileNotFoundError:
        raise RequestError(f"there is no baseline at {path}; {_again(path)}.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RequestError(f"{path} is not a baseline ({type(error).__name__}: {error}); {_again(path)}.") from None
    if kind != KIND or type(schema) is not int or schema < 1:
        raise RequestError(f"{path} is not a baseline (kind {kind!r}, schema {schema!r}); {_again(path)}.")
    if schema > SCHEMA:
        raise RequestError(f"{path} has schema {schema}, but this tightship reads up to {SCHEMA}; upgrade tightship.")
    if value.get("sha256") != digest:
        raise IntegrityError(f"{path} was changed after it was written; {_again(path)}.")
    return dict(value)


def _again(path: Path) -> str:
    return f"write it from a run with `tightship gate RUN --write-baseline {path}`"


def _once(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object; a key that stands twice is refused, because a person reads the first and a program the last."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the key {name!r} stands twice")
    return dict(pairs)
