"""OpenVINO's C interface: the results of the Python interface, for every type; what it cannot drive goes the other way."""

import numpy as np
import pytest

from artifacts.errors import ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine

ov = pytest.importorskip("openvino")
ops = pytest.importorskip("openvino.opset13")

from runtimes.openvino.c_api import TYPES, Program, library  # noqa: E402
from runtimes.openvino.loader import _Program, c_api  # noqa: E402
from runtimes.openvino.runtime import OpenVinoCpu  # noqa: E402

pytestmark = pytest.mark.skipif(library() is None, reason="this installation of OpenVINO has no C library")
KINDS = [*TYPES]


def saved(folder, inputs, make):
    """A session of a file of parameters (name, type, shape) and what they give."""
    parameters = [ops.parameter(shape, getattr(ov.Type, kind), name=name) for name, kind, shape in inputs]
    for parameter, (name, *_) in zip(parameters, inputs, strict=True):
        parameter.output(0).set_names({name})
    results = make(*parameters)
    model = ov.Model([ops.result(r) for r in results], parameters, "m")
    for i, result in enumerate(model.outputs):
        result.get_tensor().set_names({f"y{i}"})
    folder.mkdir(exist_ok=True)
    ov.save_model(model, folder / "m.xml", compress_to_fp16=False)
    signature = Signature(
        tuple(TensorSpec(name, "float32", tuple(shape)) for name, _, shape in inputs),
        tuple(TensorSpec(f"y{i}", "float32", ()) for i in range(len(results))),
    )
    return OpenVinoCpu().open(Engine("openvino-cpu", folder / "m.xml", signature), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_goes_in_and_comes_out_as_it_is(kind, tmp_path):
    values = np.array([[0, 1, 1, 0, 1, 0]], TYPES[kind]) * np.array(1 if kind == "boolean" else 100, TYPES[kind])
    session = saved(tmp_path, [("x", kind, [1, 6])], lambda x: [ops.reshape(x, np.array([2, 3]), False)])
    assert isinstance(session._program, Program)
    made = session.run({"x": values})["y0"]
    assert made.dtype == values.dtype
    assert np.array_equal(made, values.reshape(2, 3))


def test_the_results_are_those_of_the_python_interface(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(8, 5)).astype(np.float32)
    inputs = [("a", "f32", [3, 8]), ("b", "f32", [5]), ("n", "i64", [2])]

    def make(a, b, n):
        return [ops.add(ops.matmul(a, ops.constant(weight), False, False), b), ops.multiply(n, n)]

    fed = {"a": rng.normal(size=(3, 8)).astype(np.float32), "b": np.ones(5, np.float32), "n": np.array([7, -3])}
    direct = saved(tmp_path, inputs, make)
    monkeypatch.setattr(c_api, "fits", lambda model: False)
    other = saved(tmp_path, inputs, make)
    assert isinstance(direct._program, Program)
    assert isinstance(other._program, _Program)
    for _ in range(2):
        one, two = direct.run(fed), other.run(fed)
        assert list(one) == ["y0", "y1"]
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_results_are_the_callers_own_and_outlive_the_session(tmp_path):
    session = saved(tmp_path, [("x", "f32", [1, 4])], lambda x: [ops.relu(x)])
    first = session.run({"x": np.array([[1, -1, 2, -2]], np.float32)})["y0"]
    session.run({"x": np.full((1, 4), 9, np.float32)})
    del session
    assert first.tolist() == [[1, 0, 2, 0]]
    first += 1


def test_one_input_and_one_output_take_the_short_way_or_else_the_long_one(tmp_path):
    session = saved(tmp_path, [("x", "i64", [1, 4])], lambda x: [ops.abs(x)])
    values = np.array([[3, -1, 2, -2]])
    assert session._quick({"x": values})["y0"].tolist() == [[3, 1, 2, 2]]
    assert session._quick({"x": values.astype(np.int32)}) is None
    assert session._quick({"x": values[:, :3]}) is None
    assert session.run({"x": values.astype(np.int32)})["y0"].tolist() == [[3, 1, 2, 2]]
    with pytest.raises(ModelError, match="type that the file takes"):
        session.run({"x": values.astype(np.float32)})
    two = saved(tmp_path / "two", [("x", "f32", [1, 4])], lambda x: [ops.relu(x), ops.negative(x)])
    assert two._quick is None


def test_a_result_without_elements_is_one(tmp_path):
    session = saved(tmp_path, [("x", "f32", [1, 4])], lambda x: [ops.relu(x), ops.constant(np.zeros((0, 3), np.float32))])
    assert session.run({"x": np.zeros((1, 4), np.float32)})["y1"].shape == (0, 3)


def test_a_result_whose_shape_depends_on_values_goes_through_python(tmp_path):
    session = saved(tmp_path, [("x", "f32", [1, 4])], lambda x: [ops.non_zero(x, ov.Type.i64)])
    assert isinstance(session._program, _Program)
    assert session.run({"x": np.array([[0, 1, 0, 1]], np.float32)})["y0"].tolist() == [[0, 0], [1, 3]]


def test_a_folder_named_in_other_letters_is_found(tmp_path):
    session = saved(tmp_path / "größe 大小", [("x", "f32", [1, 4])], lambda x: [ops.relu(x)])
    assert isinstance(session._program, Program)
    assert session.run({"x": -np.ones((1, 4), np.float32)})["y0"].tolist() == [[0, 0, 0, 0]]


def test_what_openvino_refuses_is_one_sentence(tmp_path, monkeypatch):
    from runtimes.openvino.options import OpenVinoOptions

    monkeypatch.setattr(OpenVinoOptions, "settings", lambda told: {"NUM_STREAMS": "many"})
    with pytest.raises(ModelError, match=r"OpenVINO cannot compile the file: .*many") as caught:
        saved(tmp_path, [("x", "f32", [1, 4])], lambda x: [ops.relu(x)])
    assert "\n" not in str(caught.value)
