"""Our median beside LoadGen's SingleStream median: one process, turns in random order, one sample.

TIGHTSHIP_AGREEMENT=1 pytest benchmarks/suites/test_loadgen_agreement.py -m "" -rP

What is compared is the timing, so both ask the same open engine. LoadGen's own way through its Python binding is part of
its latency; `test_what_loadgen_adds` says how much that is.
"""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from benchmarks.noise import Counters, Watch
from benchmarks.scenarios.loadgen import Loaded, SampleSet
from benchmarks.scenarios.logs import read_log
from benchmarks.scenarios.plan import LoadPlan
from benchmarks.scenarios.samples import Samples
from benchmarks.scenarios.system import System, drive
from benchmarks.stopwatch import Block
from benchmarks.suites.agreement import agreement
from export.onnx import export

pytest.importorskip("mlperf_loadgen", reason="MLPerf LoadGen is missing: pip install 'tightship[loadgen]'")
STUDY = pytest.mark.skipif(
    not os.environ.get("TIGHTSHIP_AGREEMENT"), reason="two minutes of a machine that does nothing else: TIGHTSHIP_AGREEMENT=1"
)
ROUNDS = 9
MOST = int(os.environ.get("TIGHTSHIP_REPEATS", "18"))
"""Rounds that others disturbed and that are done again, at the most."""
SECONDS = 1.0
AGREE = 1.03
MODELS = {
    "resnet-20 wide, 8x8": ("resnet", {"depth": 20, "width": 64, "classes": 10, "channels": 1}, (1, 8, 8)),
    "mobilenet, 32x32": ("mobilenet", {"width": 16, "classes": 10, "channels": 3}, (3, 32, 32)),
    "cifar resnet-20": ("resnet", {"depth": 20, "width": 16, "classes": 10, "channels": 3, "shortcut": "A"}, (3, 32, 32)),
}
WEIGHTS = "cifar10_resnet_weights/resnet20-12fca82f.th"


def made(name, folder):
    """The model as an ONNX file on ONNX Runtime; the CIFAR one with its published weights, where they are."""
    import torch

    from zoo.models import build, load_weights

    torch.manual_seed(0)
    kind, options, shape = MODELS[name]
    ref = ModelRef(kind, options=options)
    module = build(ref).eval()
    data = os.environ.get("TIGHTSHIP_DATA")
    if name.startswith("cifar") and data:
        load_weights(module, Path(data) / WEIGHTS)
    ends = (TensorSpec("image", "float32", ("batch", *shape)),), (TensorSpec("output", "float32", ("batch", 10)),)
    file = export(TorchModel(module, ref, Signature(*ends)), folder)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    return Engine("onnxruntime-cpu", file.path, file.signature), SampleSet({"image": image}, 1, 1, True)


def compared(loaded, one):
    """Medians in ms, ours and LoadGen's, of quiet rounds and of those that others disturbed, and what disturbed them."""
    order, watch, reasons = random.Random(0), Watch(), set()
    found, busy = ({"ours": [], "loadgen": []} for _ in range(2))
    for round_ in range(ROUNDS + MOST):
        medians, turns = {}, []
        for who in order.sample(sorted(found), 2):
            begun = Counters.now()
            if who == "ours":
                answer = loaded.child.ask("block", inputs=str(one), seconds=SECONDS, calls=100)
                medians[who] = float(np.median(answer["ns"])) / 1e6
                turns.append(watch.turn([Block.of(answer["seen"])], begun))
            else:
                run = loaded.run(f"round-{round_}")
                medians[who] = run.log.percentiles_ms["p50"]
                reasons |= set(run.noise.reasons)
                turns.append(run.noise)
        disturbed = {reason for turn in turns for reason in turn.reasons}
        reasons |= disturbed
        for who, value in medians.items():
            (busy if disturbed else found)[who].append(value)
        if len(found["ours"]) == ROUNDS or len(busy["ours"]) > MOST:
            break
    return found, busy, reasons


def tell(name, found):
    ratio = agreement(found["ours"], found["loadgen"])
    quartiles = [float(np.quantile(found[who], 0.25)) for who in ("ours", "loadgen")]
    print(
        f"{name}: ours {quartiles[0]:.4f} ms, LoadGen {quartiles[1]:.4f} ms (lower quartiles of {len(found['ours'])} rounds), "
        f"ratio {ratio.ratio:.4f} ({ratio.low:.4f} .. {ratio.high:.4f})"
    )
    return ratio


@STUDY
@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", MODELS)
def test_our_median_is_that_of_loadgen(name, tmp_path):
    engine, samples = made(name, tmp_path)
    with Loaded(engine, samples, LoadPlan("single-stream", SECONDS), tmp_path / "load") as loaded:
        found, busy, reasons = compared(loaded, loaded.folder / "one.npz")
    if len(found["ours"]) < ROUNDS:
        tell(f"{name}, disturbed", {who: found[who] + busy[who] for who in found})
        pytest.skip(f"disturbed: {ROUNDS} quiet rounds were not to be had ({', '.join(sorted(reasons))})")
    ratio = tell(name, found)
    assert 1 / AGREE <= ratio.ratio <= AGREE


def test_what_loadgen_adds(tmp_path):
    """A system that does nothing: what is left is LoadGen, its Python binding and our answer."""
    feeds, outputs = {"x": np.zeros((1, 3), np.float32)}, {"y": np.zeros((1, 10), np.float32)}
    system = System(lambda inputs: outputs, Samples(feeds, 1), 1)
    plan = LoadPlan("single-stream", SECONDS)
    asked = {**vars(plan), "query_samples": 1, "min_queries": 0, "pace": 500_000.0}
    drive(system, tmp_path, asked)
    found = read_log(tmp_path).percentiles_ms
    print(f"LoadGen around a call that does nothing: p50 {1000 * found['p50']:.2f} us, p90 {1000 * found['p90']:.2f} us")
    assert found["p50"] < 0.02
