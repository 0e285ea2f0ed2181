"""How many threads a training of a run gets: chosen once, kept by a killed run and by the next one, a part of the key."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

from compress.training import loop, threads
from tightship.pipeline.execute import execute
from tightship.pipeline.progress import Quiet
from tightship.planning.plan import make_plan
from tightship.planning.threads import Choice, is_open, remember
from tightship.store import Store

TEXT = """\
name: chosen
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 4, samples: 128}
compress:
  - distil: {teacher: {zoo: resnet, depth: 8, width: 8}, epochs: 4, samples: 128, %s}
  - prune: {macs: 0.8, align: 2, finetune_epochs: 4, samples: 128}
  - factorize: {rank_share: 0.3, align: 1, finetune_epochs: 4, samples: 128}
  - quantize: {scheme: int8, calibration_samples: 64, qat_epochs: 4, samples: 128}
targets: [onnxruntime-cpu]
gates: {accuracy_drop: 1}
"""


class Killed(Exception):
    """Stands for kill -9."""


class Killing(Quiet):
    """Ends the run in the midst of a training, whose checkpoint is written first."""

    def update(self, share, message):
        if message.startswith("epoch 3/"):
            raise Killed


@pytest.fixture(autouse=True)
def open_choice(monkeypatch):
    """Two threads to choose from, and nothing asked for by the user."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "WORTH", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quickest(monkeypatch):
    """Makes steps quickest with so many threads; gives a list of how often it was asked."""

    def of(number):
        asked = []

        def timed(step, numbers):
            step()
            asked.append(list(numbers))
            return {n: 0.001 if n == number else 0.004 for n in numbers}

        monkeypatch.setattr(threads, "timed", timed)
        return asked

    return of


@pytest.fixture
def plan(recipe_from):
    """The plan as far as a step."""

    def upto(name, options="kd_weight: 0.7"):
        return make_plan(recipe_from(TEXT % options), "a machine").upto(name)

    return upto


@pytest.fixture
def asking(monkeypatch):
    """Asks for a number of threads, as a user does."""

    def of(number):
        monkeypatch.setenv("OMP_NUM_THREADS", str(number))
        torch.set_num_threads(number)

    return of


def trained(plan, store, progress=None):
    return execute(plan, store, progress or Quiet())[plan.steps[-1].name]


def test_the_number_is_chosen_said_and_remembered(plan, quickest, tmp_path):
    asked, store = quickest(1), Store(tmp_path)
    entry = trained(plan("reference"), store)
    assert entry.result.summary.endswith(", 1 thread")
    assert entry.result.threads.threads == 1
    assert entry.result.details()["step_seconds_by_threads"] == {"1": 0.001, "2": 0.004}
    assert torch.get_num_threads() == 2, "it holds for the stage alone"
    logs = [log.read_text() for log in (tmp_path / "logs").iterdir()]
    assert "1 thread: a step takes 1 ms, 4 ms with 2\n" in logs
    quickest(2)
    again = trained(plan("reference"), store)
    assert again.cached
    assert again.key == entry.key
    assert asked == [[1, 2]]


def test_a_killed_training_goes_on_with_the_number_it_began_with(plan, quickest, asking, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "Training", partial(loop.Training, every_seconds=0.0))
    one, store = plan("reference"), Store(tmp_path / "killed")
    quickest(1)
    with pytest.raises(Exception, match="Killed"):
        trained(one, store, Killing())
    (begun,) = (store.root / "work").iterdir()
    assert (begun / "state").is_file()
    asked = quickest(2)
    entry = trained(one, store)
    assert asked == []
    assert begun.name == entry.key
    assert entry.result.threads.threads == 1

    asking(1)
    calm = trained(plan("reference"), Store(tmp_path / "calm"))
    assert (calm.key, calm.digest) == (entry.key, entry.digest)


def test_a_chosen_number_makes_the_key_that_it_makes_when_it_is_asked_for(plan, asking, tmp_path):
    made, store = plan("distil"), Store(tmp_path)
    remember(made.keys["reference"], store, Choice(2, {}))
    chosen = made.entry_keys(store)
    assert chosen["data"] == made.keys["data"]
    assert chosen["reference"] != made.keys["reference"]
    remember(chosen["distil"], store, Choice(2, {}))
    chosen = made.entry_keys(store)
    asked = {}
    for number in (1, 2):
        asking(number)
        asked[number] = plan("distil").entry_keys(store)
    assert asked[2] == chosen
    assert asked[1]["reference"] != chosen["reference"]
    assert asked[1]["distil"] != chosen["distil"]


def test_the_number_that_the_user_gives_is_taken_and_nothing_is_timed(plan, quickest, asking, tmp_path):
    asked = quickest(2)
    asking(1)
    entry = trained(plan("reference"), Store(tmp_path))
    assert asked == []
    assert "thread" not in entry.result.summary
    assert entry.key == plan("reference").keys["reference"]
    assert not (tmp_path / "threads").exists()


@pytest.mark.slow
def test_every_training_of_a_chain_has_its_own_choice(plan, quickest, tmp_path):
    asked, store = quickest(1), Store(tmp_path)
    made = plan("quantize")
    assert sum(made.cached(store).values()) == 0
    entries = execute(made, store, Quiet())
    chosen = {name for name, entry in entries.items() if "threads" in entry.result.details()}
    assert chosen == {"reference", "distil", "prune", "factorize", "quantize"}
    assert len(asked) == len(chosen)
    assert all(made.cached(store).values())
    assert made.entry_keys(store) == {name: entry.key for name, entry in entries.items()}


def test_distillation_that_compares_layers_has_a_choice_too(plan, quickest, tmp_path):
    quickest(1)
    entry = trained(plan("distil", "method: attention, layers: {layer1: layer1}"), Store(tmp_path))
    assert entry.result.threads.threads == 1


@pytest.mark.slow
def test_a_guarded_file_has_a_choice_too(recipe_from, quickest, tmp_path):
    text = TEXT % "kd_weight: 0.7"
    text = (
        text[: text.index("compress:")]
        + "compress: [{quantize: {max_drop: 0.5, qat_epochs: 4}}]\n"
        + text[text.index("targets:") :]
    )
    asked = quickest(1)
    made = make_plan(recipe_from(text), "a machine")
    (guarded,) = (step.name for step in made.steps if step.kind == "guard")
    entry = trained(made.upto(guarded), Store(tmp_path))
    assert entry.result.threads.threads == 1
    assert len(asked) == 2


def test_files_of_a_network_are_made_with_the_threads_it_was_trained_with(plan, quickest, tmp_path, monkeypatch):
    from tightship.pipeline.execute import STAGES

    seen, export = [], STAGES["export"]

    def watched(job):
        seen.append(torch.get_num_threads())
        return export.run(job)

    monkeypatch.setitem(STAGES, "export", replace(export, run=watched))
    monkeypatch.setattr("tightship.pipeline.execute.knows_all", lambda: False)  # a process of its own would not be watched
    quickest(1)
    trained(plan("export torch-cpu/reference"), Store(tmp_path))
    assert seen == [1]


def test_a_choice_that_cannot_be_read_is_made_again(plan, quickest, tmp_path):
    quickest(1)
    store = Store(tmp_path)
    trained(plan("reference"), store)
    (written,) = (tmp_path / "threads").iterdir()
    for broken in ("", "[]", "{}", '{"threads": "many", "seconds": {}}', '{"threads": 1, "seconds": []}'):
        written.write_text(broken)
        asked = quickest(1)
        assert trained(plan("reference"), store).cached
        assert len(asked) == 1, broken
    assert json.loads(written.read_text())["threads"] == 1


def test_what_fails_while_steps_are_timed_is_told_like_what_fails_in_the_step(recipe_from, quickest, tmp_path):
    from artifacts.errors import RequestError

    quickest(1)
    made = make_plan(
        recipe_from((TEXT % "kd_weight: 0.7").replace("epochs: 4, sa", "epochs: 4, precision: fp16, sa", 1)), "a machine"
    )
    with pytest.raises(RequestError, match="fp16"):
        trained(made.upto("reference"), Store(tmp_path))
    assert not (tmp_path / "threads").exists()


def test_one_core_leaves_no_choice(plan, quickest, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    asked = quickest(1)
    entry = trained(plan("reference"), Store(tmp_path))
    assert asked == []
    assert "threads" not in entry.result.details()


def test_weights_that_came_along_leave_no_choice(plan):
    made = plan("reference")
    (step,) = (s for s in made.steps if s.name == "reference")
    assert is_open(step)
    assert not is_open(replace(step, config=step.config.model_copy(update={"train": None})))


def test_a_choice_is_said_in_few_words():
    assert str(Choice(2, {1: 0.02, 2: 0.0125})) == "2 threads: a step takes 12.5 ms, 20 ms with 1"
    assert str(Choice(1, {})) == "1 thread"
