"""What all tests share: real data that may be demanded, and one small run made through the real command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent

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
    """Runs the installed `tightship`, as a user would."""

    def call(
        *arguments: object, cwd: Path | None = None, timeout: float = 570, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        program = Path(sys.executable).with_name("tightship")
        command = [str(program), *map(str, arguments)]
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
