"""OpenVINO is compiled with the hint and the streams that its options say."""

import numpy as np
import pytest

pytest.importorskip("openvino")
torch = pytest.importorskip("torch")

from artifacts.errors import RequestError  # noqa: E402
from artifacts.specs import Signature, TensorSpec  # noqa: E402
from artifacts.types import Engine, ModelRef, TorchModel  # noqa: E402
from runtimes.openvino.infer_requests import Requests, divisible  # noqa: E402
from runtimes.openvino.runtime import OpenVinoCpu  # noqa: E402
from runtimes.registry import find  # noqa: E402

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 3, 8, 8)),), (TensorSpec("y", "float32", ("batch", 4)),))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    from export.openvino.export import export

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(288, 4)).eval()
    return export(TorchModel(module, ModelRef(), SIGNATURE), tmp_path_factory.mktemp("ir")).path


@pytest.mark.parametrize(
    ("options", "hint", "streams"),
    [({}, "LATENCY", 1), ({"hint": "throughput", "streams": 2}, "THROUGHPUT", 2), ({"streams": 2}, "LATENCY", 2)],
)
def test_hint_and_streams_reach_the_compiled_program(path, options, hint, streams):
    session = OpenVinoCpu().open(Engine("openvino-cpu", path, SIGNATURE, options), 2)
    assert session._program.get_property("PERFORMANCE_HINT") == hint
    assert session._program.get_property("NUM_STREAMS") == str(streams)
    assert session._program.get_property("INFERENCE_NUM_THREADS") == "2"


def test_the_throughput_hint_alone_leaves_the_streams_to_openvino(path):
    session = OpenVinoCpu().open(Engine("openvino-cpu", path, SIGNATURE, {"hint": "throughput"}), 2)
    assert 1 <= int(session._program.get_property("NUM_STREAMS")) <= 2


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_with_the_throughput_hint_a_batch_is_divided_among_requests(path, batch):
    x = {"x": np.random.default_rng(0).normal(size=(batch, 3, 8, 8)).astype(np.float32)}
    plain = OpenVinoCpu().open(Engine("openvino-cpu", path, SIGNATURE), 2)
    told = OpenVinoCpu().open(Engine("openvino-cpu", path, SIGNATURE, {"hint": "throughput", "streams": 2}), 2)
    made = [told.run(x)["y"] for _ in range(2)]
    np.testing.assert_allclose(made[0], plain.run(x)["y"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.shares_memory(made[0], made[1])
    assert isinstance(told._any, Requests)
    assert len(told._any) == 2
    assert not isinstance(plain._any, Requests)


def test_examples_that_do_not_lie_along_a_free_first_axis_are_not_divided():
    def signature(*shapes):
        return Signature(tuple(TensorSpec(f"x{i}", "float32", s) for i, s in enumerate(shapes)))

    assert divisible(signature(("batch", 3), ("batch",)), stateful=False)
    assert not divisible(signature(("batch", 3), ("batch",)), stateful=True)
    for shapes in ([("batch", 3), (2, "batch")], [("a", 3), ("b", 3)], [(4, 3)], [("batch", 3), ()]):
        assert not divisible(signature(*shapes), stateful=False)


@pytest.mark.parametrize(
    ("given", "words"), [({"hint": "latensy"}, "did you mean 'latency'"), ({"stream": 2}, "no option 'stream'; did you")]
)
def test_what_openvino_is_not_told_is_refused(given, words):
    with pytest.raises(RequestError, match=words):
        find("openvino-cpu").read_options(given)
