"""Made-up artifacts for the tests that judge, and recipes from text for the tests that read."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from artifacts.records import evidence as ev
from tightship.recipe.recipe import Recipe, load_recipe

MACHINE = ev.Machine("a cpu", ("avx2",), 2, 8.0, None, "Linux x86_64", "3.11.0", None, {"numpy": "2.0"})


def make_artifact(artifact_id: str = "onnxruntime-cpu/fp32", p50: float = 1.0, **changes: Any) -> ev.ArtifactRecord:
    """An artifact of which every figure is plain: accuracy 0.9, p90 twice and p99 thrice the median, 1 MB."""
    target, _, precision = artifact_id.partition("/")
    reference = precision == "reference"
    record = ev.ArtifactRecord(
        id=artifact_id, target=target, precision=precision, role="reference" if reference else "compressed",
        format="onnx", main=f"artifacts/{artifact_id}/model.onnx",
        files=(ev.FileRecord(f"artifacts/{artifact_id}/model.onnx", "ab" * 32, 1_000_000),), bytes=1_000_000,
        signature={"inputs": [], "outputs": []},
        parity=ev.ParityRecord(True, "float", 1e-5, 1e-6, 1.0, "as given", ("real",)),
        accuracy=ev.AccuracyRecord("top1", 0.9, None, 0.9, 540, "cd" * 32),
        latency_ms=ev.LatencyRecord(p50, 2 * p50, 3 * p50, (0.9 * p50, 1.1 * p50), 2000, 3, 1, 1, (p50,) * 101),
        throughput_per_s=1000.0, throughput_batch=32, cold_start_ms=50.0, cold_start_parts_ms={"load": 50.0},
        peak_rss_mb=100.0, placement=ev.PlacementRecord({"Conv": 9}, {"Softmax": 1}, 0.1, "as given"),
        speedup=None if reference else ev.SpeedupRecord("torch-cpu/reference", 2.0, (1.5, 2.5), "faster"),
        gates=(), verdict="reference" if reference else "pass",
    )  # fmt: skip
    return replace(record, **changes)


@pytest.fixture(scope="session")
def artifact() -> Callable[..., ev.ArtifactRecord]:
    """Makes an artifact record."""
    return make_artifact


@pytest.fixture(scope="session")
def evidence_of() -> Callable[..., ev.Evidence]:
    """Makes evidence from artifacts; its verdict ships those that say so."""

    def make(*artifacts: ev.ArtifactRecord, reasons: tuple[str, ...] = ()) -> ev.Evidence:
        shipped = tuple(a.id for a in artifacts if a.verdict == "ship")
        verdict = ev.Verdict(bool(shipped) and not reasons, shipped, shipped[0] if shipped else None, reasons)
        stage = ev.StageRecord("reference", "start", "ef" * 32, False, 1.5, "trained", {"accuracy": 0.9}, {"widths": {"a": 8}})
        return ev.Evidence("made-up", "tightship run x", {}, "00" * 32, MACHINE, {}, (stage,), artifacts, (), verdict)

    return make


@pytest.fixture(scope="session")
def target_rows(cli: Callable[..., Any], once_for_all: Callable[..., Any]) -> list[dict[str, Any]]:
    """What `tightship targets --json` says of this machine."""
    rows: list[dict[str, Any]] = once_for_all("targets", lambda folder: json.loads(cli("targets", "--json").stdout))
    assert all(set(row) == {"target", "available", "reason"} and row["reason"] for row in rows)
    return rows


@pytest.fixture
def recipe_from(tmp_path: Path) -> Callable[[str], Recipe]:
    """Reads a recipe from text, by way of a file."""

    def read(text: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load_recipe(path)

    return read
