"""Published weights reach their published accuracy on the real images, through our own readers."""

import os
from pathlib import Path

import pytest

from artifacts.types import ModelRef
from compress.training.loop import predict
from zoo.data import DataRef, load_data
from zoo.metrics import METRICS
from zoo.models import build, load_weights

pytestmark = pytest.mark.data


@pytest.mark.slow
def test_a_trained_resnet_20_gets_91_733_percent_on_all_of_cifar10():
    data = load_data(DataRef(zoo="cifar10"))
    module = build(ModelRef("resnet", options={"depth": 20, "width": 16, "shortcut": "A"})).eval()
    load_weights(module, Path(os.environ["TIGHTSHIP_DATA"]) / "cifar10_resnet_weights" / "resnet20-12fca82f.th")
    outputs = predict(module, data.test)
    targets = data.test.batch(range(len(data.test)))[1]
    assert len(data.test) == 9979
    assert int((outputs.argmax(1) == targets).sum()) == 9154
    assert METRICS[data.metric].score({"output": outputs}, targets) == pytest.approx(0.91733, abs=5e-6)


def test_fashion_mnist_has_its_published_size():
    data = load_data(DataRef(zoo="fashion-mnist"))
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.inputs[0].shape == ("batch", 1, 28, 28)
