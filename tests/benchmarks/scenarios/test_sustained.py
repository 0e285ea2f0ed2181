"""Minutes of calls: what is said of windows that are known, and windows of a real engine."""

import numpy as np
import pytest

from artifacts.errors import ParityFailed
from benchmarks.scenarios.sustained import Window, drift, sustain


def windows(p50, spin=None, rss=None, mhz=None, reasons=None):
    """Windows of these medians; all else stays the same unless it is given."""
    count = len(p50)
    spin, rss, mhz, reasons = spin or [1000] * count, rss or [100.0] * count, mhz or [None] * count, reasons or [()] * count
    return [Window(5.0 * i, 500, float(p50[i]), None, 0.99, spin[i], rss[i], mhz[i], tuple(reasons[i])) for i in range(count)]


def noisy(seed, factors, scatter=0.004):
    return np.asarray(factors) * np.exp(np.random.default_rng(seed).normal(0, scatter, len(factors)))


def test_a_steady_run_is_called_steady():
    found = drift(windows(noisy(0, [1.0] * 24)))
    assert found.verdict == found.words == "steady"
    assert found.ci95[0] < 1 < found.ci95[1]
    assert found.throttled is False
    assert found.memory_grows is False


def test_a_run_that_slows_is_called_slow_by_its_share():
    found = drift(windows(noisy(1, np.linspace(1.0, 1.2, 24))))
    assert found.verdict == "slows"
    assert found.ratio == pytest.approx(1.157, rel=0.01)
    assert found.words == f"slows by {100 * (found.ratio - 1):.1f} %"


def test_a_run_that_speeds_up_is_told_too():
    assert drift(windows(noisy(2, np.linspace(1.2, 1.0, 24)))).words.startswith("speeds up by 1")


def test_a_difference_within_the_scatter_cannot_be_told():
    assert drift(windows(noisy(3, [1.0] * 12 + [1.03] * 12, scatter=0.05))).verdict == "cannot tell"


def test_steady_runs_are_hardly_ever_called_slow():
    said = [drift(windows(noisy(seed, [1.0] * 16, scatter=0.05))).verdict for seed in range(300)]
    assert said.count("slows") + said.count("speeds up") <= 0.05 * len(said)


def test_too_few_windows_cannot_be_told():
    found = drift(windows([1.0] * 8))
    assert found.verdict == "cannot tell"
    assert "2 and 2 undisturbed windows" in found.words
    assert found.ratio is None


def test_windows_that_others_disturbed_do_not_count():
    p50 = noisy(4, [1.0] * 20)
    p50[19] = 9.0
    reasons = [()] * 19 + [("other processes ran",)]
    assert drift(windows(p50, reasons=reasons)).verdict == "steady"
    assert drift(windows(p50, reasons=[("other processes ran",)] * 20)).verdict == "cannot tell"


def test_a_clock_that_slowed_is_called_throttled_and_its_windows_count():
    own = ("a fixed loop ran slower than its best",)
    factors = [1.0] * 12 + [1.4] * 12
    found = drift(windows(noisy(5, factors), spin=[int(1000 * f) for f in factors], reasons=[()] * 12 + [own] * 12))
    assert found.verdict == "slows"
    assert found.throttled is True
    assert found.clock_ratio == pytest.approx(1.4)


def test_a_frequency_that_fell_is_throttling_too():
    assert drift(windows([1.0] * 16, mhz=[3000.0] * 8 + [2000.0] * 8)).throttled is True


def test_memory_that_grows_is_told():
    found = drift(windows([1.0] * 16, rss=[100.0 + 2 * i for i in range(16)]))
    assert found.memory_grows is True
    assert found.rss_growth_mb == 30.0
    unread = drift(windows([1.0] * 16, rss=[None] * 16))
    assert unread.rss_growth_mb is unread.memory_grows is None


@pytest.mark.slow
def test_a_real_engine_is_called_back_to_back(onnx_engine, first, tmp_path):
    found, watch = sustain(onnx_engine(), first, tmp_path, 1.6)
    assert len(found) == len(watch.kept) == 16
    assert [w.start_s for w in found] == sorted(w.start_s for w in found)
    assert 1.4 < found[-1].start_s + 0.1 < 10
    for window in found:
        assert window.calls > 0
        assert window.p50_ms > 0
        assert (window.p99_ms is None) == (window.calls < 1000)
        assert 0 < window.busy_share <= 1
    assert drift(found).verdict in ("steady", "slows", "speeds up", "cannot tell")


def test_outputs_that_change_during_the_run_are_an_error(moody, first, tmp_path):
    with pytest.raises(ParityFailed, match="a timed call"):
        sustain(moody("drift"), first, tmp_path, 0.2)
