"""Two processes on the CPU (gloo), started by the launcher that `accelerate launch` uses, end with the weights of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
import numpy as np, torch
from torch import nn
from compress.configs import TrainConfig
from compress.training.loop import Training, fit, task_loss
from zoo.splits import ArraySplit
torch.set_num_threads(1)
rng = np.random.default_rng(0)
x = rng.normal(size=(90, 4)).astype(np.float32)
split = ArraySplit({"x": x}, (x.sum(1) > 0).astype(np.int64))
torch.manual_seed(0)
norm = [nn.BatchNorm1d(8)] if sys.argv[2] == "norm" else []
module = nn.Sequential(nn.Linear(4, 8), *norm, nn.ReLU(), nn.Linear(8, 2))
seen = []
config = TrainConfig(epochs=3, batch_size=15, accumulate=2, ema=0.8, holdout=0.2, clip_norm=1.0, weight_decay=0.0)
fit(module, task_loss(), Training(split, config, 1, progress=lambda *a: seen.append(a)))
import os
torch.save({"state": module.state_dict(), "told": len(seen)}, f"{sys.argv[1]}.{os.environ.get('RANK', 0)}")
"""


def launch(folder: Path, name: str, processes: int, kind: str):
    """Run the script in so many processes; what each ended with."""
    (folder / "train.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(folder / "train.py"), str(folder / name), kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [torch.load(folder / f"{name}.{rank}", weights_only=True) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "norm"])
def test_two_processes_share_each_batch_and_agree_on_the_end(tmp_path, kind):
    (alone,) = launch(tmp_path, "one", 1, kind)
    first, second = launch(tmp_path, "two", 2, kind)
    assert all(torch.equal(v, second["state"][k]) for k, v in first["state"].items()), "the processes disagree"
    assert first["told"] > 0
    assert second["told"] == 0, "only one process reports"
    if kind == "plain":  # batch statistics are of each process's own slice
        assert all(torch.allclose(v, alone["state"][k], atol=1e-5) for k, v in first["state"].items())
