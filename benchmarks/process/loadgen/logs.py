"""What LoadGen wrote: its verdict, its percentiles and its early-stopping estimate, from its detail log.

The log holds a JSON object a line behind `:::MLLOG`; format: MLPerf logging, https://github.com/mlcommons/logging.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from artifacts.errors import StageCrashed
from artifacts.json import JsonValue

DETAIL, SUMMARY, ACCURACY = "mlperf_log_detail.txt", "mlperf_log_summary.txt", "mlperf_log_accuracy.json"
CONSTRAINTS = {
    "result_perf_constraints_met": "performance constraints",
    "result_min_duration_met": "min duration",
    "result_min_queries_met": "min queries",
    "early_stopping_met": "early stopping",
}
"""LoadGen's key of each constraint, and its words for it."""
PERCENTILE = re.compile(r"result_(\d+\.\d+)_percentile_(?:per_query_)?latency_ns")
ESTIMATE = re.compile(r"Early stopping (\d+\.\d+)(?:th)? percentile estimate: (\d+)")
RATES = (
    "result_qps_with_loadgen_overhead", "result_qps_without_loadgen_overhead", "result_scheduled_samples_per_sec",
    "result_completed_samples_per_sec", "result_samples_per_second",
)  # fmt: skip


@dataclass(frozen=True)
class LoadLog:
    """One run as LoadGen judged it."""

    scenario: str
    """In LoadGen's spelling, such as `SingleStream`."""
    mode: str
    valid: bool | None
    """LoadGen's verdict; none in accuracy mode, which has none."""
    unmet: tuple[str, ...]
    """The constraints that were not satisfied."""
    advice: str
    """What LoadGen recommends where the run is invalid."""
    errors: tuple[str, ...]
    early_stopping: str
    """LoadGen's own sentences on it."""
    estimates_ms: dict[str, float]
    """Early-stopping estimates by percentile, such as `p90`: what the latency is at most, at 99 % confidence."""
    percentiles_ms: dict[str, float]
    """As LoadGen printed them, however few the queries; `min`, `mean` and `max` too."""
    queries: int | None
    overlatency: int | None
    """Server: queries that exceeded the latency bound."""
    per_s: dict[str, float]
    """Rates by LoadGen's names."""
    settings: dict[str, JsonValue]
    """The settings that LoadGen really used."""
    version: str


def read_log(folder: Path) -> LoadLog:
    """Read the detail log of a run.

    Raises:
        StageCrashed: LoadGen left no log, or none with a verdict.
    """
    path = folder / DETAIL
    try:
        entries = [json.loads(line.partition(" ")[2]) for line in path.read_text().splitlines() if line.startswith(":::MLLOG")]
    except (OSError, ValueError) as error:
        raise StageCrashed(f"LoadGen left no readable log in {folder} ({error}).") from None
    said = {entry["key"]: entry["value"] for entry in entries}
    accuracy = said.get("effective_test_mode") == "AccuracyOnly"
    if not accuracy and "result_validity" not in said:
        raise StageCrashed(f"LoadGen ended without a verdict; see {path}.")
    stopping = str(said.get("early_stopping_result", ""))
    return LoadLog(
        scenario=said["effective_scenario"],
        mode=said["effective_test_mode"],
        valid=None if accuracy else said["result_validity"] == "VALID",
        unmet=tuple(words for key, words in CONSTRAINTS.items() if said.get(key) is False),
        advice=" ".join(str(said.get("result_invalid_reason", "")).split()),
        errors=tuple(str(e["value"]) for e in entries if e["metadata"].get("is_error")),
        early_stopping=" ".join(stopping.replace("*", " ").split()),
        estimates_ms={_name(share): int(ns) / 1e6 for share, ns in ESTIMATE.findall(stopping)},
        percentiles_ms=_percentiles(said),
        queries=said.get("result_query_count"),
        overlatency=said.get("result_overlatency_query_count"),
        per_s={key.removeprefix("result_"): float(said[key]) for key in RATES if key in said},
        settings={key.removeprefix("effective_"): value for key, value in said.items() if key.startswith("effective_")},
        version=str(said.get("loadgen_version", "")),
    )


def _percentiles(said: dict[str, float]) -> dict[str, float]:
    """In ms; where queries have several samples, of whole queries."""
    per_query = any("_per_query_latency_ns" in key for key in said)
    found = {}
    for key, value in said.items():
        match = PERCENTILE.fullmatch(key)
        if match and per_query == ("_per_query_" in key):
            found[_name(match[1])] = value / 1e6
    word = "query_" if per_query else ""
    for name in ("min", "mean", "max"):
        if f"result_{name}_{word}latency_ns" in said:
            found[name] = said[f"result_{name}_{word}latency_ns"] / 1e6
    return found


def _name(percentile: str) -> str:
    """A percentile's short name.

    >>> _name("90.00"), _name("99.90")
    ('p90', 'p99.9')
    """
    return f"p{float(percentile):g}"


def logged_outputs(folder: Path) -> list[tuple[int, bytes]]:
    """The outputs that LoadGen logged: the index of each sample and its bytes, in the order of the log.

    Raises:
        StageCrashed: the accuracy log cannot be read.
    """
    path = folder / ACCURACY
    try:
        rows = json.loads(path.read_text())
        return [(int(row["qsl_idx"]), bytes.fromhex(row["data"])) for row in rows]
    except (OSError, ValueError, KeyError) as error:
        raise StageCrashed(f"cannot read LoadGen's log of outputs {path} ({error}).") from None
