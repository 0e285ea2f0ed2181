"""Our latency beside what a runtime's own benchmark tool finds, in one interleaved run: pytest -m slow -rP (this file)."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from artifacts.arrays import save_arrays
from artifacts.environments import LITERT
from artifacts.types import Engine
from benchmarks.process.child import Child
from benchmarks.suites.alternating import alternated
from benchmarks.suites.networks import NETWORKS, deployed
from benchmarks.timing.statistics import paired_ratio

ROUNDS = 9
SECONDS = 2
"""How long the tool calls in a round, and about how long we do."""
AGREE = 1.05


@dataclass(frozen=True)
class Tool:
    """A benchmark tool as it is told to do what we do: one thread, a batch of one, calls one after the other."""

    command: Callable[[Engine, float, tuple[int, ...], Path], list[str]]
    """Of the engine, the ms that a call takes, the shape of an example, and a folder for the report."""
    begins: str
    """A part of the line that it prints before it times calls."""
    report: str
    median: Callable[[dict[str, dict[str, str]]], float]
    """The median in ms that stands in the report."""


def benchmark_app(engine: Engine, ms: float, shape: tuple[int, ...], folder: Path) -> list[str]:
    """OpenVINO's; its time goes on while it is stopped. Float parts in float32, as we open them."""
    return [
        str(Path(sys.executable).with_name("benchmark_app")), "-m", str(engine.path), "-d", "CPU", "-api", "sync",
        "-t", str(2 * SECONDS), "-hint", "none", "-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32", "-ip", "f32",
        "-shape", str([1, *shape]).replace(" ", ""),
        "-report_type", "no_counters", "-report_folder", str(folder), "-json_stats",
    ]  # fmt: skip


def litert_benchmark(engine: Engine, ms: float, shape: tuple[int, ...], folder: Path) -> list[str]:
    """LiteRT's; it makes a number of calls."""
    return [
        str(LITERT.require().with_name("litert-benchmark")), "--model", str(engine.path), "--num_threads", "1",
        "--warmup_runs", "50", "--num_runs", str(round(1000 * SECONDS / ms)), "--result_json", str(folder / "litert.json"),
    ]  # fmt: skip


TOOLS = {
    "openvino-cpu": Tool(
        benchmark_app, "Measuring performance", "benchmark_report.json",
        lambda report: float(report["execution_results"]["latency (ms)"]),
    ),
    "litert-xnnpack": Tool(
        litert_benchmark, "benchmark iterations...", "litert.json", lambda report: float(report["latency"]["median_ms"])
    ),
}  # fmt: skip
CASES = [
    (target, name, precision)
    for target in TOOLS
    for name, precision in (
        ("resnet-20 wide", "fp32"),
        ("resnet-20 wide", "int8"),
        ("resnet-32 wide", "fp32"),
        ("mobilenet", "fp32"),
    )
]


def medians(tool: Tool, engine: Engine, one: Path, shape: tuple[int, ...], folder: Path) -> tuple[float, float]:
    """Ours and the tool's in ms, of two processes that take turns."""
    with Child(engine, folder / "child.log", 1) as child:
        child.open(one)
        child.warm(one, 0.1)
        ms = float(np.median(child.block(one, 0.1, 20).ns)) / 1e6
        times = alternated(tool.command(engine, ms, shape, folder), tool.begins, child, one)
    return float(np.median(times)) / 1e6, tool.median(json.loads((folder / tool.report).read_text()))


def here(target: str) -> None:
    """Skip where a target or its tool is missing."""
    if target == "openvino-cpu":
        pytest.importorskip("openvino")
        pytest.importorskip("nncf")
    elif LITERT.python() is None:
        pytest.skip(f"LiteRT has no environment here: {LITERT.command}")


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("target", "name", "precision"), CASES)
def test_our_latency_is_that_of_the_runtimes_own_tool(target, name, precision, tmp_path):
    here(target)
    engine, images = deployed(target, name, precision, tmp_path)
    one, shape = tmp_path / "one.npz", NETWORKS[name][2]
    save_arrays(one, {"image": images["image"][:1]})
    rounds = [medians(TOOLS[target], engine, one, shape, tmp_path) for _ in range(ROUNDS)]
    ratio = paired_ratio(*zip(*rounds, strict=True))
    ours, theirs = np.median(rounds, axis=0)
    print(
        f"{target} {name} {precision}: ours {ours:.3f} ms, its tool {theirs:.3f} ms (medians of {ROUNDS} rounds), "
        f"ratio {ratio.ratio:.3f} ({ratio.low:.3f} .. {ratio.high:.3f})"
    )
    # what fails is a difference that is shown, not one that noise allows
    assert ratio.low <= AGREE
    assert ratio.high >= 1 / AGREE
