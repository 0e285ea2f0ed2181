"""All results of a run as a flat table, one row for each artifact, units in the column names: CSV, JSON or Markdown."""

import csv
import io
import json
from collections.abc import Callable
from math import isfinite

from artifacts.records.evidence import ArtifactRecord, Evidence, FailureRecord, NotRun, SpeedupRecord
from artifacts.records.measured import UNBOUNDED
from tightship.reporting.conditions import time_outside
from tightship.reporting.escaping import escape
from tightship.reporting.formatting import MISSING, clean, failures, number, options_text, p99_value

Cell = str | int | float | bool | None
Row = dict[str, Cell]

MARKDOWN = (
    "artifact", "verdict", "accuracy_deployed", "accuracy_drop", "latency_p50_ms", "latency_p50_low_ms", "latency_p50_high_ms",
    "latency_p90_ms", "latency_p99_ms", "throughput_per_s", "cold_start_ms", "peak_rss_mb", "size_bytes", "speedup",
    "parity_passed", "failed",
)  # fmt: skip
"""The columns that fit a page; CSV and JSON have all."""


def rows(evidence: Evidence) -> list[Row]:
    """One row for each artifact in the order of the evidence, then one for each that failed, then one for each target that was
    not run, or its files. Of an artifact that was measured, what failed besides stands in its own row.
    """
    about: Row = {
        "run": clean(evidence.name),
        "recipe_sha256": evidence.recipe_sha256,
        "asked_for": clean(", ".join(evidence.asked_for)),
        "machine": clean(evidence.machine.fingerprint()),
    }
    besides = {failed.id: failed for failed in evidence.failed}
    made = [_row(record, besides.pop(record.id, None)) | about for record in evidence.artifacts]
    empty: Row = dict.fromkeys(made[0] if made else (*_ID, "verdict", "failed", "size_bytes", *about))
    made += [empty | _failure(failed) | about for failed in besides.values()]
    return made + [empty | row | about for missing in evidence.not_run for row in _absent(missing)]


def as_csv(evidence: Evidence) -> str:
    """Every column of every row (RFC 4180), empty where nothing was measured."""
    table = rows(evidence)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(table[0]) if table else [], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows([{name: _csv_cell(cell) for name, cell in row.items()} for row in table])
    return stream.getvalue()


def as_json(evidence: Evidence) -> str:
    """A list of objects with the columns as keys, null where nothing was measured."""
    return json.dumps(rows(evidence), indent=2, allow_nan=False) + "\n"


def as_markdown(evidence: Evidence) -> str:
    """The columns that fit a page, in four significant digits."""
    names = MARKDOWN
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_markdown_cell(row.get(name)) for name in names) + " |" for row in rows(evidence)]
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Evidence], str]] = {"csv": as_csv, "json": as_json, "md": as_markdown}

_ID = ("artifact", "target", "precision", "role", "format")


def _row(a: ArtifactRecord, besides: FailureRecord | None) -> Row:
    accuracy, latency = a.accuracy, a.latency_ms
    drop = None if accuracy.reference is None else accuracy.lost(accuracy.deployed, accuracy.reference)
    failed = failures(a) + ([(besides.stage, besides.reason)] if besides else [])
    row: Row = {
        **dict(zip(_ID, (a.id, a.target, a.precision, a.role, a.format), strict=True)),
        "verdict": a.verdict,
        "failed": "; ".join(f"{name}: {reason}" for name, reason in failed),
        "metric": accuracy.metric,
        "accuracy_reference": accuracy.reference,
        "accuracy_simulated": accuracy.simulated,
        "accuracy_deployed": accuracy.deployed,
        "accuracy_drop": drop,
        "test_examples": accuracy.examples,
        "test_sha256": accuracy.test_sha256,
        "latency_p50_ms": latency.p50,
        "latency_p50_low_ms": latency.ci95[0],
        "latency_p50_high_ms": latency.ci95[1],
        "latency_p90_ms": latency.p90,
        "latency_p99_ms": p99_value(latency),
        "latency_samples": latency.samples,
        "latency_processes": latency.processes,
        "latency_batch": latency.batch,
        "threads": latency.threads,
        "throughput_per_s": a.throughput_per_s,
        "throughput_batch": a.throughput_batch,
        "cold_start_ms": a.cold_start_ms,
        "peak_rss_mb": a.peak_rss_mb,
        "activation_bytes": a.activation_bytes,
        "size_bytes": a.bytes,
        **_ratio("speedup", a.speedup),
        **_ratio("stock_speedup", a.versus_stock),
        **_ratio("float_speedup", a.versus_float),
        **_ratio("row_speedup", a.versus_row),
        "parity_passed": a.parity.passed,
        "parity_max_error_spreads": a.parity.max_error,
        "parity_rms_error_spreads": a.parity.rms_error,
        "parity_argmax_share": a.parity.argmax_agreement,
        "fallback_share": a.placement.fallback_share,
        "fallback_time_share": time_outside(a.placement),
        "options": options_text(a),
    }
    return {name: _plain(cell) for name, cell in row.items()}


def _ratio(name: str, found: SpeedupRecord | None) -> Row:
    """A ratio of latencies with its interval and what may be said of it."""
    low, high = found.ci95 if found else (None, None)
    return {
        name: found.ratio if found else None,
        f"{name}_low": low,
        f"{name}_high": high,
        f"{name}_verdict": found.verdict if found else None,
        f"{name}_baseline": found.baseline if found else None,
    }


def _failure(failed: FailureRecord) -> Row:
    """What could not be made, checked or measured."""
    named: Row = {"artifact": clean(failed.id), "target": clean(failed.target), "precision": clean(failed.precision or "")}
    return named | {"verdict": f"failed at {failed.stage}", "failed": clean(failed.reason)}


def _absent(missing: NotRun) -> list[Row]:
    """What was not run: a row for each file that was made for it all the same, or else one."""
    why: Row = {"target": clean(missing.target), "verdict": "not run", "failed": clean(missing.reason)}
    return [
        why
        | {"artifact": clean(file.id), "precision": clean(file.precision), "format": clean(file.format)}
        | {"verdict": "converted, not run", "size_bytes": file.bytes}
        for file in missing.converted
    ] or [why]


def _plain(cell: Cell) -> Cell:
    """Text without what hides or reorders; no figure where there is none."""
    if isinstance(cell, str):
        return clean(cell)
    return None if isinstance(cell, float) and not (isfinite(cell) and cell < UNBOUNDED) else cell


def _csv_cell(cell: Cell) -> Cell:
    # a spreadsheet would run text that begins like a formula
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _markdown_cell(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return number(cell, 4) if isinstance(cell, float) else escape(cell) if cell else "" if cell == "" else MISSING
