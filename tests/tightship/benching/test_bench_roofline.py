"""`bench --roofline`: the share of this machine's peaks that a file reaches, and its costliest layers, wherever it was made."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from artifacts.records.roofline import BandwidthRecord, LayerTime, LayerTimes, PeakRecord, PeaksRecord, RooflineRecord
from benchmarks.roofline.layer_costs import SILENT
from benchmarks.roofline.peak_models import LAYERS, write_all
from benchmarks.roofline.roofline import place_by_layers
from tightship.benching.roofline import recorded
from tightship.cli.main import app

PEAKS = PeaksRecord(
    1, 1.0, 32.0, tuple(PeakRecord("onnxruntime-cpu", p, rate, "a", ("a",)) for p, rate in (("fp32", 50.0), ("int8", 200.0))),
    (BandwidthRecord("memory", 10.0, 128.0), BandwidthRecord("cache", 80.0, 8.0)),
)  # fmt: skip
MIXED = LayerTimes(
    (
        LayerTime("a", "QLinearConv", 0.3, "stem", 40_000_000, "int8"),
        LayerTime("b", "Gemm", 0.5, "head", 10_000_000, "fp32"),
        LayerTime("c", "Add", 0.1),
    ),
    20,
    "as given",
)
RECORDED = RooflineRecord(
    macs=50e6, bytes_moved=2e6, gmac_per_s=1.0, compute_share=0.1, memory_share=0.1, memory="cache", bound="compute",
    peak_target="onnxruntime-cpu", peak_precision="int8", reasons=(), layers=(), layer_count=0, layers_ms=None,
    light_share=None, layers_how="as given",
)  # fmt: skip
QUICK = ["--processes", "1", "--seconds", "0.02", "--roofline"]


def test_layers_of_two_precisions_are_each_held_against_their_own_peak():
    found = place_by_layers("onnxruntime-cpu", 2.0, PEAKS, MIXED, 1)
    # 40 M at 200 GMAC/s take 0.2 ms, 10 M at 50 take 0.2 ms more: 0.4 of the 2 ms
    assert found.compute_share == pytest.approx(0.2)
    assert (found.macs, found.gmac_per_s, found.peak_precision) == (50e6, pytest.approx(25.0), "int8")
    assert (found.memory_share, found.bound) == (None, None)
    assert found.reasons == ("what a call moves is not known, so it is not held against the bandwidth",)


def test_what_a_run_recorded_adds_the_bandwidth():
    found = place_by_layers("onnxruntime-cpu", 2.0, PEAKS, MIXED, 1, RECORDED)
    # 25 MACs a byte at 80 GB/s allow 2000 GMAC/s, and 25 are reached
    assert (found.memory, found.memory_share) == ("cache", pytest.approx(25 / 2000))
    assert (found.bound, found.reasons) == ("compute", ())


def test_a_runtime_that_tells_nothing_has_what_the_run_counted_or_a_reason():
    silent = LayerTimes((), 0, SILENT)
    assert place_by_layers("torch-cpu", 2.0, PEAKS, silent, 1, RECORDED).compute_share == pytest.approx(50 / 200 / 2)
    alone = place_by_layers("torch-cpu", 2.0, PEAKS, silent, 1)
    assert (alone.compute_share, alone.reasons) == (None, (f"MACs are not known: {SILENT}",))


def test_operators_that_multiply_uncounted_leave_the_share_out():
    layers = LayerTimes((*MIXED.layers, LayerTime("d", "LSTM", 0.4)), 20, "as given")
    found = place_by_layers("onnxruntime-cpu", 2.0, PEAKS, layers, 1)
    assert (found.compute_share, found.layer_count) == (None, 4)
    assert "LSTM multiplies" in found.reasons[0]


def test_other_threads_and_unknown_precisions_are_not_held_against_these_peaks():
    assert "2 threads" in place_by_layers("onnxruntime-cpu", 2.0, PEAKS, MIXED, 2).reasons[0]
    half = replace(MIXED, layers=tuple(replace(layer, precision="fp16") for layer in MIXED.layers[:2]))
    found = place_by_layers("onnxruntime-cpu", 2.0, PEAKS, half, 1)
    assert (found.compute_share, found.reasons[0]) == (None, "no peak is measured for fp16")


@pytest.mark.slow
def test_a_file_made_elsewhere_shows_peaks_shares_and_layers(tmp_path):
    file = write_all(tmp_path)[0]
    (row,) = json.loads(CliRunner().invoke(app, ["bench", str(file.path), *QUICK, "--json"]).output)
    found = row["roofline"]
    assert found["macs"] == file.shape.macs
    assert found["gmac_per_s"] == pytest.approx(file.shape.macs / row["p50_ms"] / 1e6)
    fp32 = next(p["gmac_per_s"] for p in row["peaks"]["compute"] if p["precision"] == "fp32")
    assert found["compute_share"] == pytest.approx(found["gmac_per_s"] / fp32)
    assert len([layer for layer in found["layers"] if layer["macs"]]) == LAYERS
    assert row["means"].startswith("reaches ")


@pytest.mark.slow
def test_a_file_whose_runtime_is_silent_says_so_in_one_sentence(tmp_path):
    torch.jit.trace(torch.nn.Linear(3, 2), torch.zeros(1, 3)).save(str(tmp_path / "net.pt"))
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 3), np.float32))
    shown = CliRunner().invoke(app, ["bench", str(tmp_path / "net.pt"), "--inputs", str(tmp_path / "in.npz"), *QUICK])
    assert shown.exit_code == 0, shown.output
    assert "This machine's peaks, threads 1" in shown.output
    assert f"MACs are not known: {SILENT}." in shown.output
    assert f"no layers: {SILENT}." in shown.output


def test_only_the_file_of_a_run_has_what_it_recorded(artifact, evidence_of, tmp_path):
    record = artifact(roofline=RECORDED)
    path = tmp_path / record.main
    path.parent.mkdir(parents=True)
    path.write_bytes(b"file")
    assert recorded(path) is None
    evidence_of(record).write(tmp_path / "evidence.json")
    assert recorded(path) == RECORDED
    assert recorded(path.with_name("other.onnx")) is None
