"""How many threads of the CPU a training is quickest with, found by a few timed steps.

On idle cores more threads are quicker, and less so the smaller a network's layers are. Beside other busy processes they wait
for each other: whenever one of them has lost its core, all stand still. Which of the two it is only shows when it is tried.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from compress.training.losses import Loss
from compress.training.run import Run, Training

ROUNDS, SLICE_SECONDS = 3, 0.1
"""How often each number has its turn, and for how long; for one step at least."""
HOPELESS = 2.0
"""A number whose first turn took so many times the quickest's gets no other."""
WORTH = 50
"""Trainings of fewer steps take all threads: the trial would cost more than it gains."""
NO_STEP = 1e-12
"""A learning rate that leaves weights where they are, so that no trial diverges."""


@contextmanager
def using(threads: int | None) -> Iterator[None]:
    """Compute with so many threads until the block ends; as before for None."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def undrawn() -> Iterator[None]:
    """Whatever is drawn in the block, the generators of PyTorch's CPU, NumPy and Python stand afterwards where they stood."""
    numpy, python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numpy)
        random.setstate(python)


def step_seconds(module: nn.Module, loss: Loss, training: Training) -> Mapping[int, float]:
    """How long a step of this training takes by number of threads: 1, 2, 4 and so on, up to as many as PyTorch has now.

    The steps are real ones, on the first batch, at a learning rate that moves no weight. The module's statistics are moved and
    its gradients are left over, so it should be a copy; the generators of random numbers stay where they are.

    Returns:
        Mean seconds by number; empty where there is nothing to choose: one thread, fewer than 50 steps, a GPU, or several
        processes, which share the cores by themselves.
    """
    numbers = candidates(torch.get_num_threads())
    with undrawn():
        config = training.config.model_copy(update={"learning_rate": NO_STEP})
        run = Run(module, loss, Training(training.split, config, training.seed, masks=training.masks))
        alone = run.accelerator.num_processes == 1 and run.accelerator.device.type == "cpu"
        if len(numbers) < 2 or not alone or config.epochs * run.per_epoch < WORTH:
            return {}
        module.train()
        return timed(lambda: run.step(0, 0.0), numbers)


def candidates(most: int) -> list[int]:
    """The numbers of threads that are tried.

    >>> candidates(1), candidates(2), candidates(12)
    ([1], [1, 2], [1, 2, 4, 8, 12])
    """
    return [*(2**i for i in range(most.bit_length()) if 2**i < most), most]


def timed(step: Callable[[], object], numbers: Sequence[int]) -> dict[int, float]:
    """The mean seconds of a step by number of threads, which take turns so that whatever else is at work meets all of them."""
    for number in numbers:
        with using(number):
            step()  # not timed: threads start, and kernels are chosen
    seconds, steps = dict.fromkeys(numbers, 0.0), dict.fromkeys(numbers, 0)
    for _ in range(ROUNDS):
        for number in hopeful(seconds, steps):
            begun = time.perf_counter()
            with using(number):
                while True:
                    step()
                    steps[number] += 1
                    if time.perf_counter() - begun >= SLICE_SECONDS:
                        break
            seconds[number] += time.perf_counter() - begun
    return {number: seconds[number] / steps[number] for number in numbers}


def hopeful(seconds: Mapping[int, float], steps: Mapping[int, int]) -> list[int]:
    """The numbers that may still be the quickest.

    >>> hopeful({1: 0.0, 2: 0.0}, {1: 0, 2: 0}), hopeful({1: 1.0, 2: 5.0}, {1: 9, 2: 9})
    ([1, 2], [1])
    """
    means = {number: seconds[number] / steps[number] for number in seconds if steps[number]}
    return [n for n in seconds if n not in means or means[n] <= HOPELESS * min(means.values())]
