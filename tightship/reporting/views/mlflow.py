"""Write a finished run into an MLflow store: a folder by default, or whatever store a URI names."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts.errors import RequestError, TargetUnavailable
from artifacts.files import sha256_file
from artifacts.records.evidence import ArtifactRecord, Evidence

EXPERIMENT = "tightship"
FOLDER = Path("mlruns")
"""The store where no URI is given."""
DIGEST = "tightship.evidence_sha256"
"""The tag by which a run that was logged before is known."""
MOST_PARAMETERS, LONGEST = 100, 6000
"""MLflow's limits: parameters in one request, and characters of a value."""


@dataclass(frozen=True)
class Logged:
    """Where a run is in MLflow's store."""

    store: str
    run_id: str
    again: bool
    """Whether this very evidence had been logged before: then nothing was written."""


def log_run(evidence: Evidence, files: Mapping[str, Path], uri: str | None = None) -> Logged:
    """Log a run's parameters, the metrics of each artifact, and files.

    Args:
        evidence: what the run showed.
        files: by name; `evidence.json` must be among them.
        uri: MLflow's tracking URI, or a folder; by default `mlruns` here.

    Raises:
        TargetUnavailable: MLflow is not installed.
        RequestError: the store cannot be used.
    """
    store = _store(uri)
    client, problem = _client(store)
    digest = sha256_file(files["evidence.json"])
    try:
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        for known in client.search_runs([experiment], f"tags.`{DIGEST}` = '{digest}'"):
            return Logged(store, known.info.run_id, True)
        run_id = client.create_run(experiment, run_name=evidence.name, tags={DIGEST: digest, **_tags(evidence)}).info.run_id
        _fill(client, run_id, evidence, files)
        client.set_terminated(run_id)
    except (problem, OSError) as error:
        raise RequestError(f"MLflow cannot write to {store}: {' '.join(str(error).split())}") from None
    return Logged(store, run_id, False)


def _store(uri: str | None) -> str:
    if uri is not None and re.match(r"[a-z][a-z0-9+.-]+:", uri):
        return uri
    return Path(uri or FOLDER).resolve().as_uri()


def _client(store: str) -> tuple[Any, type[Exception]]:
    """A client of the store, and MLflow's own exception."""
    # a report is local: nothing is told to others because it was written
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if store.startswith("file:"):
        # MLflow keeps its folder store but asks for this word before it writes there
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise TargetUnavailable(
            f"MLflow is not installed ({error.name} is missing): pip install 'tightship[mlflow]', or leave --mlflow out."
        ) from None
    try:
        return MlflowClient(store), MlflowException
    except (MlflowException, ImportError, ValueError) as error:
        raise RequestError(f"MLflow cannot open {store}: {' '.join(str(error).split())}") from None


def _fill(client: Any, run_id: str, evidence: Evidence, files: Mapping[str, Path]) -> None:
    from mlflow.entities import Metric, Param

    parameters = [Param(_key(name), value[:LONGEST]) for name, value in parameters_of(evidence).items()]
    for begin in range(0, len(parameters), MOST_PARAMETERS):
        client.log_batch(run_id, params=parameters[begin : begin + MOST_PARAMETERS])
    for record in evidence.artifacts:
        metrics = [Metric(_key(f"{name}/{record.id}"), value, 0, 0) for name, value in metrics_of(record).items()]
        client.log_batch(run_id, metrics=metrics)
    for path in files.values():
        client.log_artifact(run_id, str(path))


def parameters_of(evidence: Evidence) -> dict[str, str]:
    """The recipe and the machine as flat texts, such as `recipe.measure.processes`."""
    machine = evidence.machine
    facts = {
        "cpu": machine.cpu, "isa": " ".join(machine.isa), "cores": machine.cores, "memory_gb": machine.memory_gb,
        "gpu": machine.gpu or "none", "os": machine.os, "python": machine.python, "governor": machine.governor or "unknown",
        "versions": dict(machine.versions),
    }  # fmt: skip
    return dict(_flat({"recipe": evidence.recipe, "recipe_sha256": evidence.recipe_sha256, "machine": facts}, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    elif value is not None:
        yield name, value if isinstance(value, str) else json.dumps(value)


def metrics_of(record: ArtifactRecord) -> dict[str, float]:
    """What was measured on an artifact, as one number each; what was not measured is left out."""
    found = {
        "accuracy": record.accuracy.deployed,
        "latency_p50_ms": record.latency_ms.p50,
        "latency_p90_ms": record.latency_ms.p90,
        "latency_p99_ms": record.latency_ms.p99,
        "throughput_per_s": record.throughput_per_s,
        "cold_start_ms": record.cold_start_ms,
        "peak_rss_mb": record.peak_rss_mb,
        "bytes": record.bytes,
        "speedup": record.speedup.ratio if record.speedup else None,
        "energy_mj": record.energy.mj if record.energy else None,
        "end_to_end_p50_ms": record.end_to_end.whole.p50 if record.end_to_end else None,
        "parity_rms_error": record.parity.rms_error,
        "passed": float(record.verdict in ("ship", "pass", "reference")),
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _tags(evidence: Evidence) -> dict[str, str]:
    verdict = evidence.verdict
    return {
        "tightship.passed": json.dumps(verdict.passed),
        "tightship.best": verdict.best or "none",
        "tightship.command": evidence.command,
        "tightship.machine": evidence.machine.fingerprint(),
    }


def _key(name: str) -> str:
    """A name that MLflow takes: the `@` of a label is a colon there."""
    return re.sub(r"[^\w/. :-]", "_", name.replace("@", ":"))
