"""ncnn by pnnx: values, names, widths that need padding, fp16 storage, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, RequestError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.registry import find
from zoo.readers import read_digits
from zoo.resnet import resnet
from zoo.signatures import signature_on, trace_signature

pytest.importorskip("ncnn")
pytest.importorskip("pnnx")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


class Odd(nn.Module):
    """Two inputs of sizes that fill no SIMD register; two outputs."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.side = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Linear(7, 5)
        self.head = nn.Linear(5, 4)

    def forward(self, image, extra):
        seen = torch.relu(self.norm(self.conv(image))).mean((2, 3)) + self.side(extra)
        return self.head(seen).softmax(1), seen


def spec(name, *shape):
    return TensorSpec(name, "float32", ("batch", *shape))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    torch.manual_seed(0)
    signature = Signature((spec("image", 3, 7, 5), spec("extra", 7)), (spec("output_0", 4), spec("output_1", 5)))
    model = TorchModel(Odd().eval(), ModelRef(), signature)
    file = FORMATS["ncnn"].load()(model, tmp_path_factory.mktemp("odd"))
    return model, file


def opened(file, folder, threads=1):
    runtime = find("ncnn-cpu").runtime()
    return runtime.open(runtime.build(file, folder), threads)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_values_names_and_order_hold_at_every_batch(odd, tmp_path, batch):
    model, file = odd
    rng = np.random.default_rng(batch)
    fed = {"extra": rng.normal(size=(batch, 7)), "image": rng.normal(size=(batch, 3, 7, 5))}
    fed = {name: value.astype(np.float32) for name, value in fed.items()}
    found = opened(file, tmp_path, threads=2).run(fed)
    with torch.no_grad():
        wanted = model.module(torch.from_numpy(fed["image"]), torch.from_numpy(fed["extra"]))
    for name, tensor in zip(("output_0", "output_1"), wanted, strict=True):
        np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_results_are_the_callers_own(odd, tmp_path):
    session = opened(odd[1], tmp_path)
    fed = {"image": np.ones((1, 3, 7, 5), np.float32), "extra": np.ones((1, 7), np.float32)}
    first = session.run(fed)
    kept = {name: value.copy() for name, value in first.items()}
    session.run({name: -9 * value for name, value in fed.items()})
    assert all(np.array_equal(first[name], kept[name]) for name in kept)


def test_the_layers_are_counted(odd, tmp_path):
    placement = opened(odd[1], tmp_path).placement()
    counts = {**placement.accelerated, **placement.fallback}
    assert counts["Convolution"] == 1  # its norm is folded into it
    assert counts["InnerProduct"] == 2
    assert "Input" not in counts


def test_fp16_halves_the_file_and_rounds_and_fp32_does_not(tmp_path):
    torch.manual_seed(0)
    digits = read_digits()
    module = resnet(depth=8, width=8, classes=10, channels=1).eval()
    model = TorchModel(module, ModelRef(), trace_signature(module, digits))
    calibration = Calibration(digits.train, QuantizeConfig(scheme="fp16"), 0, model)
    marked = TorchModel(QUANTIZERS["ncnn-half"].load()(calibration), ModelRef(), model.signature)
    inputs = digits.test.batch(np.arange(20))[0]
    with torch.no_grad():
        wanted = module(torch.from_numpy(inputs["image"])).numpy()
    sizes, errors = {}, {}
    for label, one in {"fp32": model, "fp16": marked}.items():
        (tmp_path / label).mkdir()
        file = FORMATS["ncnn"].load()(one, tmp_path / label)
        assert file.precision == label
        assert sorted(p.name for p in file.folder.iterdir()) == ["model.bin", "model.param"]
        found = opened(file, tmp_path).run(inputs)[model.signature.outputs[0].name]
        sizes[label] = (tmp_path / label / "model.bin").stat().st_size
        errors[label] = float(np.abs(found - wanted).max() / wanted.std())
    assert 0.45 < sizes["fp16"] / sizes["fp32"] < 0.6
    assert errors["fp32"] < 1e-4 < errors["fp16"] < 0.05
    keeping = Calibration(digits.train, QuantizeConfig(scheme="fp16", keep_float=("conv1",)), 0, model)
    with pytest.raises(RequestError, match="leave keep_float out"):
        QUANTIZERS["ncnn-half"].load()(keeping)


def test_an_operator_that_ncnn_lacks_is_named(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sort(x, 1)[0]

    signature = Signature((spec("x", 3),), (spec("y", 3),))
    with pytest.raises(ModelError, match=r"ncnn has no operator for .*sort") as caught:
        FORMATS["ncnn"].load()(TorchModel(Odd().eval(), ModelRef(), signature), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", ["param", "bin", "missing"])
def test_broken_files_are_one_sentence(odd, tmp_path, broken):
    model, file = odd
    for part in ("model.param", "model.bin"):
        (tmp_path / part).write_bytes((file.folder / part).read_bytes())
    if broken == "param":
        (tmp_path / "model.param").write_bytes(b"nothing\n")
    elif broken == "bin":
        (tmp_path / "model.bin").write_bytes(b"")
    else:
        (tmp_path / "model.bin").unlink()
    with pytest.raises(ModelError, match=r"model\.param.*model\.bin") as caught:
        find("ncnn-cpu").runtime().open(Engine("ncnn-cpu", tmp_path / "model.param", model.signature), 1)
    assert "\n" not in str(caught.value)


class Bytes(nn.Module):
    """Takes raw bytes and normalizes them itself."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Linear(8, 4)

    def forward(self, image):
        return self.fc(torch.relu(self.conv((image.float() - 120) / 60)).mean((2, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
def test_bytes_are_given_as_real_numbers_and_what_works_in_place_spoils_no_input(dtype, tmp_path):
    module = Bytes().eval()
    given = {"image": np.random.default_rng(0).integers(0, 120, (3, 3, 16, 16)).astype(dtype)}
    before = given["image"].copy()
    specs = (TensorSpec("image", np.dtype(dtype).name, ("batch", 3, 16, 16)),)
    model = TorchModel(module, ModelRef(), signature_on(module, specs, given, "the examples"))
    file = FORMATS["ncnn"].load()(model, tmp_path)
    found = find("ncnn-cpu").runtime().open(Engine("ncnn-cpu", file.path, file.signature), 1).run(given)
    np.testing.assert_allclose(found["output"], module(torch.from_numpy(given["image"])).detach().numpy(), rtol=1e-3, atol=1e-4)
    assert (given["image"] == before).all()
