"""Our median beside LoadGen's SingleStream median: one process, turns in random order, one sample.

pytest -m slow -rP benchmarks/suites/test_loadgen_agreement.py

LoadGen's latency holds its Python binding and our answer too. So the calls that LoadGen asks for are timed by themselves as
well: what is left of a difference then is LoadGen's, and `test_what_loadgen_adds` says what that is around nothing.
"""

import random
import time

import numpy as np
import pytest

from benchmarks.process.loadgen.logs import read_log
from benchmarks.process.loadgen.plan import LoadPlan
from benchmarks.process.loadgen.samples import Samples
from benchmarks.process.loadgen.system import System, drive
from benchmarks.process.stopwatch import time_calls
from benchmarks.suites.networks import NETWORKS, SHORT, deployed
from benchmarks.timing.statistics import paired_ratio
from runtimes.registry import find

pytest.importorskip("mlperf_loadgen", reason="MLPerf LoadGen is missing: pip install 'tightship[loadgen]'")
ROUNDS, CALLS = 25, 50
SECONDS = 0.3
AGREE, SAME = 1.03, 1.01


def loadgen_turn(run, samples, pace, folder):
    """LoadGen's median of a turn, and the median of the calls that it asked for, in ms."""
    times, clock = [], time.perf_counter_ns

    def timed(inputs):
        before = clock()
        made = run(inputs)
        times.append(clock() - before)
        return made

    drive(System(timed, samples, 1), folder, LoadPlan("single-stream", SECONDS), pace, CALLS)
    return read_log(folder).percentiles_ms["p50"], float(np.median(times)) / 1e6


def our_turn(run, feed):
    """Our median of a turn, in ms."""
    times, _ = time_calls(lambda: run(feed), SECONDS, CALLS)
    return float(np.median(times)) / 1e6


def compared(name, folder):
    """Our median as a ratio to LoadGen's, and to that of the calls that it asked for, one of each for a round."""
    engine, images = deployed("onnxruntime-cpu", name, "fp32", folder)
    run, feed = find("onnxruntime-cpu").runtime().open(engine, 1).run, {"image": images["image"][:1]}
    samples, order, found = Samples(feed, 1, 1), random.Random(0), []
    pace = 1000 / our_turn(run, feed)
    for round_ in range(ROUNDS):
        turns = {
            "ours": lambda: (our_turn(run, feed),),
            "loadgen": lambda place=folder / str(round_): loadgen_turn(run, samples, pace, place),
        }
        made = {who: turns[who]() for who in order.sample(sorted(turns), 2)}
        found.append((*made["ours"], *made["loadgen"]))
    ours, loadgen, calls = np.array(found).T
    ratio, same = paired_ratio(ours, loadgen), paired_ratio(ours, calls)
    print(
        f"{name}: ours {np.median(ours):.3f} ms, LoadGen {np.median(loadgen):.3f} ms (medians of {ROUNDS} rounds), "
        f"ratio {ratio.ratio:.4f} ({ratio.low:.4f} .. {ratio.high:.4f}); to the calls alone {same.ratio:.4f} "
        f"({same.low:.4f} .. {same.high:.4f}); LoadGen adds {1000 * np.median(loadgen - calls):.1f} us"
    )
    if ratio.high > AGREE**2 * ratio.low:
        pytest.skip("disturbed: the interval is wider than what is asked")
    return ratio, same


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_our_median_is_that_of_loadgen(name, tmp_path):
    ratio, same = compared(name, tmp_path)
    assert 1 / AGREE <= ratio.ratio <= AGREE
    assert 1 / SAME <= same.ratio <= SAME


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_short_calls_take_under_loadgen_what_they_take_without(name, tmp_path):
    _, same = compared(name, tmp_path)
    assert 1 / SAME <= same.ratio <= SAME


def test_what_loadgen_adds(tmp_path):
    """A system that does nothing: what is left is LoadGen, its Python binding and our answer."""
    feeds, outputs = {"x": np.zeros((1, 3), np.float32)}, {"y": np.zeros((1, 10), np.float32)}
    system = System(lambda inputs: outputs, Samples(feeds, 1, 1), 1)
    drive(system, tmp_path, LoadPlan("single-stream", SECONDS), 500_000.0)
    found = read_log(tmp_path).percentiles_ms
    print(f"LoadGen around a call that does nothing: p50 {1000 * found['p50']:.2f} us, p90 {1000 * found['p90']:.2f} us")
    assert found["p50"] < 0.02
