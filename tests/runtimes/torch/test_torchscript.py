"""TorchScript programs: opened as shipped, float or int8, and what is not int8 in an int8 program is counted."""

import numpy as np
import pytest
import torch

from artifacts.errors import TightshipError
from artifacts.types import Engine, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration
from compress.quantizers.pt2e import fx_int8
from export.torchscript.export import trace
from runtimes.torch.torchscript import TorchScriptCpu

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
CPU = TorchScriptCpu()


def opened(model, folder):
    return CPU.open(CPU.build(trace(model, folder), folder), 1)


def test_a_float_program_has_no_fallback(small_resnet, tmp_path):
    placement = opened(small_resnet, tmp_path).placement()
    assert sum(placement.accelerated.values()) > 10
    assert not placement.fallback


def test_an_int8_program_runs_quantized_kernels_and_nothing_in_float(small_resnet, digits, tmp_path):
    made = fx_int8.quantize(Calibration(digits.train, QuantizeConfig(calibration_samples=64), 0, small_resnet))
    session = opened(TorchModel(made, small_resnet.ref, small_resnet.signature), tmp_path)
    placement = session.placement()
    assert sum(n for kind, n in placement.accelerated.items() if kind.startswith("quantized::conv2d")) == 9
    assert any(kind.startswith("quantized::linear") for kind in placement.accelerated)
    assert not placement.fallback
    images = digits.test.batch(np.arange(30))[0]
    with torch.no_grad():
        plain = small_resnet.module(torch.from_numpy(images["image"])).numpy()
    assert np.std(session.run(images)["output"] - plain) < 0.2 * plain.std()


def test_a_file_that_is_no_program_is_one_sentence(tmp_path, small_resnet):
    (tmp_path / "model.pt").write_bytes(b"not a program")
    with pytest.raises(TightshipError) as caught:
        CPU.open(Engine("torchscript-cpu", tmp_path / "model.pt", small_resnet.signature), 1)
    assert "\n" not in str(caught.value)
