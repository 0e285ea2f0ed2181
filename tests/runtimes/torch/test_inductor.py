"""torch.compile: compiled anew by every process, in a folder that goes with it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from artifacts.errors import TargetUnavailable
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ModelRef, TorchModel
from export.aotinductor.export import compiler_missing
from export.module import export
from runtimes.torch.inductor import InductorCpu
from zoo.resnet import resnet

OPEN = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from artifacts.specs import Signature
from artifacts.types import Engine
from runtimes.torch.inductor import InductorCpu
folder = Path(sys.argv[1])
session = InductorCpu().open(Engine("inductor-cpu", folder / "model.json", Signature.from_json(json.loads(sys.argv[2]))), 1)
x = np.load(folder / "x.npy")
before = time.monotonic()
found = session.run({"image": x})
first = time.monotonic() - before
before = time.monotonic()
session.run({"image": x})
again = time.monotonic() - before
placed = session.placement()
np.save(folder / "y.npy", found["output"])
print(json.dumps([os.environ["TORCHINDUCTOR_CACHE_DIR"], first, again, dict(placed.accelerated), dict(placed.fallback)]))
"""


@pytest.mark.slow
def test_each_process_compiles_for_itself_and_leaves_nothing(tmp_path, environment):
    if missing := compiler_missing():
        pytest.skip(missing)
    torch.manual_seed(0)
    options = {"depth": 8, "width": 8, "classes": 10, "channels": 1}
    signature = Signature(
        (TensorSpec("image", "float32", ("batch", 1, 8, 8)),), (TensorSpec("output", "float32", ("batch", 10)),)
    )
    module = resnet(**options).eval()
    export(TorchModel(module, ModelRef("resnet", options=options), signature), tmp_path)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    described = json.dumps({k: [vars(s) for s in getattr(signature, k)] for k in ("inputs", "outputs")})
    command = [sys.executable, "-c", OPEN, str(tmp_path), described]
    runs = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    with torch.no_grad():
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), module(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-5)
    assert len({cache for cache, *_ in runs}) == 2
    for cache, first, again, accelerated, outside in runs:
        assert not os.path.exists(cache)
        assert first > 10 * again, "the first run did not compile"
        assert accelerated["generated kernels"] >= 1
        assert outside["convolution"] == 9


def test_without_a_compiler_it_says_so_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    runtime = InductorCpu()
    assert "no-such-compiler" in runtime.probe().reason
    with pytest.raises(TargetUnavailable, match="no-such-compiler is not on the PATH"):
        runtime.open(None, 1)
