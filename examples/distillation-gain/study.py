"""What each way of distilling is worth: ResNet-32 teaches a small ResNet, from scratch, with the same epochs with and without.

    TIGHTSHIP_DATA=... python study.py --depth 8 --epochs 6 --examples 10000

Every student is exported, and scored by ONNX Runtime on the whole test set. Prints one row for each method: mean and spread
over the seeds, and the gain over training alone with the same seed. The rows are also written to `study.json`.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from artifacts.types import ModelRef, TorchModel
from compress.configs import DistilConfig
from compress.distillation.distil import Network, Teacher, distillation_objective
from compress.training.loop import Training, fit, subset, tensors
from export.onnx.export import export
from runtimes.onnxruntime.runtime import OrtSession
from zoo.data import DataRef, load_data
from zoo.metrics import METRICS
from zoo.models import build, complete, load_weights
from zoo.signatures import trace_signature
from zoo.splits import TaskData

STAGES = {"layer1": "layer1", "layer2": "layer2", "layer3": "layer3"}
METHODS = {
    "alone": {"kd_weight": 0.0},
    "logits": {"kd_weight": 0.9},
    "features": {"kd_weight": 0.9, "method": "features", "layers": STAGES},
    "attention": {"kd_weight": 0.9, "method": "attention", "layers": STAGES},
}


def network(data: TaskData, depth: int, seed: int) -> TorchModel:
    """A ResNet with padded shortcuts, not trained."""
    torch.manual_seed(seed)
    ref = complete(ModelRef("resnet", options={"depth": depth, "width": 16, "shortcut": "A"}), data)
    module = build(ref)
    return TorchModel(module, ref, trace_signature(module, data))


def deployed(model: TorchModel, data: TaskData) -> float:
    """The metric of the exported file in ONNX Runtime, over the whole test set."""
    with tempfile.TemporaryDirectory() as folder:
        session = OrtSession(export(model, Path(folder)).path, "CPUExecutionProvider", os.cpu_count() or 1)
    outputs, targets = [], []
    for start in range(0, len(data.test), 512):
        inputs, wanted = data.test.batch(np.arange(start, min(start + 512, len(data.test))))
        outputs.append(next(iter(session.run(inputs).values())))
        targets.append(wanted)
    return METRICS[data.metric].score({"output": np.concatenate(outputs)}, np.concatenate(targets))


def student(data: TaskData, teacher: TorchModel, method: str, asked: argparse.Namespace, seed: int) -> float:
    """Train one student and score what was deployed."""
    model = network(data, asked.depth, seed)
    config = DistilConfig(
        epochs=asked.epochs, samples=asked.examples, batch_size=128, learning_rate=0.1, augment=("flip", "crop"),
        precision=asked.precision, temperature=4, **METHODS[method],
    )  # fmt: skip
    example, _ = tensors(data.train, subset(data.train, 2, seed))
    with distillation_objective(model.module, [Teacher(Network(teacher.module), 1.0)], config, example, seed) as (loss, extra):
        fit(model.module, loss, Training(data.train, config, seed, extra=extra))
    return 100 * deployed(model, data)


def main() -> None:
    """Run every method with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    asked = parser.parse_args()
    data = load_data(DataRef("cifar10"))
    teacher = network(data, 32, 0)
    load_weights(teacher.module, Path(os.environ["TIGHTSHIP_DATA"]) / "cifar10_resnet_weights" / "resnet32-d509ac18.th")
    teacher.module.eval()
    rows: dict[str, list[float]] = {}
    for method in METHODS:
        rows[method] = [student(data, teacher, method, asked, seed) for seed in range(asked.seeds)]
        gains = np.array(rows[method]) - np.array(rows["alone"])
        print(
            f"{method:10} top-1 {np.mean(rows[method]):.2f} ± {np.std(rows[method], ddof=1):.2f}   "
            f"gain {gains.mean():+.2f} ± {gains.std(ddof=1):.2f} points   {[round(v, 2) for v in rows[method]]}",
            flush=True,
        )
    Path("study.json").write_text(json.dumps({"asked": vars(asked), "top1": rows}, indent=1))


if __name__ == "__main__":
    main()
