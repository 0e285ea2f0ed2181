"""OpenVINO files from the outside: a external one measured by the command line, the trained ResNet-20 on its whole test set."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from artifacts.types import ModelRef, TorchModel
from compress.configs import QuantizeConfig
from compress.quantizers import Calibration

ov = pytest.importorskip("openvino")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
WEIGHTS = "cifar10_resnet_weights/resnet20-12fca82f.th"


def external(folder: Path) -> Path:
    """A file that no export of ours made: y = relu(x · w), any number of rows."""
    x = ov.opset13.parameter([-1, 16], ov.Type.f32, name="x")
    weight = ov.opset13.constant(np.random.default_rng(0).normal(size=(16, 400)).astype(np.float32))
    ov.save_model(ov.Model([ov.opset13.relu(ov.opset13.matmul(x, weight, False, False))], [x], "net"), folder / "net.xml")
    return folder / "net.xml"


def test_bench_runs_a_foreign_file_and_counts_its_weights(cli, tmp_path):
    path = external(tmp_path)
    done = cli("bench", path, "--processes", 1, "--seconds", 0.02, "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["target"] == "openvino-cpu"
    assert row["p50_ms"] > 0
    assert row["bytes"] == sum(p.stat().st_size for p in tmp_path.iterdir()) > 2 * 16 * 400


def test_bench_of_a_file_without_its_weights_is_one_sentence(cli, tmp_path):
    path = external(tmp_path)
    path.with_suffix(".bin").unlink()
    done = cli("bench", path, "--processes", 1, "--seconds", 0.02)
    assert done.returncode == 2
    assert "its weights net.bin are not beside it" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.data
def test_int8_resnet20_keeps_its_accuracy_within_three_tenths_of_a_point(tmp_path):
    from compress.quantizers.openvino.nncf import quantize
    from export.openvino.export import export
    from runtimes.openvino.runtime import OpenVinoCpu
    from zoo.data import DataRef, load_data
    from zoo.models import build, complete, load_weights
    from zoo.signatures import trace_signature

    pytest.importorskip("nncf")
    data = load_data(DataRef(zoo="cifar10"))
    ref = complete(ModelRef(zoo="resnet", options={"depth": 20, "width": 16, "shortcut": "A"}), data)
    module = build(ref)
    load_weights(module, Path(os.environ["TIGHTSHIP_DATA"]) / WEIGHTS)
    model = TorchModel(module.eval(), ref, trace_signature(module, data))
    (tmp_path / "int8").mkdir()
    plain = export(model, tmp_path)
    file = quantize(plain, tmp_path / "int8", Calibration(data.train, QuantizeConfig(calibration_samples=256), 0, model))
    right = dict[str, int]()
    for name, source in {"fp32": plain, "int8": file}.items():
        session = OpenVinoCpu().open(OpenVinoCpu().build(source, tmp_path), 1)
        for start in range(0, len(data.test), 500):
            inputs, targets = data.test.batch(np.arange(start, min(start + 500, len(data.test))))
            right[name] = right.get(name, 0) + int((session.run(inputs)["output"].argmax(1) == targets).sum())
    accuracy = {name: 100 * n / len(data.test) for name, n in right.items()}
    assert accuracy["fp32"] == pytest.approx(91.73, abs=0.01)
    assert accuracy["int8"] >= accuracy["fp32"] - 0.3
