"""Networks of random weights that several suites time, as files that a target runs."""

from pathlib import Path

import numpy as np
import torch

from artifacts.specs import Signature, TensorSpec
from artifacts.types import Arrays, Engine, ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.registry import FORMATS
from runtimes.registry import find
from zoo.models import build
from zoo.splits import ArraySplit

NETWORKS = {
    "resnet-20 wide": ("resnet", {"depth": 20, "width": 32, "classes": 10, "channels": 3}, (3, 32, 32)),
    "resnet-32 wide": ("resnet", {"depth": 32, "width": 32, "classes": 10, "channels": 3}, (3, 32, 32)),
    "mobilenet": ("mobilenet", {"width": 32, "classes": 10, "channels": 3}, (3, 96, 96)),
}
"""So large that times which a tool rounds to 0.01 ms tell a few percent."""
SHORT = {
    "resnet-20 wide, 8x8": ("resnet", {"depth": 20, "width": 64, "classes": 10, "channels": 1}, (1, 8, 8)),
    "mobilenet, 32x32": ("mobilenet", {"width": 16, "classes": 10, "channels": 3}, (3, 32, 32)),
    "cifar resnet-20": ("resnet", {"depth": 20, "width": 16, "classes": 10, "channels": 3, "shortcut": "A"}, (3, 32, 32)),
}
"""About a millisecond and less: what lies around a call shows."""


def network(name: str) -> tuple[TorchModel, Arrays]:
    """One of them, and 64 images for it."""
    torch.manual_seed(0)
    kind, options, shape = {**NETWORKS, **SHORT}[name]
    ref = ModelRef(kind, options=options)
    signature = Signature(
        (TensorSpec("image", "float32", ("batch", *shape)),), (TensorSpec("output", "float32", ("batch", 10)),)
    )
    images = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    return TorchModel(build(ref).eval(), ref, signature), {"image": images}


def deployed(target: str, name: str, precision: str, folder: Path) -> tuple[Engine, Arrays]:
    """A network in `fp32` or `int8` as the target opens it, and images for it; the quantizer works on the file."""
    model, images = network(name)
    for part in ("fp32", "int8"):
        (folder / part).mkdir(parents=True)
    row = find(target)
    file = FORMATS[row.formats[0]].load()(model, folder / "fp32")
    if precision == "int8":
        calibration = Calibration(ArraySplit(images, np.zeros(64, np.int64)), QuantizeConfig(calibration_samples=64), 0, model)
        file = QUANTIZERS.find(row.quantizer_for("int8")).load()(file, folder / "int8", calibration)
    return row.runtime().build(file, folder), images
