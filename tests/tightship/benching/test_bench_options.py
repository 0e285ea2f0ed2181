"""`bench --option`: a file is opened as it says, in any format of ONNX Runtime, and what is no option is refused."""

import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

from artifacts.arrays import save_arrays
from artifacts.errors import ModelError, RecipeError, RequestError
from artifacts.types import ExportedFile
from runtimes.onnxruntime.options import OrtCpuOptions
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from tightship.benching.bench import bench_files, engine_of
from tightship.cli.bench import pairs

HOW = {"processes": 1, "seconds": 0.02}
RECIPE = """\
name: library
model: {zoo: resnet, depth: 8}
data: {zoo: digits}
targets: [{name: onnxruntime-cpu, options: {custom_ops: lib.so}}]
gates: {accuracy_drop: 1}
"""


@pytest.fixture
def path(tmp_path):
    """y = relu(x · w)."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_the_options_stand_in_the_row(path, cli):
    done = cli("bench", path, "--option", "graph_level=basic", "--option", "intra_op_threads=2", "--processes", 1,
               "--seconds", 0.02, "--json")  # fmt: skip
    (row,) = json.loads(done.stdout)
    assert row["options"] == {"graph_level": "basic", "intra_op_threads": 2}
    assert row["threads"] == 2


def test_an_ort_file_says_what_it_takes_and_is_measured(path, tmp_path):
    (tmp_path / "made").mkdir()
    file = ExportedFile("onnx", path.parent, path.name, engine_of(path, None, None).signature)
    made = OrtCpuOptions(format="ort", graph_level="extended").rewrite(file, tmp_path / "made")
    (row,) = bench_files([made.path], None, None, **HOW)
    assert (row["target"], row["inputs"], row["options"]) == ("onnxruntime-cpu", "made up: x float32 1x3", {})
    assert row["p50_ms"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"graph_levl": "basic"}, "no option 'graph_levl'; did you mean 'graph_level'"),
        ({"graph_level": "basics"}, "is 'basics'; did you mean 'basic'"),
        ({"spinning": "off"}, "is 'off'; it is true or false"),
        ({"inter_op_threads": "many"}, "is 'many'; it is a whole number"),
        ({"optimized_file": "true"}, "optimized_file makes another file"),
        ({"format": "ort"}, "format makes another file"),
        ({"channels_last": "true"}, "no option 'channels_last'"),
        ({"custom_ops": "nowhere.so"}, "custom_ops is nowhere.so, where there is no file"),
        ({"custom_ops": __file__}, r"cannot load test_bench_options\.py as a library of custom operators: .*invalid"),
    ],
)
def test_what_is_no_option_is_refused_before_anything_is_measured(path, options, words):
    with pytest.raises(RequestError, match=words):
        bench_files([path], None, None, **HOW, options=options)


@pytest.mark.parametrize("text", ["spinning", "=false", "spinning="])
def test_what_is_no_pair_is_refused(text):
    with pytest.raises(RequestError, match="--option takes name=value") as caught:
        pairs([text])
    assert repr(text) in str(caught.value)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


@pytest.fixture
def programs(tmp_path):
    """The same TorchScript program, plain and for the lite interpreter, and an input."""
    warnings.simplefilter("ignore")
    program = torch.jit.script(Network().eval())
    program.save(str(tmp_path / "net.pt"))
    program._save_for_lite_interpreter(str(tmp_path / "net.ptl"))
    np.savez(tmp_path / "in.npz", x=np.ones((1, 3, 8, 8), np.float32))
    return tmp_path


def test_a_lite_file_from_elsewhere_is_measured_and_bench_makes_none(programs):
    (row,) = bench_files([programs / "net.ptl"], programs / "in.npz", None, **HOW)
    assert row["target"] == "torchscript-cpu"
    assert row["p50_ms"] > 0
    with pytest.raises(RequestError, match="file makes another file"):
        bench_files([programs / "net.pt"], programs / "in.npz", None, **HOW, options={"file": "lite"})
    with pytest.raises(RequestError, match=r"net\.ptl does not say what it takes; give --inputs"):
        bench_files([programs / "net.ptl"], None, None, **HOW)
    torch.save(Network().state_dict(), programs / "weights.ptl")
    with pytest.raises(RequestError, match=r"weights\.ptl holds weights"):
        bench_files([programs / "weights.ptl"], programs / "in.npz", None, **HOW)


@pytest.mark.slow
def test_a_program_is_measured_with_channels_last_and_a_lite_one_is_not(programs):
    told = {"channels_last": "true"}
    (row,) = bench_files([programs / "net.pt"], programs / "in.npz", None, **HOW, options=told)
    assert row["options"] == {"channels_last": True}
    with pytest.raises(RequestError, match=r"net\.ptl is a lite-interpreter file"):
        bench_files([programs / "net.ptl"], programs / "in.npz", None, **HOW, options=told)


@pytest.fixture(scope="module")
def library():
    """Microsoft's library of operators, which holds one that inverts a matrix and others that read and write pictures."""
    extensions = pytest.importorskip("onnxruntime_extensions")
    return {"custom_ops": extensions.get_library_path()}


@pytest.fixture
def inverse(tmp_path):
    node = helper.make_node("Inverse", ["x"], ["y"], domain="ai.onnx.contrib")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 3]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.contrib", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "inverse.onnx")
    save_arrays(tmp_path / "in.npz", {"x": 2 * np.eye(3, dtype=np.float32)})
    return tmp_path / "inverse.onnx"


def test_operators_of_a_library_run_only_where_the_library_is_named(inverse, library):
    feeds = inverse.with_name("in.npz")
    with pytest.raises(ModelError, match=r"needs ai\.onnx\.contrib:Inverse.*custom_ops=FILE"):
        bench_files([inverse], feeds, None, **HOW)
    (row,) = bench_files([inverse], feeds, None, **HOW, options=library)
    assert row["p50_ms"] > 0
    assert row["options"] == library
    session = OnnxRuntimeCpu().open(engine_of(inverse, None, feeds, library), 1)
    np.testing.assert_array_equal(session.run({"x": 4 * np.eye(3, dtype=np.float32)})["y"], np.eye(3) / 4)


def test_a_recipe_refuses_a_library_of_operators(recipe_from):
    with pytest.raises(RecipeError, match="option custom_ops is for files made elsewhere"):
        recipe_from(RECIPE)


@pytest.mark.slow
@pytest.mark.data
def test_a_published_file_that_reads_and_writes_pictures_is_measured(library, tmp_path):
    """Super-resolution from the bytes of a PNG to those of another, the published file as it is."""
    folder = Path(os.environ["TIGHTSHIP_DATA"]) / "superres_onnx"
    path = folder / "pytorch_superresolution_with_pre_post_processing_op18.onnx"
    encoded = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(encoded, "png")
    save_arrays(tmp_path / "in.npz", {"image": np.frombuffer(encoded.getvalue(), np.uint8)})
    (row,) = bench_files([path], tmp_path / "in.npz", None, **HOW, options=library)
    assert row["p50_ms"] > 0
