"""What a file takes: told by itself, by given arrays, or found by trying; what is no program is refused in one sentence."""

import importlib.util

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, save
from torch import nn

from artifacts.arrays import save_arrays
from artifacts.errors import DataError, ModelError, RequestError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine
from benchmarks.timing.measure import measure
from tightship.benching import inputs as made_up
from tightship.benching.bench import batch_of, bench_files, engine_of, feeds_for, plan_for
from tightship.benching.inputs import given, runnable, sizes_of, synthesise
from tightship.benching.load import sample_set

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
HOW = {"processes": 1, "seconds": 0.02}
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def written(folder, nodes, inputs, outputs=(("y", FLOAT, None),), constants=(), domains=(), functions=()):
    """An ONNX file of these nodes; the shape of an output may be left open."""
    ends = [[helper.make_tensor_value_info(*tensor) for tensor in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "g", *ends, [helper.make_tensor(n, INT, [len(v)], v) for n, v in constants])
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions), folder / "net.onnx")
    return folder / "net.onnx"


def at(path):
    return [engine_of(path, None, None)]


def spec(name, shape, dtype="float32"):
    return TensorSpec(name, dtype, shape)


def one_sentence(caught):
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("inputs", "sizes"),
    [
        ([spec("x", ("batch", 3, "height", "width"))], {"batch": 2, "height": 224, "width": 224}),
        ([spec("x", ("x_0", "x_1", "x_2", "x_3"))], {"x_0": 2, "x_1": 3, "x_2": 224, "x_3": 224}),
        ([spec("x", ("x_0", "x_1", "x_2", 3), "uint8")], {"x_0": 2, "x_1": 224, "x_2": 224}),
        ([spec("ids", ("N", "steps"), "int64"), spec("seen", ("N", "steps"), "int64")], {"N": 2, "steps": 128}),
        ([spec("state", (2, "batch", 8)), spec("x", ("batch", "steps"))], {"batch": 2, "steps": 128}),
        ([spec("time", ("steps",)), spec("x", ("batch", 4))], {"steps": 128, "batch": 2}),
    ],
    ids=str,
)
def test_free_sizes_are_guessed_by_what_they_are(inputs, sizes):
    assert sizes_of(Signature(tuple(inputs)), 2, 224, 128, alike=True) == sizes


def test_a_nameless_size_of_a_further_input_may_be_a_length_or_count_examples():
    signature = Signature((spec("x", ("x_0", "x_1")), spec("state", (2, "state_1", 128))))
    assert sizes_of(signature, 3, 224, 128, alike=True) == {"x_0": 3, "x_1": 128, "state_1": 128}
    assert sizes_of(signature, 3, 224, 128, alike=False) == {"x_0": 3, "x_1": 128, "state_1": 3}


@pytest.mark.parametrize(
    ("inputs", "batch"),
    [
        ([spec("x", (4, 3))], 4),
        ([spec("x", ("batch", 3)), spec("state", (2, 1, 8))], None),
        ([spec("state", (2, "batch", 8)), spec("x", ("batch", 3))], None),
        ([spec("sr", (), "int64"), spec("x", (5, 3))], 5),
        ([spec("sr", (), "int64")], None),
    ],
    ids=str,
)
def test_the_batch_is_that_of_the_input_that_counts_examples(inputs, batch, tmp_path):
    assert batch_of([Engine("onnxruntime-cpu", tmp_path / "x.onnx", Signature(tuple(inputs)))]) == batch


def test_made_up_values_fit_their_kind_and_come_with_the_examples_first():
    kinds = [("sr", (), "int64"), ("x", ("b", 50), "int8"), ("attention_mask", ("b", 50), "bool"), ("ids", ("b", 50), "int64")]
    made = synthesise(Signature(tuple(TensorSpec(name, dtype, shape) for name, shape, dtype in kinds)), 4)
    assert list(made) == ["x", "sr", "attention_mask", "ids"]
    assert made["x"].min() < -100 and made["x"].max() > 100  # noqa: PT018  the range of int8
    assert made["sr"] == 16000
    assert made["sr"].shape == ()
    assert made["attention_mask"].all()
    assert not made["ids"].any()
    assert {name: str(value.dtype) for name, value in made.items()} == {name: dtype for name, _, dtype in kinds}


def test_a_size_that_the_network_needs_is_found_by_trying(tmp_path):
    nodes = [helper.make_node("Expand", ["x", "fixed"], ["y"])]
    path = written(tmp_path, nodes, [("x", FLOAT, ["batch", 3, "h", "w"])], constants=[("fixed", [1, 3, 32, 32])])
    assert runnable(at(path), 2)["x"].shape == (2, 3, 32, 32)


def test_a_network_that_no_guess_fits_asks_for_inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(made_up, "GUESSES", made_up.GUESSES[:2])
    nodes = [helper.make_node("Reshape", ["x", "fixed"], ["y"])]
    path = written(tmp_path, nodes, [("x", FLOAT, ["batch", "steps"])], constants=[("fixed", [77])])
    with pytest.raises(
        RequestError, match=r"tried batch=1, steps=128; batch=1, steps=256: .*; give --inputs FILE\.npz"
    ) as caught:
        feeds_for(at(path), None, 1)
    one_sentence(caught)


def test_a_file_that_cannot_be_opened_is_not_taken_for_one_of_other_sizes(tmp_path):
    nodes = [helper.make_node("Expand", ["x", "fixed"], ["y"])]
    path = written(tmp_path, nodes, [("x", FLOAT, ["batch", "steps", 3])], constants=[("fixed", [1, 77, 9])])
    with pytest.raises(ModelError, match=r"cannot open net\.onnx"):
        feeds_for(at(path), None, 1)


def test_given_arrays_are_held_against_what_the_file_takes(tmp_path):
    path = written(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, ["batch", 3]), ("rate", INT, [])])
    fits = {"rate": np.array(8), "x": np.zeros((5, 3), np.float32)}
    save_arrays(tmp_path / "in.npz", fits)
    assert list(given(at(path), tmp_path / "in.npz", 1)) == ["x", "rate"]
    for change, said in (
        ({"x": np.zeros((5, 4), np.float32)}, "has 'x' of shape 5x4, but net.onnx takes x float32 batchx3"),
        ({"x": np.zeros((5, 3, 1), np.float32)}, "has 'x' of shape 5x3x1"),
        ({"x": np.zeros((5, 3))}, "has 'x' as float64, but net.onnx takes float32"),
        ({"z": np.zeros(1)}, "net.onnx takes x float32 batchx3, rate int64 scalar, but in.npz holds rate, x, z"),
    ):
        save_arrays(tmp_path / "in.npz", fits | change)
        with pytest.raises(DataError) as caught:
            given(at(path), tmp_path / "in.npz", 1)
        assert said in str(caught.value)
        one_sentence(caught)


def test_more_examples_than_a_call_takes_may_be_given(tmp_path):
    """Also for a file with a fixed batch and further inputs beside it."""
    signature = Signature((spec("x", (1, 3)), spec("z", (1, 2)), spec("state", (2, 1, 4))))
    engine = Engine("onnxruntime-cpu", tmp_path / "net.onnx", signature)
    arrays = {"x": np.zeros((7, 3), "f4"), "z": np.zeros((7, 2), "f4"), "state": np.zeros((2, 1, 4), "f4")}
    save_arrays(tmp_path / "in.npz", arrays)
    assert given([engine], tmp_path / "in.npz", 1)["z"].shape == (7, 2)
    save_arrays(tmp_path / "in.npz", arrays | {"z": np.zeros((6, 2), "f4")})
    with pytest.raises(DataError, match=r"has 'z' of shape 6x2, but net\.onnx takes z float32 1x2"):
        given([engine], tmp_path / "in.npz", 1)


def test_examples_along_another_axis_are_not_cut_silently(tmp_path):
    signature = Signature((spec("x", ("batch", 3)), spec("state", (2, "batch", 4))))
    engine = Engine("onnxruntime-cpu", tmp_path / "net.onnx", signature)
    save_arrays(tmp_path / "in.npz", {"x": np.zeros((7, 3), "f4"), "state": np.zeros((2, 7, 4), "f4")})
    assert given([engine], tmp_path / "in.npz", 7)["state"].shape == (2, 7, 4)
    with pytest.raises(
        DataError, match=r"holds 7 examples, but beside state float32 2xbatchx4 .* give --batch 7, or 1"
    ) as caught:
        given([engine], tmp_path / "in.npz", 1)
    one_sentence(caught)


def test_strange_operators_are_found_in_branches_but_not_if_the_file_defines_them(tmp_path):
    def branch(node):
        return helper.make_graph([node], "b", [], [helper.make_tensor_value_info("out", FLOAT, None)])

    strange = helper.make_node("Sharpen", ["x"], ["out"], domain="org.example")
    plain = helper.make_node("Relu", ["x"], ["out"])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch(strange), else_branch=branch(plain))
    inputs = [("x", FLOAT, [2]), ("c", TensorProto.BOOL, [])]
    path = written(tmp_path, [node], inputs, domains=["org.example"])
    with pytest.raises(ModelError, match=r"net\.onnx needs org\.example:Sharpen, which ONNX Runtime does not have") as caught:
        engine_of(path, None, None)
    one_sentence(caught)
    made = helper.make_function("org.example", "Sharpen", ["a"], ["b"], [helper.make_node("Abs", ["a"], ["b"])],
                                [helper.make_opsetid("", 17)])  # fmt: skip
    path = written(tmp_path, [node], inputs, domains=["org.example"], functions=[made])
    (row,) = bench_files([path], None, None, **HOW)
    assert row["inputs"] == "made up: x float32 2, c bool scalar"


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        (FLOAT, None, "does not say how many dimensions 'x' has; give --inputs"),
        (TensorProto.STRING, [1], "'x' is text, not an array of numbers"),
    ],
)
def test_inputs_that_cannot_be_made_up(tmp_path, kind, shape, said):
    path = written(tmp_path, [helper.make_node("Identity", ["x"], ["y"])], [("x", kind, shape)], [("y", kind, shape)])
    with pytest.raises(RequestError, match=said) as caught:
        engine_of(path, None, None)
    one_sentence(caught)
    if shape is None:
        save_arrays(tmp_path / "in.npz", {"x": np.zeros((2, 3), np.float32)})
        assert engine_of(path, None, tmp_path / "in.npz").signature.inputs == (spec("x", (2, 3)),)


def test_a_file_without_inputs_is_refused(tmp_path):
    path = written(tmp_path, [helper.make_node("Identity", ["a"], ["y"])], [], [("y", INT, [1])], constants=[("a", [1])])
    with pytest.raises(RequestError, match="takes no inputs"):
        feeds_for(at(path), None, 1)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_told_from_programs(tmp_path, zipped):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"net\.pt holds weights .*, not a program; write one with torch\.jit\.save") as caught:
        engine_of(tmp_path / "net.pt", None, None)
    one_sentence(caught)


@pytest.mark.slow
def test_a_torchscript_program_asks_for_inputs_and_runs_on_them(tmp_path):
    torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)).save(tmp_path / "net.pt")
    with pytest.raises(RequestError, match=r"net\.pt does not say what it takes; give --inputs") as caught:
        engine_of(tmp_path / "net.pt", None, None)
    one_sentence(caught)
    save_arrays(tmp_path / "in.npz", {"anything": np.ones((1, 3), np.float32)})
    (row,) = bench_files([tmp_path / "net.pt"], tmp_path / "in.npz", None, **HOW)
    assert (row["target"], row["batch"]) == ("torchscript-cpu", 1)


def test_an_exported_program_that_is_not_compiled_is_refused(tmp_path):
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(1, 3),)), tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="not compiled; make one with") as caught:
        engine_of(tmp_path / "net.pt2", None, None)
    one_sentence(caught)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("executorch") is None, reason="executorch is not installed")
def test_an_executorch_program_says_what_it_takes_under_names_that_may_be_given(tmp_path):
    from executorch.exir import to_edge_transform_and_lower

    path = tmp_path / "net.pte"
    exported = torch.export.export(nn.Linear(3, 2), (torch.zeros(1, 3),))
    path.write_bytes(to_edge_transform_and_lower(exported).to_executorch().buffer)
    signature = engine_of(path, None, None).signature
    assert signature == Signature((spec("input_0", (1, 3)),), (spec("output_0", (1, 2)),))
    save_arrays(tmp_path / "in.npz", {"x": np.ones((4, 3), np.float32)})
    (row,) = bench_files([path], tmp_path / "in.npz", None, **HOW)
    assert row["batch"] == 1
    path.write_bytes(b"nothing" * 100)
    with pytest.raises(ModelError, match=r"cannot open net\.pte") as caught:
        engine_of(path, None, None)
    one_sentence(caught)


def test_the_bytes_of_a_file_are_one_example(tmp_path):
    cast = helper.make_node("Cast", ["bytes"], ["y"], to=FLOAT)
    path = written(tmp_path, [cast], [("bytes", TensorProto.UINT8, ["size"])], [("y", FLOAT, ["size"])])
    save_arrays(tmp_path / "in.npz", {"bytes": np.arange(200, dtype=np.uint8)})
    engine = engine_of(path, None, None)
    plan = plan_for([engine], None, processes=1, seconds=0.02, threads=1)
    assert (plan.latency_batch, plan.throughput_batch) == (1, 1)
    found = measure({"a": engine}, feeds_for([engine], tmp_path / "in.npz", 1), plan, tmp_path)
    assert found["a"].outputs["y"].shape == (200,)
    assert sample_set(engine, tmp_path / "in.npz", None)[0].count == 1


def test_a_row_of_uint8_that_counts_examples_is_no_file(tmp_path):
    engine = Engine("onnxruntime-cpu", tmp_path, Signature((TensorSpec("level", "uint8", ("batch",)),), ()))
    assert batch_of([engine]) is None
    plan = plan_for([engine], None, processes=1, seconds=0.02, threads=1)
    assert (plan.latency_batch, plan.throughput_batch, plan.whole) == (1, 32, ())
