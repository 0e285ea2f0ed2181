"""How much lies between layers at once: by hand, and as a runtime's own memory planner has it."""

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.types import ModelRef
from benchmarks.roofline.liveness import Step, most_alive
from benchmarks.roofline.work import Work, work_of
from zoo.models import build


def alive(module, *shape):
    return work_of(module, {"x": np.zeros((2, *shape), np.float32)}).alive


def step(reads, writes, in_place=False):
    return Step(frozenset(reads), frozenset(writes), in_place)


def test_a_chain_holds_two_neighbors():
    assert most_alive({0: 5, 1: 7, 2: 2}, [step([0], [1]), step([1], [2])], [0], [2]) == 12


def test_a_shortcut_is_held_until_it_is_added():
    steps = [step([0], [1]), step([1], [2]), step([0, 2], [3], in_place=True)]
    assert most_alive({0: 4, 1: 10, 2: 4, 3: 4}, steps, [0], [3]) == 18


def test_a_result_takes_the_place_of_an_input_only_if_nothing_needs_that_any_more():
    sizes, made = {0: 4, 1: 8, 2: 8}, step([0], [1])
    assert most_alive(sizes, [made, step([1], [2], in_place=True)], [0], [2]) == 12
    assert most_alive(sizes, [made, step([1], [2])], [0], [2]) == 16
    assert most_alive(sizes, [made, step([1], [2], in_place=True)], [0], [1, 2]) == 16
    assert most_alive({**sizes, 2: 9}, [made, step([1], [2], in_place=True)], [0], [2]) == 17


def test_what_nothing_reads_is_not_held_and_results_are_to_the_end():
    assert most_alive({0: 4, 1: 3, 9: 100}, [step([0], [1, 9])], [0], [1]) == 7
    assert most_alive({0: 4, 1: 3, 2: 5}, [step([0], [1]), step([0], [2])], [0], [1, 2]) == 12


def test_a_network_is_counted_by_its_tensors_views_and_norms_for_nothing():
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    assert alive(plain, 3, 8, 8) == 3 * 64 + 8 * 36
    pooled = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2, return_indices=False), nn.Flatten(), nn.Linear(72, 10))
    assert alive(pooled, 3, 8, 8) == 3 * 64 + 8 * 36
    assert alive(nn.ReLU(inplace=True), 3, 8, 8) == 3 * 64


def test_bytes_are_those_of_an_activation_in_the_scheme():
    work = Work(macs=1, weights=1, activations=1, alive=100)
    assert [work.alive_bytes(s) for s in (None, "int8", "int8-weights", "fp16", "odd")] == [400, 100, 400, 200, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "shape"),
    [
        ("resnet", {"depth": 8, "width": 16, "classes": 10, "channels": 3, "shortcut": "A"}, (3, 32, 32)),
        ("mobilenet", {"width": 8, "classes": 10, "channels": 3}, (3, 32, 32)),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_it_is_what_executorchs_memory_planner_comes_to(kind, options, shape):
    exir = pytest.importorskip("executorch.exir")
    module = build(ModelRef(kind, options=options)).eval()
    edge = exir.to_edge(torch.export.export(module, (torch.zeros(1, *shape),)))
    planned = edge.to_executorch().executorch_program.execution_plan[0].non_const_buffer_sizes
    assert 4 * alive(module, *shape) == sum(planned)
