"""Files are made in a process of their own: a converter that crashes, hangs or is killed costs its row, and leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from artifacts.errors import DataError, ModelError, ParityFailed, StageCrashed
from artifacts.records.evidence import read_evidence
from compress.quantizers import QUANTIZERS
from export.registry import FORMATS
from tightship.pipeline.execute import STAGES, execute
from tightship.pipeline.isolated.messages import Failed, Order
from tightship.pipeline.isolated.process import IsolatedProcess, knows_all
from tightship.pipeline.progress import Quiet
from tightship.pipeline.stages.job import Job
from tightship.planning.plan import make_plan
from tightship.planning.step_configs import DataStep
from tightship.planning.threads import Choice
from tightship.recipe.data import DataConfig
from tightship.store import Store
from zoo.data import load_data

FAULTS = ("segfaults", "exits", "killed", "hangs")
RUNTIMES = """\
from artifacts.types import Availability
from runtimes.base import Runtime
from runtimes.target import Target

class Never(Runtime):
    target = "never"

    def probe(self):
        return Availability(True, "it works")

TARGETS = tuple(
    Target(name, "bad_runtimes:Never", (name,), None, ("onnxruntime", "bad"))
    for name in ("segfaults", "exits", "killed", "hangs")
)
"""
EXPORTERS = """\
import ctypes, os, pathlib, signal, subprocess, sys, time
from export.base import Format

FORMATS = tuple(Format(name, f"bad_formats:{name}", ("onnx",)) for name in ("segfaults", "exits", "killed", "hangs"))

def segfaults(model, folder):
    print("the converter says why", flush=True)
    ctypes.string_at(0)

def exits(model, folder):
    if os.fork():
        os._exit(0)
    time.sleep(3600)  # and what it started holds the line open

def killed(model, folder):
    os.kill(os.getpid(), signal.SIGKILL)

def hangs(model, folder):
    helper = subprocess.Popen(["sleep", "3600"])
    pathlib.Path("pids.new").write_text(f"{os.getpid()} {helper.pid}")
    os.replace("pids.new", "pids")
    ctypes.PyDLL(None).sleep(3600)  # as a library that keeps Python's lock
"""
RECIPE = """\
name: bad
model: {{zoo: resnet, depth: 8, width: 8}}
data: {{zoo: digits}}
train: {{epochs: 1}}
targets: [onnxruntime-cpu, {faults}, {{name: torchscript-cpu, precisions: [fp32]}}]
gates: {{accuracy_drop: 1.0}}
measure: {{processes: 1, blocks: 1, block_seconds: 0.02}}
"""
SECONDS = "10"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a distribution that is installed there: four targets, each with a format whose converter ends badly."""
    folder = tmp_path_factory.mktemp("bad")
    info = folder / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    points = "".join(
        f"[tightship.{group}]\n" + "".join(f"{name} = {where}\n" for name in FAULTS)
        for group, where in (("runtimes", "bad_runtimes:TARGETS"), ("formats", "bad_formats:FORMATS"))
    )
    (info / "entry_points.txt").write_text(points)
    (folder / "bad_runtimes.py").write_text(RUNTIMES)
    (folder / "bad_formats.py").write_text(EXPORTERS)
    (folder / "all.yaml").write_text(RECIPE.format(faults=", ".join(FAULTS)))
    (folder / "hangs.yaml").write_text(RECIPE.format(faults="hangs"))
    return folder


def alive(pid):
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_gone(folder, seconds=10.0):
    """Whether the converter that hung and its helper end within a while."""
    pids = (folder / "pids").read_text().split()
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(map(alive, pids))


@pytest.mark.slow
def test_each_converter_that_ends_badly_is_one_row_and_the_rest_is_measured(place, cli):
    done = cli("run", "all.yaml", "--out", "out", cwd=place, PYTHONPATH=str(place), TIGHTSHIP_TIMEOUT=SECONDS)
    assert done.returncode == 1, done.stderr
    evidence = read_evidence(place / "out" / "evidence.json")
    # one comes before the four, one after: the process is started again
    assert set(evidence.verdict.shipped) == {"onnxruntime-cpu/fp32", "torchscript-cpu/fp32"}
    failed = {failure.target: failure for failure in evidence.failed}
    assert {(f.stage, f.kind) for f in failed.values()} == {("export", "StageCrashed")}
    assert "died (signal 11, SIGSEGV)" in failed["segfaults"].reason
    assert "died (exit code 0)" in failed["exits"].reason
    assert "died (signal 9, SIGKILL: killed, perhaps for memory)" in failed["killed"].reason
    assert f"nothing was heard of it since 'writing the file' for {SECONDS} s" in failed["hangs"].reason
    log = (place / "out" / failed["segfaults"].log).read_text()
    assert "the converter says why" in log
    assert "in segfaults" in log, "the line of Python that crashed"
    assert all_gone(place)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_a_run_that_is_ended_ends_the_converter_and_keeps_what_is_done(place, cli, environment, tmp_path, how, code):
    (place / "pids").unlink(missing_ok=True)
    store = ("--store", tmp_path / "store")
    command = [Path(sys.executable).with_name("tightship"), "run", "hangs.yaml", "--out", tmp_path / "out", *store]
    with (tmp_path / "log").open("wb") as stream:
        run = subprocess.Popen(command, cwd=place, env=environment(PYTHONPATH=str(place)), stdout=stream, stderr=stream)
    until = time.monotonic() + 120
    while not (place / "pids").exists() and run.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    run.send_signal(how)
    assert run.wait(20) == code, (tmp_path / "log").read_text()
    assert all_gone(place)
    planned = json.loads(cli("plan", "hangs.yaml", *store, "--json", cwd=place, PYTHONPATH=str(place)).stdout)
    cached = {step["step"]: step["cached"] for step in planned["steps"]}
    assert cached["check onnxruntime-cpu/fp32"]
    assert not cached["export hangs/fp32"]
    again = [p for p in (tmp_path / "store" / "entries").glob("*/.*") if p.is_dir()]
    assert len(again) <= (how != signal.SIGINT), "what was half written lies there only where nobody could clear it away"


@pytest.fixture(scope="module")
def isolated():
    process = IsolatedProcess()
    yield process
    process.close()
    assert process._process is None


@pytest.fixture
def order(tmp_path):
    """Makes an order to describe some data, which takes no network."""

    def make(**data):
        config = DataStep(data=DataConfig(**data))
        log = tmp_path / "logs" / "step.log"
        return Order("data", "data", config, {}, tmp_path, tmp_path, tmp_path, log, config.data.ref(), Choice(1, {}), None)

    return make


@pytest.mark.slow
def test_it_gives_what_this_process_would_and_tells_how_far_it_is(isolated, order):
    told, asked = [], order(zoo="digits")
    found = isolated.do(asked, lambda share, message: told.append(message))
    here = Job(asked.config, {}, asked.out, asked.work, asked.memory, lambda: load_data(asked.data))
    assert found == STAGES["data"].run(here)
    assert told == ["loading PyTorch", ""]
    assert asked.log.read_text() == "1 thread\n", "it computes with the threads that were chosen"


@pytest.mark.slow
def test_one_process_does_step_after_step_also_after_one_was_refused_and_another_comes_when_it_was_killed(isolated, order):
    isolated.do(order(zoo="digits"), lambda *_: None)
    first = isolated._process.pid
    with pytest.raises(DataError, match=r"^none\.npz must be an NPZ") as caught:
        isolated.do(order(npz=Path("none.npz")), lambda *_: None)
    assert "describe_data" in "".join(traceback.format_exception(caught.value)), "--debug shows where it was raised"
    isolated.do(order(zoo="digits"), lambda *_: None)
    assert isolated._process.pid == first
    os.kill(first, signal.SIGKILL)
    while alive(first):
        time.sleep(0.01)
    assert isolated.do(order(zoo="digits"), lambda *_: None).name == "digits"
    assert isolated._process.pid != first


@pytest.mark.slow
def test_a_module_of_the_working_folder_is_found_and_one_there_hides_no_other(isolated, order, tmp_path, monkeypatch):
    (tmp_path / "ourdata.py").write_text("from zoo.readers import read_digits as read\n")
    (tmp_path / "torch.py").write_text("raise SystemExit('the wrong torch')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    isolated.close()  # a process looks in the folder that it was started in
    assert isolated.do(order(factory="ourdata:read"), lambda *_: None).train == 1257
    isolated.close()


@pytest.mark.slow
def test_an_error_of_the_callers_own_passes_and_what_was_at_work_is_ended(order):
    def tell(share, message):
        raise ZeroDivisionError

    process = IsolatedProcess()
    with pytest.raises(ZeroDivisionError):
        process.do(order(zoo="digits"), tell)
    assert process._process is None


def test_an_error_keeps_the_nearest_of_our_classes():
    class Theirs(ModelError):
        def __init__(self, layer):
            super().__init__(f"{layer} cannot be written")

    error = Failed.of(Theirs("fc"), "trace").error()
    assert (type(error), str(error), error.__notes__) == (ModelError, "fc cannot be written", ["trace"])
    assert type(Failed.of(ParityFailed("no"), "").error()) is ParityFailed
    assert type(Failed("Gone", "no", "").error()) is StageCrashed


def test_plugs_of_this_process_alone_keep_the_work_here(monkeypatch):
    for registry in (FORMATS, QUANTIZERS):
        monkeypatch.setattr(registry, "_brought", {})
    assert knows_all()
    FORMATS.add(replace(FORMATS.find("onnx"), name="onnx-of-ours"))
    assert not knows_all()


@pytest.mark.slow
def test_a_format_of_this_process_alone_is_written_here(recipe_from, tmp_path, monkeypatch):
    monkeypatch.setattr(FORMATS, "_brought", {})
    written = []

    def here(job):
        written.append(os.getpid())
        return STAGES["convert"].run(job)

    text = RECIPE.format(faults="torch-cpu").replace("epochs: 1", "epochs: 1, samples: 64")
    plan = make_plan(recipe_from(text), "a machine").upto("export onnxruntime-cpu/fp32")
    FORMATS.add(replace(FORMATS.find("onnx"), name="onnx-of-ours"))
    monkeypatch.setitem(STAGES, "export", replace(STAGES["export"], run=here))
    entries = execute(plan, Store(tmp_path / "store"), Quiet())
    assert entries["export onnxruntime-cpu/fp32"].result.format == "onnx"
    assert written == [os.getpid()]
