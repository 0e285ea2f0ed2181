"""What all tests share: data that may be demanded, a small run by the real command line, made-up artifacts for what judges."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from artifacts.records import evidence as ev

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.executable).parent

TINY = """\
name: tiny
seed: 0
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1}
compress:
  - prune: {macs: 0.7, steps: 1, finetune_epochs: 1}
  - quantize: {scheme: int8, calibration_samples: 64, qat_epochs: 1}
targets: [torch-cpu, onnxruntime-cpu]
gates: {accuracy_drop: 1.0}
measure: {processes: 2, blocks: 1, block_seconds: 0.02}
"""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class TinyRun:
    """A finished run of the tiny recipe."""

    recipe: Path
    store: Path
    out: Path
    seconds: float
    stdout: str
    stderr: str


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests marked `data` where no data are named; where they are demanded, leave them to fail."""
    if os.environ.get("TIGHTSHIP_DATA") or os.environ.get("TIGHTSHIP_REQUIRE_DATA") == "1":
        return
    reason = "needs real data: set TIGHTSHIP_DATA to the folder that holds the data sets"
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test marked `data` if the folder with the data is not there; skip slow ones once their time is used up."""
    until = float(os.environ.get("TIGHTSHIP_SLOW_UNTIL") or "inf")
    if item.get_closest_marker("slow") and time.time() > until:
        pytest.skip("the time for slow tests is used up (TIGHTSHIP_SLOW_UNTIL)")
    folder = os.environ.get("TIGHTSHIP_DATA")
    named = bool(folder) or os.environ.get("TIGHTSHIP_REQUIRE_DATA") == "1"
    if named and item.get_closest_marker("data") and not (folder and Path(folder).is_dir()):
        pytest.fail(f"real data are demanded, but TIGHTSHIP_DATA is {folder!r}, which is no folder", pytrace=False)


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child: one thread, so that results do not depend on the cores, and none of our own variables."""
    kept = {k: v for k, v in os.environ.items() if k not in ("TIGHTSHIP_STORE", "PYTHONPATH")}
    return {**kept, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **more}


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Makes the environment in which the tests start children."""
    return child_environment


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Runs the installed `tightship`, as a user would; `programs` is the `bin` of another environment."""

    def call(
        *arguments: object, cwd: Path | None = None, timeout: float = 570, programs: Path = PROGRAMS, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        command = [str(programs / "tightship"), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=child_environment(**more), timeout=timeout, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture(scope="session")
def once_for_all(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Any]:
    """Calls a function with a new folder, and gives what it returned (plain JSON) to every process of this test run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def call(name: str, make: Callable[[Path], Any]) -> Any:
        folder, answer = shared / name, shared / f"{name}.json"
        with FileLock(shared / f"{name}.lock"):
            if not answer.exists():
                folder.mkdir()
                answer.write_text(json.dumps(make(folder)))
        return json.loads(answer.read_text())

    return call


@pytest.fixture(scope="session")
def tiny_recipe() -> str:
    """A recipe that touches every kind of stage and is done in half a minute."""
    return TINY


@pytest.fixture(scope="session")
def tiny_run(once_for_all: Callable[..., Any], cli: Cli, tiny_recipe: str) -> TinyRun:
    """The tiny recipe, run once; tests must not write into it, but for its store, which locks."""

    def run(folder: Path) -> list[Any]:
        (folder / "tiny.yaml").write_text(tiny_recipe)
        started = time.monotonic()
        done = cli("run", folder / "tiny.yaml", "--store", folder / "store", "--out", folder / "out")
        assert done.returncode == 0, done.stderr
        return [str(folder), time.monotonic() - started, done.stdout, done.stderr]

    where, *rest = once_for_all("tiny-run", run)
    return TinyRun(Path(where) / "tiny.yaml", Path(where) / "store", Path(where) / "out", *rest)


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
