"""Models to export: a small residual network with settled norms, and wrappers for awkward ones."""

import sys
from pathlib import Path

import pytest
import torch

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from zoo.resnet import resnet


def settle(module: torch.nn.Module) -> torch.nn.Module:
    """Move every norm away from its start, so that forgetting one shows."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if getattr(part, "running_var", None) is not None:
            part.running_mean.copy_(torch.randn(part.running_mean.shape, generator=generator) * 0.3)
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
    return module


@pytest.fixture
def tiny() -> TorchModel:
    torch.manual_seed(0)
    options = {"depth": 8, "width": 8, "classes": 10, "channels": 1}
    signature = Signature(
        (TensorSpec("image", "float32", ("batch", 1, 8, 8)),), (TensorSpec("output", "float32", ("batch", 10)),)
    )
    return TorchModel(settle(resnet(**options)).eval(), ModelRef("resnet", options=options), signature)


@pytest.fixture
def private_words() -> list[bytes]:
    """Words that only this machine's paths and tracebacks hold."""
    folders = [sys.prefix, str(Path.cwd()), str(Path(torch.__file__).parent), str(Path.home()) + "/"]
    return [f.encode() for f in folders if len(f) > 2] + [b"site-packages", b"Traceback", b'File "', b".py", b"stack_trace"]


@pytest.fixture
def wrap():
    """Makes a TorchModel of a module, its inputs {name: shape} and the names of its outputs."""

    def make(module, inputs=None, outputs=("output",), mode=False) -> TorchModel:
        made = inputs or {"x": (3, 8, 8)}
        specs = tuple(TensorSpec(n, "float32", ("batch", *shape)) for n, shape in made.items())
        return TorchModel(
            settle(module).train(mode),
            ModelRef(),
            Signature(specs, tuple(TensorSpec(n, "float32", ("batch",)) for n in outputs)),
        )

    return make
