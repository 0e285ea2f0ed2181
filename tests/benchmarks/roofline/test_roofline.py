"""The roofline: what is counted, what is read from a profile, and the arithmetic of the roofs."""

import json
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from artifacts.arrays import load_arrays
from artifacts.records.noise import Disturbance
from artifacts.records.roofline import BandwidthRecord, LayerTime, LayerTimes, PeakRecord, PeaksRecord
from artifacts.specs import Signature
from artifacts.types import Engine
from benchmarks.process.stopwatch import Block
from benchmarks.roofline.layer_costs import SILENT, layer_times, read
from benchmarks.roofline.peak_models import LAYERS, SHAPES, write_all
from benchmarks.roofline.peaks import Visits, measure_peaks, triad
from benchmarks.roofline.roofline import bandwidth_of, peak_of, place
from benchmarks.roofline.work import Work, work_of
from benchmarks.timing.noise import NoiseMonitor, Round
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu

TIMES = LayerTimes(
    (LayerTime("conv", "QLinearConv", 0.3, "stem", 6_000_000, "int8"), LayerTime("add", "Add", 0.1)), 20, "as given"
)
PEAKS = PeaksRecord(
    threads=1,
    seconds=1.0,
    cache_mb=32.0,
    compute=(
        PeakRecord("onnxruntime-cpu", "fp32", 50.0, "a", ("a",)),
        PeakRecord("onnxruntime-cpu", "int8", 200.0, "a", ("a",)),
        PeakRecord("openvino-cpu", "int8", 160.0, "a", ("a",)),
    ),
    bandwidth=(BandwidthRecord("memory", 10.0, 128.0), BandwidthRecord("cache", 80.0, 8.0)),
)
WORK = Work(macs=10_000_000, weights=100_000, activations=60_000, alive=20_000)


def test_work_is_the_hand_count():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    found = work_of(network, {"x": np.zeros((2, 3, 8, 8), np.float32)})
    conv, linear = 8 * 36 * 27, 288 * 10
    assert found == Work(conv + linear, 8 * 27 + 2880 + 10, (192 + 288) + (288 + 10), 192 + 288)
    assert Work.of(json.loads(json.dumps(asdict(found)))) == found


class Scored(nn.Module):
    """Takes a mask after its numbers, which the data have before them."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, mask):
        return self.layer(x) * mask


def test_inputs_are_handed_on_by_name():
    work = work_of(Scored(), {"mask": np.ones((2, 3), np.float32), "x": np.ones((2, 4), np.float32)})
    assert work.macs == 12


def test_an_embedding_multiplies_nothing_a_recurrent_layer_does_and_what_is_not_counted_is_named():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.lstm = nn.Embedding(10, 16), nn.LSTM(16, 8, batch_first=True)

        def forward(self, x):
            return torch.fft.rfft(self.lstm(self.words(x))[0]).real

    found = work_of(Words(), {"x": np.zeros((1, 5), np.int64)})
    assert found.macs == 5 * 4 * 8 * (16 + 8)
    assert found.weights == 4 * 8 * (16 + 8) + 2 * 4 * 8
    assert found.uncounted == ("aten._fft_r2c",)
    placed = place("onnxruntime-cpu", None, 1.0, found, PEAKS, TIMES, 1)
    assert placed.gmac_per_s is None
    assert "not known" in placed.reasons[0]
    assert "aten._fft_r2c" in placed.reasons[0]


@pytest.mark.parametrize(("scheme", "moved"), [(None, 640_000), ("int8", 160_000), ("int8-weights", 340_000), ("x", None)])
def test_bytes_follow_the_scheme(scheme, moved):
    assert WORK.bytes(scheme) == moved


def test_a_rate_is_held_against_both_roofs():
    placed = place("onnxruntime-cpu", "int8", 0.5, WORK, PEAKS, TIMES, 1)
    assert placed.gmac_per_s == pytest.approx(20.0)  # 10 M in half a millisecond
    assert placed.compute_share == pytest.approx(0.1)
    # 160 kB stay in the cache: 62.5 MACs a byte at 80 GB/s allow 5000 GMAC/s
    assert (placed.memory, placed.memory_share) == ("cache", pytest.approx(0.004))
    assert placed.bound == "compute"


def test_what_does_not_fit_into_the_cache_comes_from_memory():
    large = replace(WORK, weights=40_000_000)
    placed = place("onnxruntime-cpu", "int8", 5.0, large, PEAKS, TIMES, 1)
    assert (placed.memory, placed.bound) == ("memory", "memory")
    assert placed.memory_share == pytest.approx(40_060_000 / 5e-3 / 10e9)
    assert bandwidth_of(replace(PEAKS, cache_mb=None), 1.0).where == "memory"


def test_the_peak_is_the_targets_own_or_that_of_onnx_runtime():
    assert peak_of(PEAKS, "openvino-cpu", "int8").target == "openvino-cpu"
    assert peak_of(PEAKS, "openvino-cpu", "fp32").target == "onnxruntime-cpu"
    assert peak_of(PEAKS, "torch-cpu", "bf16") is None
    placed = place("torchscript-cpu", "bf16", 1.0, WORK, PEAKS, TIMES, 1)
    assert (placed.compute_share, placed.bound) == (None, None)
    assert placed.reasons == ("no peak is measured for bf16",)
    assert placed.memory_share is not None


def test_other_threads_are_not_held_against_these_peaks():
    placed = place("onnxruntime-cpu", "int8", 0.5, WORK, PEAKS, TIMES, 2)
    assert placed.gmac_per_s == pytest.approx(20.0)
    assert (placed.compute_share, placed.memory_share, placed.layers[0].peak_share) == (None, None, None)
    assert "2 threads" in placed.reasons[0]
    assert place("onnxruntime-cpu", "int8", 0.5, WORK, None, TIMES, 2).reasons == ("this machine's peaks were not measured",)


def test_layers_come_from_the_costliest_with_their_share_of_the_peak():
    many = LayerTimes(tuple(LayerTime(f"n{n}", "Add", 0.01 * (n + 1)) for n in range(14)) + TIMES.layers, 20, "as given")
    placed = place("onnxruntime-cpu", "int8", 0.5, WORK, PEAKS, many, 1)
    assert (len(placed.layers), placed.layer_count) == (10, 16)
    first = placed.layers[0]
    assert (first.layer, first.ms, first.peak_share) == ("stem", 0.3, pytest.approx(0.1))  # 20 of 200 GMAC/s
    assert first.share == pytest.approx(0.3 / placed.layers_ms)
    assert placed.light_share == pytest.approx(1 - 0.3 / placed.layers_ms)


def test_a_runtime_that_does_not_say_is_not_asked(tmp_path):
    engine = Engine("torch-cpu", tmp_path / "none", Signature(()))
    assert layer_times({"a": engine}, tmp_path / "none.npz", 1, tmp_path) == {"a": LayerTimes((), 0, SILENT)}


def test_the_networks_of_the_peaks_compute_what_they_are_credited_with(tmp_path):
    for file in write_all(tmp_path):
        onnx.checker.check_model(str(file.path), full_check=True)
        found = (
            OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", file.path, Signature(())), 1).layer_times(load_arrays(file.first))
        )
        assert sum(layer.macs or 0 for layer in found.layers) == file.shape.macs, found
        heavy = [layer for layer in found.layers if layer.macs]
        assert len(heavy) == LAYERS
        assert {layer.precision for layer in heavy} == {file.precision}


def test_layers_come_whole_and_a_file_that_cannot_be_timed_is_a_reason_not_an_error(tmp_path):
    file = write_all(tmp_path)[0]
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    broken = Engine("onnxruntime-cpu", tmp_path / "broken.onnx", Signature(()))
    good = Engine("onnxruntime-cpu", file.path, file.signature)
    both = layer_times({"broken": broken, "good": good}, file.first, 1, tmp_path)
    assert both["broken"].layers == ()
    assert "could not be timed" in both["broken"].how
    found = both["good"]
    assert sum(layer.macs or 0 for layer in found.layers) == file.shape.macs, found
    assert found.runs >= 20
    assert read(json.loads(json.dumps(asdict(found)))) == found


def test_peaks_are_measured_for_both_precisions(tmp_path):
    found = measure_peaks((), 1, 0.01, tmp_path)
    assert [(p.target, p.precision) for p in found.compute] == [("onnxruntime-cpu", "fp32"), ("onnxruntime-cpu", "int8")]
    assert all(p.gmac_per_s > 0 and len(p.tried) == len(SHAPES) and p.best in {s.name for s in SHAPES} for p in found.compute)
    assert [b.where for b in found.bandwidth] == ["memory", "cache"]
    assert found.bandwidth[0].megabytes > found.bandwidth[1].megabytes
    assert all(b.gb_per_s > 0 for b in found.bandwidth)


def test_every_thread_of_the_triad_has_its_part():
    found = [triad(1001, threads) for threads in (1, 2, 3)]
    assert all(rate > 0 and block.wall_ns > 0 for rate, block in found)


QUIET = Block(200_000_000, 200_000_000, 0, 0, 1_000_000)


def visits(*seen, repeats=2):
    """A roof that was visited with these rates, each disturbed by these signs, in order."""
    found, left = Visits(NoiseMonitor(), repeats), list(seen)

    def visit():
        rate, *signs = left.pop(0)
        turn = found.watch.turn([QUIET], None)
        turn.reasons = signs
        return rate, turn

    while left:
        found.make("conv", visit)
    return found


def test_a_disturbed_visit_is_made_again_and_does_no_harm_beside_a_quiet_one():
    found = visits((5.0, Disturbance.FOREIGN), (9.0,), (7.0, Disturbance.WAITED))
    assert (found.best, found.disturbed) == ({"conv": 9.0}, ())
    assert (found.watch.repeated, found.spare) == (1, 1)


def test_a_peak_is_marked_when_the_limit_is_reached_and_the_quickest_call_counts_all_the_same():
    found = visits((5.0, Disturbance.FOREIGN), (9.0, Disturbance.STEAL), (7.0, Disturbance.FOREIGN), (6.0, Disturbance.WAITED))
    assert found.best == {"conv": 9.0}
    assert found.disturbed == ("other guests took time", "other processes ran", "waited for a core")
    assert found.watch.repeated == 2
    assert found.watch.record().disturbed


def test_one_network_that_was_never_left_alone_marks_the_peak():
    found = Visits(NoiseMonitor(), 0)
    found.make("quiet", lambda: (9.0, Round([QUIET], None, None)))
    found.make("loud", lambda: (3.0, Round([QUIET], None, None, [Disturbance.SPIN])))
    assert found.disturbed == (Disturbance.SPIN,)


def test_a_disturbed_roof_is_said_beside_every_share_of_it():
    peaks = replace(PEAKS, compute=(*PEAKS.compute[:1], replace(PEAKS.compute[1], disturbed=("other processes ran",))))
    assert peaks.disturbed == ("other processes ran",)
    (reason,) = place("onnxruntime-cpu", "int8", 0.5, WORK, peaks, TIMES, 1).reasons
    assert reason.startswith("the int8 peak may be too low and this share too high")
    assert place("onnxruntime-cpu", None, 0.5, WORK, peaks, TIMES, 1).reasons == ()
