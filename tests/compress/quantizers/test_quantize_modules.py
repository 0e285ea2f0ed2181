"""int8 that is made on the module: calibrated in eval on a copy, and really converted."""

import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from zoo.signatures import trace_signature

CONFIG = QuantizeConfig(calibration_samples=64)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def calibration(model, digits):
    return Calibration(digits.train, CONFIG, 0, model)


def quantized(name, model, digits):
    for library in QUANTIZERS[name].libraries:
        pytest.importorskip(library)
    return QUANTIZERS[name].load()(calibration(model, digits))


def test_fx_converts_every_layer_and_stays_close(digits, tiny, examples):
    made = quantized("fx-int8", tiny, digits)
    kinds = [type(m).__module__ for m in made.modules()]
    assert sum("quantized" in kind for kind in kinds) >= 10
    assert not [m for m in made.modules() if type(m) in (nn.Conv2d, nn.Linear, nn.BatchNorm2d)]
    with torch.no_grad():
        plain, rounded = tiny.module(examples), made(examples)
    assert float((plain - rounded).std()) < 0.2 * float(plain.std())
    assert (plain.argmax(1) == rounded.argmax(1)).float().mean() >= 0.9


@pytest.mark.parametrize("name", ["fx-int8", "pt2e-xnnpack"])
def test_calibration_runs_in_eval_even_on_a_model_left_in_training(digits, tiny_b, name):
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.9), nn.Flatten(), nn.Linear(288, 10))
    model = TorchModel(module.train(), ModelRef(), tiny_b.signature)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    made = quantized(name, model, digits)
    assert module.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    x = torch.from_numpy(digits.test.batch(range(1))[0]["image"])
    with torch.no_grad():
        assert torch.equal(made(x), made(x)), "dropout is still at work"


@pytest.mark.slow
def test_xnnpack_gets_weights_per_channel_and_symmetric(digits, tiny):
    made = quantized("pt2e-xnnpack", tiny, digits)
    targets = [str(n.target) for n in made.graph.nodes if n.op == "call_function"]
    assert sum("dequantize_per_channel" in t for t in targets) >= 10
    assert sum("quantize_per_tensor" in t for t in targets) > 10


def test_the_same_calibration_makes_the_same_network(digits, tiny, examples):
    first, second = (quantized("fx-int8", tiny, digits) for _ in range(2))
    with torch.no_grad():
        assert torch.equal(first(examples), second(examples))


def test_a_model_that_fx_cannot_trace_is_one_sentence(digits, tiny_b):
    class Branching(nn.Module):
        def forward(self, image):
            return image.flatten(1) if image.sum() > 0 else -image.flatten(1)

    with pytest.raises(ModelError, match="FX cannot trace the model") as caught:
        quantized("fx-int8", TorchModel(Branching(), ModelRef(), tiny_b.signature), digits)
    assert "\n" not in str(caught.value)


def test_a_model_without_layers_is_refused_not_reported_as_int8(digits, tiny_b):
    model = TorchModel(nn.Sequential(nn.Flatten(), nn.Softsign()), ModelRef(), tiny_b.signature)
    with pytest.raises(ModelError, match="converted no layer"):
        quantized("fx-int8", model, digits)


def test_every_quantizer_of_the_list_can_be_loaded():
    for name, quantizer in QUANTIZERS.items():
        assert quantizer.name == name
        assert callable(quantizer.load())


def test_a_network_that_looks_at_types_is_refused_by_fx_and_not_written_with_other_outputs(digits):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 10)

        def forward(self, image):
            y, state = self.rnn(image.flatten(1, 2))
            return self.fc(y[:, -1]), state[0] if isinstance(state, tuple) else state

    module = Recurrent().eval()
    model = TorchModel(module, ModelRef(), trace_signature(module, digits))
    with pytest.raises(
        ModelError, match="FX makes a program with the outputs output_0, output_1_0, output_1_1, and the model gives"
    ):
        quantized("fx-int8", model, digits)
