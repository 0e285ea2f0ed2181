"""ONNX Runtime does what its options say, and a graph optimized before it is shipped is opened as it is."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from artifacts.errors import IntegrityError, ModelError, RequestError
from artifacts.isa import instructions
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ExportedFile
from benchmarks.process.child import Child
from export.onnx.ort import signature_of
from runtimes.onnxruntime.optimized_file import NOTE
from runtimes.onnxruntime.options import OrtCpuOptions
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from runtimes.registry import find

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 4, 8, 8)),), (TensorSpec("y", "float32", ("batch", 4, 6, 6)),))
X = np.random.default_rng(1).normal(size=(3, 4, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """y = relu(conv(x)): from `extended` on one fused operator, from `layout` on in blocks of channels."""
    weight = np.random.default_rng(0).normal(size=(4, 4, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    ends = [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, s.shape) for s in (*SIGNATURE.inputs, *SIGNATURE.outputs)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    folder = tmp_path_factory.mktemp("ort")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return ExportedFile("onnx", folder, "model.onnx", SIGNATURE)


def opened(path, **options):
    return OnnxRuntimeCpu().open(Engine("onnxruntime-cpu", path, SIGNATURE, options), 1)


def ran(session):
    placed = session.placement()
    return {**placed.accelerated, **placed.fallback}


def rewritten(file, folder, **options):
    folder.mkdir()
    return OrtCpuOptions(**options).rewrite(file, folder)


def test_the_graph_level_decides_which_operators_run(file):
    assert ran(opened(file.path, graph_level="disable")) == {"Conv": 1, "Relu": 1}
    assert ran(opened(file.path, graph_level="extended")) == {"FusedConv": 1}


def test_what_is_said_is_what_the_session_was_opened_with(file):
    told = {"spinning": False, "arena": False, "mem_pattern": False, "execution": "parallel", "inter_op_threads": 2}
    found = opened(file.path, **told, intra_op_threads=2, denormals="zero")._session.get_session_options()
    for key, value in [("intra_op.allow_spinning", "0"), ("inter_op.allow_spinning", "0"), ("set_denormal_as_zero", "1")]:
        assert found.get_session_config_entry(f"session.{key}") == value
    assert not found.enable_cpu_mem_arena
    assert not found.enable_mem_pattern
    assert (found.execution_mode.name, found.inter_op_num_threads, found.intra_op_num_threads) == ("ORT_PARALLEL", 2, 2)


def test_without_options_a_session_is_as_onnx_runtime_makes_it_but_for_the_threads(file):
    import onnxruntime as ort

    plain, found = ort.SessionOptions(), opened(file.path)._session.get_session_options()
    same = ("graph_optimization_level", "enable_cpu_mem_arena", "enable_mem_pattern", "execution_mode")
    assert [getattr(found, name) for name in same] == [getattr(plain, name) for name in same]
    assert (found.intra_op_num_threads, found.inter_op_num_threads) == (1, 1)
    with pytest.raises(RuntimeError):
        found.get_session_config_entry("session.intra_op.allow_spinning")


def test_denormal_numbers_become_zero_where_that_is_asked_for(tmp_path):
    """In a process of its own, because the setting belongs to a thread and stays with it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    signature = Signature((TensorSpec("x", "float32", ("batch",)),), (TensorSpec("y", "float32", ("batch",)),))
    np.savez(tmp_path / "in.npz", x=np.full(4, 1e-40, np.float32))
    for options, zero in (({}, False), ({"denormals": "zero"}, True)):
        engine = Engine("onnxruntime-cpu", tmp_path / "m.onnx", signature, options)
        with Child(engine, tmp_path / "log") as child:
            child.open(tmp_path / "in.npz")
            child.outputs(tmp_path / "in.npz", tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz") as made:
            assert bool((made["y"] == 0).all()) is zero


def test_a_child_is_told_the_options_of_its_engine(file, tmp_path):
    np.savez(tmp_path / "in.npz", x=X)
    with Child(Engine("onnxruntime-cpu", file.path, SIGNATURE, {"graph_level": "disable"}), tmp_path / "log") as child:
        child.open(tmp_path / "in.npz")
        assert child.placement().accelerated == {"Conv": 1, "Relu": 1}


@pytest.mark.parametrize("form", ["onnx", "ort"])
@pytest.mark.parametrize("level", ["extended", "all"])
def test_an_optimized_file_gives_the_outputs_of_the_plain_one_without_optimizing_again(file, tmp_path, form, level):
    made = rewritten(file, tmp_path / "made", optimized_file=True, format=form, graph_level=level)
    assert (made.format, made.main) == (form, f"model.{form}")
    assert f"graph_level {level}" in made.notes[-1]
    session = opened(made.path, optimized_file=True, format=form, graph_level=level)
    assert session._session.get_session_options().graph_optimization_level.name == "ORT_DISABLE_ALL"
    np.testing.assert_array_equal(session.run({"x": X})["y"], opened(file.path, graph_level=level).run({"x": X})["y"])
    assert "Relu" not in ran(session)
    assert json.loads((made.folder / f"{made.main}{NOTE}").read_text())["isa"] == list(instructions())


def test_an_optimized_onnx_file_holds_the_fused_operators(file, tmp_path):
    made = rewritten(file, tmp_path / "made", optimized_file=True, graph_level="extended")
    assert [n.op_type for n in onnx.load(made.path).graph.node] == ["FusedConv"]
    assert [n.op_type for n in onnx.load(file.path).graph.node] == ["Conv", "Relu"]


@pytest.mark.parametrize("level", ["extended", "layout", "all"])
def test_a_file_that_was_optimized_for_another_cpu_is_refused_where_it_holds_its_layouts(file, tmp_path, level):
    made = rewritten(file, tmp_path / "made", optimized_file=True, graph_level=level)
    note = made.folder / f"{made.main}{NOTE}"
    note.write_text(json.dumps({**json.loads(note.read_text()), "isa": ["avx2", "sve"]}))
    if level == "extended":
        assert opened(made.path).run({"x": X})["y"].shape == (3, 4, 6, 6)
        return
    with pytest.raises(IntegrityError, match=r"optimized for a CPU with avx2\+sve, and this one has") as caught:
        opened(made.path)
    assert "graph_level: extended" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_a_file_with_layouts_of_a_cpu_is_bound_to_it():
    assert OrtCpuOptions(optimized_file=True).bound_to_cpu
    assert OrtCpuOptions(format="ort", graph_level="layout").bound_to_cpu
    assert not OrtCpuOptions(format="ort", graph_level="extended").bound_to_cpu
    assert not OrtCpuOptions(graph_level="all").bound_to_cpu
    assert not OrtCpuOptions(graph_level="basic", spinning=False).of_the_file


def test_a_file_that_is_none_cannot_be_optimized(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"cannot optimize model\.onnx") as caught:
        rewritten(ExportedFile("onnx", tmp_path, "model.onnx", SIGNATURE), tmp_path / "made", format="ort")
    assert "\n" not in str(caught.value)


def test_an_ort_file_says_what_it_takes(file, tmp_path):
    made = rewritten(file, tmp_path / "made", format="ort", graph_level="basic")
    assert signature_of(made.path) == SIGNATURE
    (tmp_path / "broken.ort").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"cannot open broken\.ort"):
        signature_of(tmp_path / "broken.ort")


@pytest.mark.parametrize(
    ("given", "words"),
    [({"inter_op_threads": 2}, "execution: parallel"), ({"optimized_file": True, "graph_level": "disable"}, "basic or above")],
)
def test_options_that_contradict_each_other_are_refused(given, words):
    with pytest.raises(RequestError, match=words):
        find("onnxruntime-cpu").read_options(given)


@pytest.mark.parametrize("target", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_a_gpu_provider_takes_no_graph_that_was_optimized_for_a_cpu(target):
    assert find(target).read_options({"graph_level": "basic"}).non_default() == {"graph_level": "basic"}
    with pytest.raises(RequestError, match="no option 'optimized_file'"):
        find(target).read_options({"optimized_file": True})
