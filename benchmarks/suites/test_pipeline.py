"""How long the pipeline's own parts take: command line, plan, a hit in the store, calibration, export."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.configs import QuantizeConfig
from compress.quantizers.pt2e.streaming import Observer, minmax
from export.onnx.export import export
from tightship.planning.plan import make_plan
from tightship.recipe.recipe import load_recipe
from tightship.store import Store

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "digits.yaml"


def test_command_line_starts_within_its_limit(benchmark):
    command = [sys.executable, "-m", "tightship.cli.main", "--help"]
    done = benchmark.pedantic(subprocess.run, (command,), {"capture_output": True, "cwd": ROOT}, rounds=7)
    assert b"run" in done.stdout
    assert benchmark.stats.stats.median < 0.3


def test_plan_within_its_limit(benchmark, tmp_path):
    command = [sys.executable, "-m", "tightship.cli.main", "plan", str(RECIPE), "--store", str(tmp_path)]
    done = benchmark.pedantic(subprocess.run, (command,), {"capture_output": True, "cwd": ROOT}, rounds=5)
    assert b"0 of" in done.stdout, done.stderr
    assert benchmark.stats.stats.median < 1.0


def test_planning_alone(benchmark):
    plan = benchmark(make_plan, load_recipe(RECIPE), "this machine")
    assert plan.steps


@dataclass(frozen=True)
class Made:
    """What a stage says of its work."""

    summary: str


def test_store_hit(benchmark, tmp_path):
    store = Store(tmp_path)

    def make(folder, work):
        (folder / "weights").write_bytes(bytes(1_000_000))
        return Made("one megabyte")

    store.get("a" * 64, {}, Made, make)
    entry = benchmark(store.get, "a" * 64, {}, Made, make)
    assert entry.cached


def test_export_onnx(benchmark, small_model, tmp_path):
    file = benchmark.pedantic(export, (small_model, tmp_path), rounds=3, warmup_rounds=1)
    assert file.path.is_file()


def test_calibration(benchmark, small_model, digits, tmp_path):
    observer = Observer(export(small_model, tmp_path).path)
    samples = QuantizeConfig().calibration_samples
    ranges = benchmark(minmax, observer, digits.train, np.arange(samples))
    assert len(ranges) > 10
