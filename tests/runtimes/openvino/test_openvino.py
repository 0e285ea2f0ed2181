"""OpenVINO: the precision that the file says, shapes that the file takes, results that are the caller's own."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RequestError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from compress.quantizers.isa import instructions
from runtimes.openvino.placement import fallen

ov = pytest.importorskip("openvino")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 3, 8, 8)),), (TensorSpec("y", "float32", ("batch", 4)),))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).eval()
    return TorchModel(module, ModelRef(), SIGNATURE)


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    from export.openvino.export import export

    return export(network, tmp_path_factory.mktemp("ir"))


def open_path(path, signature=SIGNATURE, threads=1):
    from runtimes.openvino.runtime import OpenVinoCpu

    return OpenVinoCpu().open(Engine("openvino-cpu", path, signature), threads)


@pytest.fixture(scope="module")
def session(file):
    return open_path(file.path)


def inputs(batch):
    return {"x": np.random.default_rng(batch).normal(size=(batch, 3, 8, 8)).astype(np.float32)}


def rewritten(file, folder, change):
    """A copy of the file with its model changed."""
    model = ov.Core().read_model(file.path)
    change(model)
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def test_float_is_computed_in_float32_though_the_cpu_has_bf16(network, session):
    fed = inputs(1)
    with torch.no_grad():
        wanted = network.module.double()(torch.from_numpy(fed["x"]).double())
    network.module.float()
    # bf16 is off by 2 ^ -8, and is what OpenVINO takes by itself where there are instructions for it
    np.testing.assert_allclose(session.run(fed)["y"], wanted.numpy(), rtol=1e-5, atol=1e-5)
    assert session._program.get_property("INFERENCE_PRECISION_HINT") == "f32"
    assert all(kernel.endswith(("f32", "i32", "any")) for kernel in session.placement().accelerated)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_the_single_stream_are_honoured(file, threads):
    program = open_path(file.path, threads=threads)._program
    assert program.get_property("INFERENCE_NUM_THREADS") == str(threads)
    assert program.get_property("NUM_STREAMS") == "1"


def test_every_batch_size_gives_the_same_rows(session):
    whole = session.run(inputs(7))["y"]
    rows = [session.run({"x": inputs(7)["x"][i : i + 1]})["y"] for i in range(7)]
    np.testing.assert_allclose(np.concatenate(rows), whole, rtol=1e-4, atol=1e-5)


def test_a_later_run_does_not_write_over_an_earlier_result(session):
    for batch in (1, 3):
        first = session.run(inputs(batch))["y"]
        kept = first.copy()
        session.run({"x": inputs(batch)["x"] * 5})
        assert np.array_equal(first, kept)


def test_memory_in_another_order_is_read_right(session):
    x = inputs(2)["x"]
    turned = np.asfortranarray(x)
    assert not turned.flags.c_contiguous
    assert np.array_equal(session.run({"x": turned})["y"], session.run({"x": x})["y"])


@pytest.mark.parametrize("shape", [(1, 3, 9, 8), (1, 4, 8, 8), (3, 8, 8)])
def test_a_shape_that_the_file_does_not_take_is_refused(session, shape):
    with pytest.raises(ModelError, match=r"input 'x' has shape .*; the file takes \[\?,3,8,8\]"):
        session.run({"x": np.zeros(shape, np.float32)})


def test_another_type_is_converted_where_that_is_safe(session):
    assert np.array_equal(session.run({"x": inputs(2)["x"].astype(np.float64)})["y"], session.run(inputs(2))["y"])
    with pytest.raises(ModelError, match="complex"):
        session.run({"x": inputs(2)["x"].astype(np.complex64)})


def test_a_missing_input_is_named(session):
    with pytest.raises(ModelError, match="'x' was not given"):
        session.run({"z": np.zeros(1, np.float32)})


def test_placement_counts_layers_by_kernel_with_their_time(session):
    placement = session.placement()
    assert sum(n for kernel, n in placement.accelerated.items() if kernel.startswith(("Convolution", "FullyConnected"))) == 2
    assert placement.fallback_share == 0
    assert "0% of the time outside" in placement.how


def test_what_counts_as_fallen_back():
    assert fallen("Softmax", "ref_any_f32", "f32", False, "f32")
    assert fallen("Convolution", "brgconv_avx512_f32", "f32", True, "f32")
    assert not fallen("Convolution", "brgconv_avx512_f32", "f32", False, "f32")
    assert not fallen("Convolution", "brgconv_avx512_I8", "u8", True, "f32")
    assert not fallen("Eltwise", "jit_avx512_f32", "f32", True, "f32")
    assert fallen("FullyConnected", "gemm_mlas_f32", "f32", False, "bf16")


def test_a_file_without_its_weights_is_one_sentence(file, tmp_path):
    (tmp_path / "model.xml").write_bytes(file.path.read_bytes())
    with pytest.raises(ModelError, match=r"its weights model\.bin are not beside it"):
        open_path(tmp_path / "model.xml")


@pytest.mark.parametrize("content", [b"", b"no xml", b"<?xml version='1.0'?><net name='n' version='11'><layers/></net>"])
def test_a_broken_file_is_one_sentence(tmp_path, content):
    (tmp_path / "model.xml").write_bytes(content)
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"cannot open model\.xml") as caught:
        open_path(tmp_path / "model.xml")
    assert "\n" not in str(caught.value)


def test_a_bf16_file_runs_in_bf16_or_not_at_all(file, network, tmp_path):
    path = rewritten(file, tmp_path, lambda model: model.set_rt_info("bf16", ["tightship", "inference_precision"]))
    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(TargetUnavailable, match="bf16, which this CPU does not have"):
            open_path(path)
        return
    session = open_path(path)
    assert any(kernel.startswith("Convolution") and "bf16" in kernel for kernel in session.placement().accelerated)
    assert session.placement().fallback_share == 0
    fed = inputs(1)
    with torch.no_grad():
        wanted = network.module(torch.from_numpy(fed["x"])).numpy()
    error = np.abs(session.run(fed)["y"] - wanted).max()
    assert 1e-5 < error < 0.05
    assert {"avx512_bf16", "amx_bf16"} & set(instructions())


def test_the_signature_of_a_foreign_file_is_read_from_it(file, tmp_path):
    from export.openvino.reading import signature_of

    assert signature_of(file.path) == Signature(
        (TensorSpec("x", "float32", ("x_0", 3, 8, 8)),), (TensorSpec("y", "float32", ("y_0", 4)),)
    )
    fixed = rewritten(file, tmp_path, lambda model: model.reshape([2, 3, 8, 8]))
    assert [s.shape for s in signature_of(fixed).inputs] == [(2, 3, 8, 8)]
    assert open_path(fixed).run(inputs(2))["y"].shape == (2, 4)
    with pytest.raises(ModelError, match=r"takes \[2,3,8,8\]"):
        open_path(fixed).run(inputs(1))


def test_a_file_of_unknown_rank_is_refused(tmp_path):
    from export.openvino.reading import signature_of

    x = ov.opset13.parameter(ov.PartialShape.dynamic(), ov.Type.f32, name="x")
    ov.save_model(ov.Model([ov.opset13.relu(x)], [x], "m"), tmp_path / "model.xml", compress_to_fp16=False)
    with pytest.raises(RequestError, match="--inputs"):
        signature_of(tmp_path / "model.xml")
    with pytest.raises(ModelError, match="dynamic rank"):
        open_path(tmp_path / "model.xml")


def test_the_probe_names_the_version():
    from runtimes.openvino.runtime import OpenVinoCpu

    probed = OpenVinoCpu().probe()
    assert probed.available
    assert probed.reason == f"openvino {ov.__version__.partition('-')[0]}"
