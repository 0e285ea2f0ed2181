"""Latencies that pruning and factorizing ask for are taken as the recipe opens the files."""

import json

import pytest
import torch

from artifacts.types import ModelRef, TorchModel
from benchmarks.process.child import Child
from benchmarks.timing.measure import Measured
from runtimes.registry import find
from tightship.pipeline import deployed_latency
from tightship.pipeline.deployed_latency import MOST, DeployedLatency, undisturbed
from tightship.planning.plan import make_plan
from zoo.data import DataRef, load_data
from zoo.models import build, complete
from zoo.signatures import trace_signature

RECIPE = """\
name: timed
model: {zoo: resnet, depth: 8}
data: {zoo: digits}
compress:
  - prune: {latency: 0.9, target: onnxruntime-cpu, finetune_epochs: 0}
targets: [{name: onnxruntime-cpu%s}]
gates: {accuracy_drop: 1}
"""
OPTIONS = {"graph_level": "disable"}


@pytest.fixture(scope="module")
def digits():
    return load_data(DataRef("digits"))


@pytest.fixture(scope="module")
def tiny(digits):
    torch.manual_seed(0)
    ref = complete(ModelRef("resnet", options={"depth": 8, "width": 4}), digits)
    module = build(ref).eval()
    return TorchModel(module, ref, trace_signature(module, digits))


def pruning(recipe_from, options=""):
    plan = make_plan(recipe_from(RECIPE % options), "a machine")
    return next(step for step in plan.steps if step.name == "prune"), dict(plan.keys)["prune"]


def test_the_options_of_the_target_are_part_of_what_a_stage_times(recipe_from):
    plain, plain_key = pruning(recipe_from)
    told, told_key = pruning(recipe_from, ", options: {graph_level: disable}")
    latency = plain.config.latency
    assert (latency.machine, latency.threads, latency.options) == ("a machine", 1, {})
    assert told.config.latency.options == OPTIONS
    assert plain_key != told_key


@pytest.mark.slow
def test_networks_are_opened_with_the_options_and_remembered_by_them(tiny, digits, tmp_path, monkeypatch):
    opened, whole = [], Child.__init__
    monkeypatch.setattr(deployed_latency, "MOST", 2)  # how many agree is another test's matter

    def seen(self, engine, *rest, **named):
        opened.append(dict(engine.options))
        whole(self, engine, *rest, **named)

    monkeypatch.setattr(Child, "__init__", seen)
    target, memory = find("onnxruntime-cpu"), tmp_path / "memory"
    memory.mkdir()
    latency = DeployedLatency(tiny, target, "fp32", digits.train, "a machine", 1, OPTIONS, {}, memory, tmp_path / "work")
    share = latency.of(tiny)
    assert opened
    assert all(OPTIONS.items() <= found.items() for found in opened)
    taken = len(opened)
    assert latency.of(tiny) == share
    assert len(opened) == taken
    other = DeployedLatency(
        tiny, target, "fp32", digits.train, "a machine", 1, {"spinning": False}, {}, memory, tmp_path / "work"
    )
    other.of(tiny)
    assert len(opened) > taken
    assert len(list(memory.iterdir())) == 2
    assert all(json.loads(file.read_text())["share"] > 0 for file in memory.iterdir())


def test_a_process_that_was_disturbed_throughout_does_not_count():
    quiet = [0.5, 0.51, 0.52, 0.9]
    assert undisturbed([quiet, [2 * ms for ms in quiet]]) == undisturbed([quiet]) < 0.51


@pytest.mark.parametrize(
    ("start", "other", "taken", "share"),
    [
        ([1.0, 1.0], [0.5, 0.5], 2, 0.5),
        ([2.0, 1.0, 1.05], [0.5, 0.5, 1.0], 3, 0.5),  # the first two of the start do not agree
        ([2.0, 1.0, 1.5, 1.2], [0.5, 0.5, 0.5, 0.5], MOST, 0.5),  # they never do
    ],
    ids=["quiet", "one-disturbed", "all-apart"],
)
def test_more_processes_are_timed_until_two_agree(tiny, digits, tmp_path, monkeypatch, start, other, taken, share):
    took = []

    def measured(engines, example, plan, folder):
        begin = len(took)
        took.extend(range(plan.processes))
        rounds = slice(begin, begin + plan.processes)
        return {
            name: Measured(rounds_ms=[[ms] * 20 for ms in (start if name == "start" else other)[rounds]]) for name in engines
        }

    monkeypatch.setattr(deployed_latency, "measure", measured)
    monkeypatch.setattr(DeployedLatency, "_engine", lambda self, name, model: None)
    target = find("onnxruntime-cpu")
    two = [tiny, TorchModel(tiny.module, ModelRef("resnet", options={"depth": 14, "width": 4}), tiny.signature)]
    latency = DeployedLatency(tiny, target, "fp32", digits.train, "a machine", 1, {}, {}, tmp_path, tmp_path / "work")
    assert latency(two) == [share, share]
    assert len(took) == taken
