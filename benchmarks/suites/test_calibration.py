"""What calibration costs: time against ONNX Runtime's own, memory against the number of samples. Ratios within one run."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration
from compress.quantizers.onnx.qdq import quantize_asymmetric
from export.onnx.export import export
from zoo.models import build
from zoo.splits import ArraySplit

SAMPLES, BATCH, ROUNDS = 256, 32, 3
MEASURE = """
import json, sys
import numpy as np
from pathlib import Path
from compress.configs import QuantizeConfig
from compress.quantizers.calibrators import calibrate
from compress.quantizers.pt2e.streaming import Observer

class Drawn:
    # examples are made as they are asked for, so that the data set itself takes no memory
    def batch(self, indices):
        return {"image": np.random.default_rng(int(indices[0])).standard_normal((len(indices), 3, 32, 32), np.float32)}, None

config = QuantizeConfig(calibrator=sys.argv[3])
calibrate(Observer(Path(sys.argv[1])), Drawn(), np.arange(int(sys.argv[2])), config, symmetric=False)
# not getrusage: its peak is inherited from the process that started this one
lines = Path("/proc/self/status").read_text().splitlines()
print(json.dumps(int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))))
"""


def network(depth: int) -> TorchModel:
    """A CIFAR-10 ResNet with random weights."""
    options = {"depth": depth, "width": 16, "shortcut": "A", "classes": 10, "channels": 3}
    ref = ModelRef("resnet", options=options)
    images = TensorSpec("image", "float32", ("batch", 3, 32, 32))
    return TorchModel(build(ref).eval(), ref, Signature((images,), (TensorSpec("output", "float32", ("batch", 10)),)))


@pytest.fixture(scope="module")
def resnet56(tmp_path_factory):
    """A ResNet-56 as float ONNX, and the examples to calibrate it on."""
    model = network(56)
    images = np.random.default_rng(0).standard_normal((SAMPLES, 3, 32, 32)).astype(np.float32)
    return model, export(model, tmp_path_factory.mktemp("float")), ArraySplit({"image": images}, np.zeros(SAMPLES))


def theirs(file, split, folder):
    """ONNX Runtime's own static quantization with the same samples."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.parts = iter(range(0, SAMPLES, BATCH))

        def get_next(self):
            start = next(self.parts, None)
            return None if start is None else split.batch(np.arange(start, start + BATCH))[0]

    logging.getLogger().setLevel(logging.ERROR)
    quantize_static(
        str(file.path), str(folder / "theirs.onnx"), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("calibrator", "limit"), [("minmax", 1.5), ("percentile", None), ("entropy", None), ("mse", None)])
def test_the_time_of_static_int8_beside_onnxruntimes_own(resnet56, tmp_path, calibrator, limit):
    model, file, split = resnet56
    calibration = Calibration(split, QuantizeConfig(calibration_samples=SAMPLES, calibrator=calibrator), 0, model)
    ratios = []
    for _ in range(ROUNDS):  # side by side, so that what else the machine does falls on both
        started = time.perf_counter()
        theirs(file, split, tmp_path)
        between = time.perf_counter()
        quantize_asymmetric(file, tmp_path, calibration)
        ratios.append((time.perf_counter() - between) / (between - started))
    print(f"{calibrator}: {median(ratios):.2f} x onnxruntime's quantize_static (min-max); {sorted(ratios)}")
    assert limit is None or median(ratios) <= limit


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak from /proc")
@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "entropy", "mse"])
def test_peak_memory_does_not_grow_with_the_samples(tmp_path, calibrator):
    file = export(network(20), tmp_path)
    peaks = []
    for samples in (256, 4096):
        command = [sys.executable, "-c", MEASURE, str(file.path), str(samples), calibrator]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{calibrator}: peak RSS with 4,096 samples is {peaks[1] / peaks[0]:.3f} x that with 256")
    assert peaks[1] <= 1.1 * peaks[0]
