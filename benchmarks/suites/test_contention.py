"""Steps per second beside busy processes: with OpenMP's defaults, and as a run trains (a short spin, threads that were tried).

TIGHTSHIP_CONTENTION=1 pytest benchmarks/suites/test_contention.py -m "" -rP
"""

import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from artifacts.openmp import OURS, POLICY, SPINS, THREADS

NETWORKS = {
    "resnet-20, 32 x 32, batch 128": {"shape": [3, 32, 32], "depth": 20, "width": 16, "batch": 128},
    "resnet-8, 8 x 8, batch 32": {"shape": [1, 8, 8], "depth": 8, "width": 16, "batch": 32},
}
SECONDS, ROUNDS = 4.0, 3
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
PROGRAM = """
import json, sys, time
told = json.loads(sys.argv[1])
if told["ours"]:
    from artifacts.openmp import spin_briefly
    spin_briefly()
import numpy as np
import torch
from compress.configs import TrainConfig
from compress.training.loop import Run, Training, task_loss
from compress.training.threads import step_seconds, using
from zoo.resnet import resnet
from zoo.splits import ArraySplit

images = np.random.default_rng(0).normal(size=(4 * told["batch"], *told["shape"])).astype(np.float32)
split = ArraySplit({"image": images}, np.arange(len(images)) % 10)
training = Training(split, TrainConfig(epochs=100, batch_size=told["batch"]), 0)

def network():
    torch.manual_seed(0)
    return resnet(told["depth"], told["width"], 10, told["shape"][0])

begun = time.perf_counter()
tried = step_seconds(network(), task_loss(), training) if told["ours"] else {}
trial = time.perf_counter() - begun
threads = min(tried, key=tried.get) if tried else torch.get_num_threads()
run = Run(network(), task_loss(), training)
run.module.train()
with using(threads):
    run.step(0, 0.0)
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < told["seconds"]:
        steps += 1
        run.step(steps % 400, 0.5)
    rate = steps / (time.perf_counter() - begun)
print(json.dumps({"steps_per_s": rate, "threads": threads, "trial_s": trial}))
"""


@contextmanager
def busy(count):
    """So many processes that want a core all the time."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def trained(network, ours):
    """Some seconds of training in a process of its own, which is told nothing of threads."""
    told = {**NETWORKS[network], "ours": ours, "seconds": SECONDS}
    environment = {k: v for k, v in os.environ.items() if k not in (SPINS, OURS, POLICY, THREADS, "MKL_NUM_THREADS")}
    command = [sys.executable, "-c", PROGRAM, json.dumps(told)]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(
    "TIGHTSHIP_CONTENTION" not in os.environ, reason="15 minutes of an idle machine: TIGHTSHIP_CONTENTION=1 runs it"
)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("count", "least"), [(0, 0.9), (2, 1.5), (4, 2.0)])
@pytest.mark.parametrize("network", NETWORKS)
def test_training_goes_on_beside_busy_processes(network, count, least):
    found = {False: [], True: []}
    with busy(count):
        for number in range(ROUNDS):
            # in turns, and first one then the other first: whatever else is at work meets both
            for ours in sorted(found, reverse=bool(number % 2)):
                found[ours].append(trained(network, ours))
    rates = {ours: [one["steps_per_s"] for one in ran] for ours, ran in found.items()}
    ratio = statistics.median(new / old for old, new in zip(rates[False], rates[True], strict=True))
    middle = {ours: statistics.median(values) for ours, values in rates.items()}
    threads = ", ".join(str(one["threads"]) for one in found[True])
    trial = statistics.median(one["trial_s"] for one in found[True])
    print(
        f"{network}, {count} busy: {middle[False]:.2f} steps/s with the defaults, {middle[True]:.2f} as a run trains "
        f"({threads} threads, tried in {trial:.1f} s), {ratio:.2f} times; load {os.getloadavg()[0]:.1f}"
    )
    assert ratio >= least
