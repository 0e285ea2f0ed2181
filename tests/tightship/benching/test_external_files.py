"""`bench` on files that others made: real models that are published, with state, scalars, int8 inputs and strange operators."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from artifacts.arrays import save_arrays
from artifacts.environments import LITERT
from artifacts.errors import DataError, ModelError, RequestError
from tightship.benching.bench import bench_files, engine_of, feeds_for

HOW = {"processes": 1, "seconds": 0.02}
litert = pytest.mark.skipif(LITERT.version("ai-edge-litert") is None, reason="LiteRT is missing: make venv-litert")
pytestmark = pytest.mark.data


def real(name):
    return Path(os.environ["TIGHTSHIP_DATA"]) / name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ultraface/version-slim-320.onnx", "input float32 1x3x240x320"),
        ("ultraface/version-RFB-320.onnx", "input float32 1x3x240x320"),
        ("ultraface/version-RFB-320_without_postprocessing.onnx", "input float32 1x3x240x320"),
        ("chineseocr_angle_net/angle_net.onnx", "input float32 1x3x32x192"),
        ("silero_vad/silero_vad.onnx", "input float32 1x256, state float32 2x1x128, sr int64 scalar"),
        ("silero_vad/silero_vad_16k_op15.onnx", "input float32 1x256, state float32 2x1x128, sr int64 scalar"),
    ],
)
def test_published_onnx_files_run_on_inputs_of_stated_sizes(name, said):
    (row,) = bench_files([real(name)], None, None, **HOW)
    assert row["inputs"] == f"made up: {said}"
    assert row["batch"] == 1
    assert row["p50_ms"] > 0
    assert row["bytes"] == real(name).stat().st_size
    json.dumps(row, allow_nan=False)


def test_a_recurrent_state_does_not_fix_the_batch():
    """Its first dimension of 2 counts layers, and its second one the examples."""
    rows = bench_files([real("silero_vad/silero_vad_16k_op15.onnx")], None, None, **HOW, batches=(1, 3))
    assert [(row["batch"], row["throughput_batch"]) for row in rows] == [(1, 1), (3, 3)]
    assert rows[1]["inputs"].startswith("made up: input float32 3x256, state float32 2x3x128")


def test_real_windows_of_sound_are_run_as_they_are_given(tmp_path):
    import onnxruntime as ort
    from scipy.io import wavfile

    rate, sound = wavfile.read(real("silero_vad/test.wav"))
    window = (sound[rate : rate + 576] / 32768).astype(np.float32)[None]
    feeds = {"sr": np.array(rate), "state": np.zeros((2, 1, 128), np.float32), "input": window}
    save_arrays(tmp_path / "in.npz", feeds)
    path = real("silero_vad/silero_vad_16k_op15.onnx")
    (row,) = bench_files([path], tmp_path / "in.npz", None, **HOW)
    assert row["inputs"] == str(tmp_path / "in.npz")
    (probability, _) = ort.InferenceSession(str(path)).run(None, feeds)
    assert 0 <= probability.item() <= 1
    save_arrays(tmp_path / "in.npz", feeds | {"state": np.zeros((3, 1, 128), np.float32)})
    with pytest.raises(DataError, match=r"'state' of shape 3x1x128, but .* takes state float32 2xbatchx128"):
        bench_files([path], tmp_path / "in.npz", None, **HOW)


def test_two_files_of_one_network_are_measured_together_whatever_they_call_their_free_sizes():
    rows = bench_files([real(f"silero_vad/{n}.onnx") for n in ("silero_vad", "silero_vad_16k_op15")], None, None, **HOW)
    assert [row["interleaved"] for row in rows] == [2, 2]


def test_operators_that_the_runtime_lacks_are_named_with_their_domain():
    path = real("superres_onnx/pytorch_superresolution_with_pre_post_processing_op18.onnx")
    with pytest.raises(
        ModelError, match=r"needs com\.microsoft\.extensions:DecodeImage, .*EncodeImage.*extract_model"
    ) as caught:
        engine_of(path, None, None)
    assert "\n" not in str(caught.value)


@litert
def test_float_and_int8_forms_of_one_network_each_get_inputs_of_their_own():
    """MLPerf Tiny's pairs: the rows keep the order of the files."""
    pairs = [("kws_ref_model_float32", "kws_ref_model"), ("ad01_fp32", "ad01_int8")]
    files = [real(f"mlperf_tiny/{name}.tflite") for name in (*pairs[0], *pairs[1])]
    rows = bench_files(files, None, None, **HOW)
    assert [row["file"] for row in rows] == [str(path) for path in files]
    assert [row["inputs"] for row in rows] == [
        "made up: input_1 float32 1x49x10x1",
        "made up: input_1 int8 1x49x10x1",
        "made up: input_1 float32 1x640",
        "made up: input_1 int8 1x640",
    ]
    assert {row["interleaved"] for row in rows} == {1}
    engines = [engine_of(path, None, None) for path in files[:2]]
    with pytest.raises(RequestError, match="take different inputs"):
        feeds_for(engines, None, 1)


@litert
@pytest.mark.slow
def test_every_published_tflite_file_runs():
    files = sorted(real("mlperf_tiny").glob("*.tflite"))
    assert len(files) == 9
    rows = bench_files(files, None, None, **HOW)
    assert all(row["p50_ms"] > 0 and row["target"] == "litert-xnnpack" for row in rows)
