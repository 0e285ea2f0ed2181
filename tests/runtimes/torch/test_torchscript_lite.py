"""The lite interpreter: opened by the target, told its calls, in float and int8; and what no lite file can follow."""

from dataclasses import replace

import numpy as np
import pytest

from artifacts.errors import ModelError, RequestError
from artifacts.types import Engine
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.torchscript.export import trace
from runtimes.registry import find
from runtimes.torch.torchscript import LiteSession, TorchScriptCpu

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
CPU, LITE = TorchScriptCpu(), {"file": "lite"}


def lite(model, folder):
    """The plain file and the lite one that the option makes of it."""
    (folder / "lite").mkdir()
    plain = trace(model, folder)
    return plain, find("torchscript-cpu").read_options(LITE).rewrite(plain, folder / "lite")


def opened(exported, **options):
    return CPU.open(replace(CPU.build(exported, exported.folder), options=options), 1)


def test_the_option_ships_another_file_and_the_lite_interpreter_opens_it(small_resnet, digits, tmp_path):
    plain, file = lite(small_resnet, tmp_path)
    session = opened(file, **LITE)
    assert isinstance(session, LiteSession)
    for batch in (1, 2, 30):
        images = digits.test.batch(np.arange(batch))[0]
        np.testing.assert_allclose(session.run(images)["output"], opened(plain).run(images)["output"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("scheme", "kernel", "calls"),
    [("int8", "quantized::conv2d", 9), ("int8-dynamic", "quantized::linear_dynamic", 1), ("fp16", "aten::_convolution", 9),
     ("bf16", "aten::_convolution", 9)],
)  # fmt: skip
def test_what_was_quantized_loads_and_gives_what_the_plain_file_gives(small_resnet, digits, tmp_path, scheme, kernel, calls):
    target = find("torchscript-cpu")
    config = QuantizeConfig(scheme=scheme, calibration_samples=64)
    made = QUANTIZERS[target.quantizer_for(scheme)].load()(Calibration(digits.train, config, 0, small_resnet))
    plain, file = lite(replace(small_resnet, module=made), tmp_path)
    session, images = opened(file, **LITE), digits.test.batch(np.arange(30))[0]
    expected = opened(plain).run(images)["output"]
    # rounded sums in another order of kernels
    np.testing.assert_allclose(session.run(images)["output"], expected, atol=0.02 * np.std(expected))
    placed = session.placement()
    assert sum(n for kind, n in {**placed.accelerated, **placed.fallback}.items() if kind.startswith(kernel)) == calls
    assert bool(placed.fallback) == (scheme == "int8-dynamic"), "convolutions stay in float there"


def test_placement_says_where_it_was_read_from_and_what_it_cannot_tell(small_resnet, tmp_path):
    placed = opened(lite(small_resnet, tmp_path)[1]).placement()
    assert placed.accelerated["aten::_convolution"] == 9
    assert not placed.fallback
    assert "bytecode" in placed.how
    assert "phones" in placed.how


def test_channels_last_is_refused_with_a_lite_file(small_resnet, tmp_path):
    with pytest.raises(RequestError, match="which the lite interpreter does not allow; leave out channels_last or"):
        find("torchscript-cpu").read_options({**LITE, "channels_last": True})
    with pytest.raises(RequestError, match=r"model\.ptl is a lite-interpreter file"):
        opened(lite(small_resnet, tmp_path)[1], channels_last=True)


def test_a_file_that_is_no_lite_program_is_one_sentence(small_resnet, tmp_path):
    (tmp_path / "model.ptl").write_bytes(b"not a program")
    with pytest.raises(ModelError, match=r"lite interpreter of PyTorch cannot open model\.ptl") as caught:
        CPU.open(Engine("torchscript-cpu", tmp_path / "model.ptl", small_resnet.signature), 1)
    assert "\n" not in str(caught.value)
