"""`bench --option`: a file is opened as it says, in any format of ONNX Runtime, and what is no option is refused."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from artifacts.errors import RequestError
from artifacts.types import ExportedFile
from runtimes.onnxruntime_options import OrtCpuOptions
from tightship.cli.bench import pairs
from tightship.foreign import bench_files, engine_of

HOW = {"processes": 1, "seconds": 0.02}


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
