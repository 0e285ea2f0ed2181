"""Calibrators: what each range keeps and clips, one pass over a fixed subset, memory that does not grow."""

import weakref

import numpy as np
import pytest

from artifacts.errors import ModelError
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration
from compress.quantizers.calibrators import calibrate, entropy_range, mse_range, percentile_range
from compress.quantizers.histograms import BINS, Histogram
from compress.quantizers.onnx import qdq
from compress.quantizers.pt2e.streaming import BATCH, Observer, minmax
from compress.training.loop import subset
from compress.training.threads import using
from export.onnx.export import export
from zoo.splits import ArraySplit

CALIBRATORS = ("minmax", "percentile", "entropy", "mse")


def histogram(*batches) -> Histogram:
    made = Histogram()
    for values in batches:
        array = np.asarray(values, np.float32)
        made.add(array, float(array.min()), float(array.max()))
    return made


def rounding_error(values, low, high) -> float:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    return float((((np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale - values) ** 2).mean())


def test_no_count_is_lost_however_the_range_grows():
    generator = np.random.default_rng(0)
    batches = [generator.normal(0, scale, 1000) for scale in (1e-6, 1.0, 50.0, 0.1)]
    seen = histogram(*batches)
    everything = np.concatenate(batches).astype(np.float32)
    assert seen.counts.sum() == everything.size
    assert (seen.low, seen.high) == (float(everything.min()), float(everything.max()))
    expected = np.histogram(everything, seen.edges)[0]
    assert np.abs(np.cumsum(seen.counts) - np.cumsum(expected)).max() <= 2
    assert np.count_nonzero(np.diff(np.flatnonzero(np.isin(seen.edges, [0.0])))) == 0
    assert 0.0 in seen.edges


def test_the_order_of_the_batches_does_not_matter():
    generator = np.random.default_rng(1)
    batches = [generator.normal(m, s, 500) for m, s in ((0, 1), (5, 0.1), (-40, 3))]
    one, two = histogram(*batches), histogram(*batches[::-1])
    assert one.width == two.width
    assert np.abs(np.cumsum(one.counts) - np.cumsum(two.counts)).max() <= 2


@pytest.mark.parametrize("values", [[0.0], [3.5], [-2.0], [1e-20, 0.0], [1e30, -1e30], [1e6, 1e6 + 1]])
def test_every_calibrator_survives_odd_tensors(values):
    seen = histogram(values)
    for low, high in (percentile_range(seen, 0.999), entropy_range(seen, False), mse_range(seen, False), mse_range(seen, True)):
        assert np.isfinite([low, high]).all()
        assert seen.low <= low <= high <= seen.high
    assert seen.counts.sum() == len(values) <= BINS


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_mse_finds_a_range_that_rounds_better_than_the_whole_one(relu, symmetric):
    generator = np.random.default_rng(2)
    values = np.concatenate([generator.normal(0, 1, 2_000_000), [40.0], [] if relu else [-25.0]])
    values = np.maximum(values, 0) if relu else values
    low, high = mse_range(histogram(values), symmetric)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
        whole = rounding_error(values, -40.0, 40.0)
    else:
        whole = rounding_error(values, float(values.min()), float(values.max()))
    found = rounding_error(values, low, high)
    assert found < 0.5 * whole
    # no other range in proportion does much better within what was seen
    ends = values.min() if not symmetric else -40.0, 40.0
    shares = np.linspace(0.5, 2, 61)
    best = min(rounding_error(values, max(low * s, ends[0]), min(high * s, ends[1])) for s in shares)
    assert found <= 1.02 * best


def test_entropy_clips_what_is_rare_and_keeps_what_is_uniform():
    generator = np.random.default_rng(3)
    rare = np.concatenate([generator.normal(0, 1, 200_000), [60.0]])
    low, high = entropy_range(histogram(rare), symmetric=True)
    assert 3 < high < 12
    assert low == pytest.approx(rare.min(), abs=2)
    flat = generator.uniform(0, 10, 200_000)
    assert entropy_range(histogram(flat), symmetric=False)[1] > 9.5


def test_percentile_leaves_out_the_share_that_it_says():
    values = np.arange(10_000, dtype=np.float32)
    low, high = percentile_range(histogram(values), 0.99)
    assert low == pytest.approx(100, abs=6)
    assert high == pytest.approx(9_900, abs=6)
    assert percentile_range(histogram(values), 1.0) == (0.0, 9_999.0)


def test_every_calibrator_stays_within_the_whole_range(digits, tiny, tmp_path):
    observer = Observer(export(tiny, tmp_path).path)
    indices = subset(digits.train, 128, 0)
    wide = minmax(observer, digits.train, indices)
    for name in CALIBRATORS:
        config = QuantizeConfig(calibrator=name, percentile=99.0)
        for symmetric in (False, True):
            found = calibrate(observer, digits.train, indices, config, symmetric=symmetric)
            assert set(found) == set(wide)
            assert all(wide[k][0] <= found[k][0] <= found[k][1] <= wide[k][1] for k in wide)
            narrower = sum(found[k][1] < 0.95 * wide[k][1] for k in wide)
            assert name not in ("percentile",) or narrower > len(wide) / 2
            assert narrower == 0 or name != "minmax"


def test_a_file_is_read_with_the_threads_that_were_chosen_and_its_ranges_are_the_same(digits, tiny, tmp_path):
    file, found = export(tiny, tmp_path), []
    for threads in (1, 2):
        with using(threads):
            observer = Observer(file.path)
        assert observer._session.get_session_options().intra_op_num_threads == threads
        found.append(minmax(observer, digits.train, subset(digits.train, 64, 0)))
    assert found[0] == found[1]


def test_a_model_that_overflows_is_named_not_calibrated(digits, tiny, tmp_path):
    observer = Observer(export(tiny, tmp_path).path)
    images = np.full((4, 1, 8, 8), np.inf, np.float32)
    split = ArraySplit({"image": images}, np.zeros(4))
    for name in CALIBRATORS:
        with pytest.raises(ModelError, match="in calibration tensor") as caught:
            calibrate(observer, split, np.arange(4), QuantizeConfig(calibrator=name), symmetric=False)
        assert "\n" not in str(caught.value)


class Watched(ArraySplit):
    """A split that notes which examples were asked for, and how many at a time."""

    asked: tuple = ()

    def batch(self, indices):
        Watched.asked += (tuple(map(int, indices)),)
        return super().batch(indices)


@pytest.mark.slow
@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_calibration_reads_a_fixed_subset_once_in_bounded_batches(digits, tiny, tmp_path, calibrator):
    split = Watched(digits.train.inputs, digits.train.targets, digits.train.preprocessing)
    config = QuantizeConfig(calibration_samples=100, calibrator=calibrator)
    seen, written = [], []
    for name in ("one", "two"):
        Watched.asked = ()
        (tmp_path / f"{name}-float").mkdir()
        (tmp_path / name).mkdir()
        plain = export(tiny, tmp_path / f"{name}-float")
        file = qdq.quantize_asymmetric(plain, tmp_path / name, Calibration(split, config, 3, tiny))
        seen.append(Watched.asked)
        written.append(file.path.read_bytes())
    assert seen[0] == seen[1]
    assert max(map(len, seen[0])) <= BATCH
    assert sum(map(len, seen[0])) == 100 == len({i for part in seen[0] for i in part})
    assert written[0] == written[1], "the same calibration must write the same bytes"


class Counting:
    """An observer that counts how many of the tensors it handed out are still held."""

    def __init__(self, inner):
        self.inner, self.handed, self.peak = inner, [], 0

    def values(self, inputs):
        self.peak = max(self.peak, sum(ref() is not None for ref in self.handed))
        made = self.inner.values(inputs)
        self.handed += [weakref.ref(v) for v in made.values()]
        return made


@pytest.mark.slow
@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_the_memory_of_calibration_does_not_grow_with_the_samples(digits, tiny, tmp_path, calibrator):
    inner = Observer(export(tiny, tmp_path).path)
    config = QuantizeConfig(calibrator=calibrator)
    for count in (64, 1024):
        observer = Counting(inner)
        calibrate(observer, digits.train, subset(digits.train, count, 0), config, symmetric=False)
        assert len(observer.handed) >= count // BATCH * len(inner.names)
        assert observer.peak <= len(inner.names) + 1, "more than one batch of tensors is held"
