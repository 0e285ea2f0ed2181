"""A run on a data set that is larger than the memory it may use: it trains, calibrates, and scores every example."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from artifacts.records.evidence import read_evidence

ROOT = Path(__file__).resolve().parents[3]
GROUPS = Path("/sys/fs/cgroup")

BEYOND = 700_000_000
"""Bytes that a run may use beyond what it takes to import PyTorch and ONNX Runtime. Of little data it needs 450 MB of them, for
PyTorch's exporter and the process that holds the file."""

COUNT, SHAPE = 20_480, (3, 64, 64)
"""Of each split: 1.0 GB in float32."""

RECIPE = """\
name: big
model: {factory: "nets:build"}
data: DATA
train: {epochs: 1, samples: 512, batch_size: 64}
compress: [{quantize: {scheme: int8, calibration_samples: 64}}]
targets: [onnxruntime-cpu]
gates: {accuracy_drop: 1}
measure: {processes: 1, blocks: 1, block_seconds: 0.02, throughput_batch: 8}
"""

CODE = """\
import numpy as np
from torch import nn

def build(classes=4):
    layers = nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4, classes))

def whole():
    return tuple((np.load(f"big/x_{part}.npy"), np.load(f"big/y_{part}.npy")) for part in ("train", "test"))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recipes, a network, and the data, which are written some at a time."""
    folder = tmp_path_factory.mktemp("memory")
    (folder / "nets.py").write_text(CODE)
    (folder / "big").mkdir()
    targets, generator = np.arange(COUNT) % 4, np.random.default_rng(0)
    noise = generator.normal(size=(256, *SHAPE)).astype(np.float32)
    for part in ("train", "test"):
        np.save(folder / "big" / f"y_{part}.npy", targets)
        inputs = open_memmap(folder / "big" / f"x_{part}.npy", "w+", np.float32, (COUNT, *SHAPE))
        for start in range(0, COUNT, 256):
            inputs[start : start + 256] = noise + targets[start : start + 256, None, None, None]
        inputs.flush()
    for name, data in (("big", "{npy: big}"), ("whole", '{factory: "nets:whole"}')):
        (folder / f"{name}.yaml").write_text(RECIPE.replace("DATA", data))
    return folder


class Group:
    """A control group of our own, of version 1 or 2."""

    def __init__(self, folder: Path, limit: str, peak: str) -> None:
        self.folder, self.limit, self.peak = folder, limit, peak

    @classmethod
    def make(cls) -> "Group":
        """A new group below the one that this process is in, so that what limits this process limits the new one too.

        Raises:
            OSError: there is no place for one.
        """
        mine = {
            line.split(":")[1]: line.strip().split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()
        }
        name = f"tightship-test-{os.getpid()}"
        if "memory" in mine:
            group = cls(GROUPS / "memory" / mine["memory"].lstrip("/") / name, "limit_in_bytes", "max_usage_in_bytes")
        else:
            # a group of version 2 that holds processes can have none below it: a sibling of ours
            parent = (GROUPS / mine[""].lstrip("/")).parent
            if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
                raise OSError(f"{parent} does not limit memory")
            group = cls(parent / name, "max", "peak")
        group.folder.mkdir()
        return group

    def limit_to(self, size: int) -> None:
        """The bytes that its processes may use together, their cached files among them; what is cached is given up first."""
        (self.folder / f"memory.{self.limit}").write_text(str(size))
        with contextlib.suppress(OSError):  # none where the kernel counts no swap
            (self.folder / "memory.swap.max").write_text("0")

    def most(self) -> int:
        """The most bytes that were in use."""
        return int((self.folder / f"memory.{self.peak}").read_text())

    def enter(self) -> None:
        """Put this process into the group."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        """End what still runs in it, and take it away."""
        for _ in range(100):
            for process in (self.folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"{self.folder} cannot be removed")


@pytest.fixture
def group() -> Iterator[Group]:
    """A group, which is removed in any case."""
    try:
        made = Group.make()
    except (OSError, KeyError) as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            made.limit_to(2**50)
        except OSError as error:
            pytest.skip(f"memory cannot be limited here: {error}")
        yield made
    finally:
        made.remove()


def started(group: Group, command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """A command, run to its end inside a group."""
    kept = {key: value for key, value in os.environ.items() if key != "TIGHTSHIP_STORE"}
    environment = {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, preexec_fn=group.enter, capture_output=True, text=True, timeout=500, check=False
    )


def run(group: Group, name: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """One of the recipes, with as much memory as `BEYOND` says."""
    imported = started(group, [sys.executable, "-c", "import torch, onnxruntime"], folder)
    assert imported.returncode == 0, imported.stderr
    limit = group.most() + BEYOND
    on_disk = sum(path.stat().st_size for path in (folder / "big").iterdir())
    assert limit < on_disk, f"{limit:,} bytes of memory hold the whole data set of {on_disk:,}: make it larger"
    group.limit_to(limit)
    command = [sys.executable, "-m", "tightship.cli.entry", "run", f"{name}.yaml", "--store", f"{name}-store", "--out", name]
    return started(group, command, folder)


@pytest.mark.slow
def test_a_run_on_more_data_than_memory_scores_every_example(work, group):
    done = run(group, "big", work)
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(work / "big" / "evidence.json")
    assert {artifact.precision for artifact in evidence.artifacts} == {"fp32", "int8-ptq"}
    for artifact in evidence.artifacts:
        assert artifact.accuracy.examples == COUNT, artifact.id
        assert artifact.parity.passed, artifact.id
    network, exported = (evidence.artifact(name).accuracy for name in ("torch-cpu/reference", "onnxruntime-cpu/fp32"))
    # the classes differ in brightness, so the network has learned something, and the file says the same of every example
    assert exported.deployed == network.deployed > 0.3
    assert group.most() < sum(path.stat().st_size for path in (work / "big").glob("x_test*"))


@pytest.mark.slow
def test_the_limit_ends_a_run_that_holds_the_same_data_in_memory(work, group):
    done = run(group, "whole", work)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (work / "whole" / "evidence.json").exists()
