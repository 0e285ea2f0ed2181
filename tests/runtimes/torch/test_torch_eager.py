"""The reference target: the stored network, in eval, by name."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import IntegrityError, TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ExportedFile, ModelRef, TorchModel
from compress import checkpoint
from runtimes.torch.eager import TorchCpu, TorchCuda, TorchSession
from zoo.resnet import resnet

SIGNATURE = Signature((TensorSpec("image", "float32", ("batch", 1, 8, 8)),))


@pytest.fixture
def stored(tmp_path):
    options = {"depth": 8, "width": 4, "classes": 3, "channels": 1}
    module = resnet(**options).eval()
    checkpoint.save(TorchModel(module, ModelRef("resnet", options=options), SIGNATURE), tmp_path)
    return module, ExportedFile("module", tmp_path, checkpoint.MODEL_FILE, SIGNATURE)


def test_the_stored_network_runs_in_eval_at_any_batch(stored, tmp_path):
    module, file = stored
    runtime = TorchCpu()
    session = runtime.open(runtime.build(file, tmp_path), 1)
    for batch in (1, 2, 7):
        x = torch.randn(batch, 1, 8, 8)
        with torch.no_grad():
            assert np.array_equal(session.run({"image": x.numpy()})["output"], module(x).numpy())


def test_placement_counts_leaf_modules(stored, tmp_path):
    runtime = TorchCpu()
    placement = runtime.open(runtime.build(stored[1], tmp_path), 1).placement()
    assert placement.accelerated["Conv2d"] == 9
    assert placement.accelerated["Linear"] == 1
    assert placement.fallback_share == 0


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="holds no stored model"):
        TorchCpu().open(Engine("torch-cpu", tmp_path / "model.json", SIGNATURE), 1)


def test_inputs_go_in_by_name_in_the_order_of_the_signature():
    class Difference(nn.Module):
        def forward(self, b, a):
            return {"d": b - a}

    session = TorchSession(Difference().eval(), ("b", "a"), "cpu")
    assert session.run({"a": np.float32([1]), "b": np.float32([3])})["d"].tolist() == [2]


def test_cuda_is_refused_where_there_is_none(stored):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(TargetUnavailable, match="torch-cuda cannot run here: no CUDA device") as caught:
        TorchCuda().open(Engine("torch-cuda", stored[1].path, SIGNATURE), 1)
    assert "\n" not in str(caught.value)
    assert TorchCpu().probe().available
