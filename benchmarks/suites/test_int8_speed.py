"""What int8 must buy on ONNX Runtime: interleaved in one run, a process per file, on CPUs whose kernels can show it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from artifacts.types import ModelRef, TorchModel
from benchmarks.timing.measure import MeasurePlan, measure
from compress.configs import QuantizeConfig
from compress.qat import train_quantized
from compress.quantizers import Calibration
from compress.quantizers.isa import has_vnni
from compress.quantizers.onnx.qdq import quantize_asymmetric
from export.onnx.export import export
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu
from zoo.data import DataRef, load_data
from zoo.models import build, complete, load_weights
from zoo.signatures import trace_signature

WEIGHTS = "cifar10_resnet_weights/resnet20-12fca82f.th"


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    root = os.environ.get("TIGHTSHIP_DATA")
    if not root:
        pytest.skip("needs the trained ResNet-20 under TIGHTSHIP_DATA")
    data = load_data(DataRef(zoo="cifar10"))
    ref = complete(ModelRef(zoo="resnet", options={"depth": 20, "width": 16, "shortcut": "A"}), data)
    module = build(ref)
    load_weights(module, Path(root) / WEIGHTS)
    model = TorchModel(module.eval(), ref, trace_signature(module, data))
    config = QuantizeConfig(calibration_samples=256, qat_epochs=1, samples=512, learning_rate=0.001)
    trained = train_quantized(model, config, data.train, seed=0)
    made = {}
    for name, source in {"fp32": model, "int8-ptq": model, "int8-qat": trained}.items():
        folder = tmp_path_factory.mktemp(name)
        file = export(source, folder)
        if name != "fp32":
            (folder / "int8").mkdir()
            file = quantize_asymmetric(file, folder / "int8", Calibration(data.train, config, 0, source))
        made[name] = OnnxRuntimeCpu().build(replace(file), folder)
    inputs = data.test.batch(np.arange(32))[0]
    return measure(made, inputs, MeasurePlan(processes=7), tmp_path_factory.mktemp("measured"))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not has_vnni(), reason="this CPU has no VNNI: int8 products are not faster there")
def test_int8_resnet20_is_at_least_one_and_a_half_times_as_fast_as_fp32(engines):
    ratio = engines["int8-ptq"].speedup_over(engines["fp32"])
    print(f"fp32 / int8-ptq: {ratio.ratio:.2f} ({ratio.low:.2f} .. {ratio.high:.2f})")
    assert ratio.low >= 1.5


@pytest.mark.slow
@pytest.mark.data
def test_the_qat_file_is_within_a_tenth_of_the_ptq_files_speed(engines):
    ratio = engines["int8-qat"].speedup_over(engines["int8-ptq"])
    print(f"int8-ptq / int8-qat: {ratio.ratio:.3f} ({ratio.low:.3f} .. {ratio.high:.3f})")
    assert 0.9 <= ratio.ratio <= 1.1
