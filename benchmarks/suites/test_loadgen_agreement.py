"""Our median beside LoadGen's SingleStream median: one process, turns in random order, one sample.

pytest -m slow -rP benchmarks/suites/test_loadgen_agreement.py

LoadGen's latency holds its Python binding and our answer too. So the calls that LoadGen asks for are timed by themselves as
well: what is left of a difference then is LoadGen's, and `test_what_loadgen_adds` says what that is around nothing.
"""

import random
import time
from dataclasses import dataclass

import numpy as np
import pytest

from benchmarks.scenarios.logs import read_log
from benchmarks.scenarios.plan import LoadPlan
from benchmarks.scenarios.samples import Samples
from benchmarks.scenarios.system import System, drive
from benchmarks.statistics import mean_ratio
from benchmarks.stopwatch import time_calls
from benchmarks.suites.networks import NETWORKS, deployed
from runtimes.registry import find

pytest.importorskip("mlperf_loadgen", reason="MLPerf LoadGen is missing: pip install 'tightship[loadgen]'")
ROUNDS, CALLS = 25, 50
SECONDS = 0.3
AGREE, SAME = 1.03, 1.01


@dataclass
class Timed:
    """A session whose calls are timed from within, whoever asks for them."""

    session: object

    def __post_init__(self):
        self.ns = []

    def run(self, inputs):
        before = time.perf_counter_ns()
        made = self.session.run(inputs)
        self.ns.append(time.perf_counter_ns() - before)
        return made


def loadgen_turn(timed, samples, seconds, pace, folder):
    """LoadGen's median of a turn, and the median of the calls in it, in ms."""
    timed.ns.clear()
    asked = {**vars(LoadPlan("single-stream", seconds)), "query_samples": 1, "min_queries": CALLS, "pace": pace}
    drive(System(timed.run, samples, 1), folder, asked)
    return read_log(folder).percentiles_ms["p50"], float(np.median(timed.ns)) / 1e6


def rounds(session, feed, folder):
    """Medians in ms (rounds, 3): ours, LoadGen's, and that of the calls that LoadGen asked for."""
    samples, order, found = Samples(feed, 1, 1), random.Random(0), []
    time_calls(lambda: session.run(feed), SECONDS, CALLS)  # warm
    for round_ in range(ROUNDS):
        turn = {}
        for who in order.sample(["ours", "loadgen"], 2):
            if who == "ours":
                times, _ = time_calls(lambda: session.run(feed), SECONDS, CALLS)
                turn["ours"] = float(np.median(times)) / 1e6
            else:
                pace = 1000 / found[-1][0] if found else 1000.0
                turn["loadgen"], turn["calls"] = loadgen_turn(Timed(session), samples, SECONDS, pace, folder / str(round_))
        found.append((turn["ours"], turn["loadgen"], turn["calls"]))
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_our_median_is_that_of_loadgen(name, tmp_path):
    engine, images = deployed("onnxruntime-cpu", name, "fp32", tmp_path)
    session = find("onnxruntime-cpu").runtime().open(engine, 1)
    ours, loadgen, calls = rounds(session, {"image": images["image"][:1]}, tmp_path).T
    ratio, same = mean_ratio(ours / loadgen), mean_ratio(ours / calls)
    print(
        f"{name}: ours {np.median(ours):.3f} ms, LoadGen {np.median(loadgen):.3f} ms (medians of {ROUNDS} rounds), "
        f"ratio {ratio.ratio:.4f} ({ratio.low:.4f} .. {ratio.high:.4f}); the calls alone {same.ratio:.4f} "
        f"({same.low:.4f} .. {same.high:.4f}); LoadGen adds {1000 * np.median(loadgen - calls):.1f} us"
    )
    assert ratio.low <= AGREE
    assert ratio.high >= 1 / AGREE
    assert same.low <= SAME
    assert same.high >= 1 / SAME


def test_what_loadgen_adds(tmp_path):
    """A system that does nothing: what is left is LoadGen, its Python binding and our answer."""
    feeds, outputs = {"x": np.zeros((1, 3), np.float32)}, {"y": np.zeros((1, 10), np.float32)}
    system = System(lambda inputs: outputs, Samples(feeds, 1, 1), 1)
    plan = LoadPlan("single-stream", SECONDS)
    asked = {**vars(plan), "query_samples": 1, "min_queries": 0, "pace": 500_000.0}
    drive(system, tmp_path, asked)
    found = read_log(tmp_path).percentiles_ms
    print(f"LoadGen around a call that does nothing: p50 {1000 * found['p50']:.2f} us, p90 {1000 * found['p90']:.2f} us")
    assert found["p50"] < 0.02
