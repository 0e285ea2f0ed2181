"""Artifacts: exported, opened, run, timed, held against the network, saved; by the code that the command line runs."""

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tightship as ts


class Two(nn.Module):
    """Two inputs and two outputs, by name."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x, bias):
        return {"logits": self.head(x) + bias, "sum": x.sum(1)}


X, BIAS = torch.randn(5, 4), torch.randn(5, 3)


@pytest.fixture(scope="module")
def two():
    """The network, and its file for ONNX Runtime."""
    module = Two()
    return module, ts.export(module, {"x": X, "bias": BIAS})


def test_a_session_takes_tensors_or_arrays_and_gives_the_same(two):
    module, artifact = two
    with torch.no_grad():
        wanted = module(X, BIAS)
    with artifact.session() as session:
        tensors = session((X, BIAS))
        arrays = session({"bias": BIAS.numpy(), "x": X.numpy()})
        one = session({"x": X[:1], "bias": BIAS[:1]})
    assert list(tensors) == list(arrays) == ["logits", "sum"]
    for name, value in wanted.items():
        assert isinstance(tensors[name], torch.Tensor)
        assert isinstance(arrays[name], np.ndarray)
        assert torch.allclose(tensors[name], value, atol=1e-5)
        assert np.allclose(arrays[name], value.numpy(), atol=1e-5)
        assert one[name].shape[0] == 1


def test_a_session_leaves_the_threads_of_the_callers_process_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ts.export(nn.Linear(4, 3), X, "torchscript-cpu").session(threads=1) as session:
            assert torch.get_num_threads() == 2
            session(X)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_outputs_are_the_callers_own(two):
    with two[1].session() as session:
        first = session((X, BIAS))["logits"].clone(), session((X, BIAS))["logits"]
        session((X + 1, BIAS))
    assert torch.equal(*first)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (X, "takes x, bias, and 1 inputs are given"),
        ({"x": X}, "input 'bias' is not given"),
        ({"x": X, "bais": BIAS}, "no input 'bais'; did you mean 'bias'"),
        ((X.double(), BIAS), "'x' is float64, and the file takes float32"),
        ((X[:, :2], BIAS), "'x' has the shape 5x2, and the file takes batchx4"),
        ((X[0], BIAS), "'x' has the shape 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_file_does_not_take_is_one_sentence(two, inputs, says):
    with two[1].session() as session, pytest.raises(ts.DataError, match=says):
        session(inputs)


@pytest.mark.slow
def test_a_measurement_is_a_row_of_bench(two):
    found = two[1].measure(processes=2, seconds=0.05)
    (row,) = ts.bench(two[1], processes=2, seconds=0.05)
    assert set(found.row) == set(row)
    assert found.row["target"] == "onnxruntime-cpu"
    assert found.row["inputs"].endswith("inputs.npz")
    low, high = found.interval
    assert 0 < low <= high
    assert found.row["batch"] == 1
    assert two[1].measure(processes=1, seconds=0.02, batch=3).row["batch"] == 3


@pytest.mark.slow
def test_artifacts_are_measured_together(two):
    module = nn.Linear(4, 3)
    a, b = ts.export(module, X), ts.export(module, X, "torchscript-cpu")
    rows = ts.bench([a, b], processes=1, seconds=0.02)
    assert [row["target"] for row in rows] == ["onnxruntime-cpu", "torchscript-cpu"]
    assert all(row["interleaved"] == 2 for row in rows)
    (found,) = ts.compare(a, b, processes=2, limit=2, seconds=0.02)
    assert found.row["interleaved"]
    with pytest.raises(ts.RequestError, match="different options"):
        ts.bench([a, ts.export(module, X, options={"spinning": False})])
    basic = ts.export(module, X, options={"spinning": False})
    with pytest.raises(ts.RequestError, match="measure these with bench"):
        ts.compare(basic, basic)


@pytest.mark.slow
def test_the_options_of_a_target_reach_the_measurement():
    artifact = ts.export(nn.Linear(4, 3), X, options={"graph_level": "basic"})
    assert artifact.measure(processes=1, seconds=0.02).row["options"] == {"graph_level": "basic"}
    with pytest.raises(ts.RequestError, match="no option 'graph_lvel'"):
        ts.export(nn.Linear(4, 3), X, options={"graph_lvel": "basic"})


@pytest.mark.slow
@pytest.mark.parametrize("target", ["torchscript-cpu", "openvino-cpu", "executorch-xnnpack", "ncnn-cpu"])
def test_targets_that_run_here_take_the_same_calls(target, target_rows):
    if not next(row["available"] for row in target_rows if row["target"] == target):
        pytest.skip(f"{target} does not run here")
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    images = torch.randn(4, 1, 8, 8)
    artifact = ts.export(module, images, target)
    with artifact.session() as session, torch.no_grad():
        for rows in (1, 4):
            (found,) = session(images[:rows]).values()
            assert torch.allclose(found, module(images[:rows]), atol=1e-3)
    assert artifact.check().passed
    assert artifact.measure(processes=1, seconds=0.02).p50_ms > 0


def test_a_file_that_computes_something_else_fails_its_check():
    artifact = ts.export(nn.Linear(4, 3), X)
    with torch.no_grad():
        artifact.made.model.module.weight.add_(0.1)
    checked = artifact.check()
    assert not checked.passed
    assert "is off by" in checked.first_bad


def test_a_saved_artifact_outlives_the_temporary_one(tmp_path):
    artifact = ts.export(nn.Linear(4, 3), X)
    gone = artifact.path
    saved = artifact.save(tmp_path / "mine")
    wanted = saved.session()(X)["output"]
    assert saved.path == tmp_path / "mine" / "model.onnx"
    with pytest.raises(ts.RequestError, match="not an empty folder"):
        artifact.save(tmp_path / "mine")
    del artifact
    gc.collect()
    assert not gone.exists(), "nothing is left behind"
    assert torch.equal(saved.session()(X)["output"], wanted)


def test_what_a_recipe_says_of_export_is_said_by_keywords():
    import onnx

    dims = {"time": {"min": 8, "max": 32, "axes": {"input": 2}}}
    artifact = ts.export(nn.Conv1d(1, 2, 3), torch.randn(2, 1, 16), onnx={"opset": 20}, dims=dims)
    opsets = {o.domain: o.version for o in onnx.load(artifact.path).opset_import}
    assert opsets[""] == 20
    with artifact.session() as session:
        assert session(torch.randn(3, 1, 9))["output"].shape == (3, 2, 7)
        with pytest.raises(ts.RequestError, match="outside the range 8 to 32"):
            session(torch.randn(3, 1, 40))
    for wrong, says in (
        ({"onnx": {"opste": 20}}, "did you mean 'opset'"),
        ({"onnx": {"opset": 3}}, "greater than or equal to 18"),
        ({"dims": {"time": {"min": 8, "max": 32, "axes": {"inptu": 2}}}}, "did you mean 'input'"),
    ):
        with pytest.raises(ts.RequestError, match=says):
            ts.export(nn.Conv1d(1, 2, 3), torch.randn(2, 1, 16), **wrong)


def test_a_fixed_batch_is_fixed():
    artifact = ts.export(nn.Linear(4, 3), torch.zeros(2, 4), dynamic_batch=False)
    assert artifact.file.signature.inputs[0].shape == (2, 4)
    assert artifact.file.signature.outputs[0].shape == (2, 3)
    with artifact.session() as session:
        assert session(torch.zeros(2, 4))["output"].shape == (2, 3)
        assert torch.equal(session(X[:4])["output"], torch.cat([session(X[i : i + 2])["output"] for i in (0, 2)]))
        with pytest.raises(ts.DataError, match="takes 2x4"):
            session(torch.zeros(3, 4))
    assert artifact.check().passed
    assert artifact.measure(processes=1, seconds=0.02).row["batch"] == 2


def test_a_target_that_stores_how_to_build_the_network_takes_a_factory(tmp_path, monkeypatch):
    (tmp_path / "mynet.py").write_text("import torch\n\n\ndef make():\n    return torch.nn.Linear(4, 3)\n")
    monkeypatch.chdir(tmp_path)
    module = nn.Linear(4, 3)
    with pytest.raises(ts.ModelError, match='factory="module:callable"'):
        ts.export(module, X, "torch-cpu")
    artifact = ts.export(module, X, "torch-cpu", factory="mynet:make")
    assert torch.allclose(artifact.session()(X)["output"], module(X), atol=1e-6)
    assert artifact.measure(processes=1, seconds=0.02).row["target"] == "torch-cpu"
    with pytest.raises(ts.ModelError, match="other weights"):
        ts.export(nn.Linear(4, 5), X, "torch-cpu", factory="mynet:make")


def test_a_target_that_is_not_there_is_one_sentence(target_rows):
    with pytest.raises(ts.RequestError, match="did you mean 'openvino-cpu'"):
        ts.export(nn.Linear(4, 3), X, "openvino-cpi")
    with pytest.raises(ts.RequestError, match="opens no 'onxn' files; did you mean 'onnx'"):
        ts.export(nn.Linear(4, 3), X, format="onxn")
    missing = [row["target"] for row in target_rows if not row["available"] and "not installed" in row["reason"]]
    for target in missing[:1]:
        with pytest.raises(ts.TargetUnavailable, match="not installed"):
            ts.export(nn.Linear(4, 3), X, target).session()


def test_the_command_line_measures_the_same_file(two, cli, tmp_path):
    saved = two[1].save(tmp_path / "mine")
    done = cli("bench", saved.path, "--processes", 1, "--seconds", 0.02, "--json")
    (row,) = json.loads(done.stdout)
    assert set(row) == set(saved.measure(processes=1, seconds=0.02).row)
    assert Path(row["file"]) == saved.path
