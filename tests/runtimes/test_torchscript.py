"""TorchScript programs: opened as shipped, float or int8, and what is not int8 in an int8 program is counted."""

import numpy as np
import pytest
import torch

from artifacts.errors import TightshipError
from artifacts.types import Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration, fx_int8
from export.torchscript import trace
from runtimes.torchscript import TorchScriptCpu
from zoo.models import trace_signature
from zoo.readers import read_digits
from zoo.resnet import resnet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
CPU = TorchScriptCpu()


@pytest.fixture(scope="module")
def digits():
    return read_digits()


@pytest.fixture(scope="module")
def model(digits):
    torch.manual_seed(0)
    module = resnet(8, 8, 10, 1).eval()
    return TorchModel(module, ModelRef("resnet"), trace_signature(module, digits))


def opened(model, folder):
    return CPU.open(CPU.build(trace(model, folder), folder), 1)


def test_a_float_program_has_no_fallback(model, tmp_path):
    placement = opened(model, tmp_path).placement()
    assert sum(placement.accelerated.values()) > 10
    assert not placement.fallback


def test_an_int8_program_runs_quantized_kernels_and_nothing_in_float(model, digits, tmp_path):
    made = fx_int8.quantize(Calibration(digits.train, QuantizeConfig(calibration_samples=64), 0, model))
    session = opened(TorchModel(made, model.ref, model.signature), tmp_path)
    placement = session.placement()
    assert sum(n for kind, n in placement.accelerated.items() if kind.startswith("quantized::conv2d")) == 9
    assert any(kind.startswith("quantized::linear") for kind in placement.accelerated)
    assert not placement.fallback
    images = digits.test.batch(np.arange(30))[0]
    with torch.no_grad():
        plain = model.module(torch.from_numpy(images["image"])).numpy()
    assert np.std(session.run(images)["output"] - plain) < 0.2 * plain.std()


def test_a_file_that_is_no_program_is_one_sentence(tmp_path, model):
    (tmp_path / "model.pt").write_bytes(b"not a program")
    with pytest.raises(TightshipError) as caught:
        CPU.open(Engine("torchscript-cpu", tmp_path / "model.pt", model.signature), 1)
    assert "\n" not in str(caught.value)
