"""How often `compare` is wrong, and what it finds: files against themselves, slowed by a known share, and under load.

pytest benchmarks/suites/test_honesty.py -rP                  a few comparisons of each kind
TIGHTSHIP_HONESTY=200 pytest benchmarks/suites/test_honesty.py -rP
python benchmarks/suites/test_honesty.py 200 same             one kind, a line after each comparison
TIGHTSHIP_HONESTY_FILE=f.jsonl ...                            kept there; the same command goes on where it was stopped,
                                                              on this machine or on another
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from artifacts.files import sha256_file, sha256_json
from artifacts.specs import Signature
from artifacts.types import Engine, ModelRef, TorchModel
from benchmarks.machine import describe
from benchmarks.process.child import Child
from benchmarks.timing.compare import compare
from benchmarks.timing.measure import MeasurePlan
from export.onnx.export import export

COUNT = int(os.environ.get("TIGHTSHIP_HONESTY", "0"))
FILE = Path(os.environ["TIGHTSHIP_HONESTY_FILE"]) if "TIGHTSHIP_HONESTY_FILE" in os.environ else None
STUDY = pytest.mark.skipif(not COUNT, reason="10 to 41 s a comparison: TIGHTSHIP_HONESTY=200 runs 200 of each kind")
STRICT = 200
"""From so many comparisons on the rates themselves must hold; fewer must be likely under them."""
PLAN = MeasurePlan(processes=6, blocks=8, block_seconds=0.1)
"""What `tightship compare` measures unless told otherwise."""
LIMIT = 24
KINDS = {"same": 0.0, "3 %": 0.03, "10 %": 0.10, "load": 0.0}
COMPARING = (
    "timing.compare", "timing.measure", "timing.rounds", "timing.cores", "timing.starting", "timing.noise", "timing.statistics",
    "process.child", "process.stopwatch", "machine",
)  # fmt: skip
BUSY = """\
import os
os.sched_setaffinity(0, {0})
study = os.getppid()
while os.getppid() == study:
    for _ in range(10**6):
        pass
"""
"""Keeps a core busy, but does not outlive a study that is killed."""
CALLS = 20_000
OVERHEAD_NS = 2000

RUNTIMES = '''\
"""A runtime that is slower than ONNX Runtime by a known share of each call, and one that does nothing."""

import json
import time

from artifacts.types import Engine, Placement
from runtimes.onnxruntime.runtime import OnnxRuntimeCpu


class Nothing:
    def probe(self): pass
    def open(self, engine, threads): return self
    def run(self, inputs): return inputs
    def placement(self): return Placement({}, {}, "none")


class Slowed(OnnxRuntimeCpu):
    def open(self, engine, threads):
        asked = json.loads(engine.path.read_text())
        model = Engine("onnxruntime-cpu", engine.path.with_name(asked["model"]), engine.signature)
        whole = OnnxRuntimeCpu().open(model, threads)
        inner, factor, clock = whole.run, 1 + asked["slower"], time.perf_counter_ns

        class Session:
            def run(self, inputs):
                begun = clock()
                made = inner(inputs)
                end = begun + (clock() - begun) * factor
                while clock() < end:
                    pass
                return made

        return Session()
'''
REGISTERS = """\
import runtimes.registry as registry
from runtimes.target import Target

for name, kind in (("slowed", "Slowed"), ("nothing", "Nothing")):
    registry.TARGETS.add(Target(name, f"known_runtimes:{kind}", ("onnx",), None, ()))
"""


@contextlib.contextmanager
def runtimes(folder):
    """Makes the two runtimes known to every child."""
    code = folder / "code"
    code.mkdir()
    (code / "known_runtimes.py").write_text(RUNTIMES)
    (code / "sitecustomize.py").write_text(REGISTERS)
    sys.path.insert(0, str(code))
    try:
        yield
    finally:
        sys.path.remove(str(code))


def make_engines(folder, **slower):
    """A ResNet-20 on ONNX Runtime for each share by which it is to be slower, by name; and an example."""
    import torch

    from zoo.data import DataRef, load_data
    from zoo.models import build, complete
    from zoo.signatures import trace_signature

    torch.manual_seed(0)
    data = load_data(DataRef(zoo="digits"))
    ref = complete(ModelRef(zoo="resnet", options={"depth": 20, "width": 32}), data)
    module = build(ref).eval()
    file = export(TorchModel(module, ref, trace_signature(module, data)), folder)
    engines = {}
    for name, share in slower.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"model": file.path.name, "slower": share}))
        engines[name] = Engine("slowed", path, file.signature)
    return engines, data.test.batch(np.arange(1))[0]


@contextlib.contextmanager
def load_on_one_core(wanted):
    """A process that keeps one core busy."""
    if not wanted:
        yield
        return
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@dataclass(frozen=True)
class One:
    """One comparison, as a line of the file in which a study is kept."""

    kind: str
    verdict: str
    ratio: float
    disturbed: bool
    loaded: bool
    pairs: int
    seconds: float
    machine: str
    code: str


def lines(found):
    """What so many comparisons of one kind said, on all machines and on each."""
    machines = sorted({one.machine for one in found})
    each = [f"  {name}: {line([one for one in found if one.machine == name])}" for name in machines]
    return "\n".join([line(found), *(each if len(machines) > 1 else [])])


def line(found):
    """What so many comparisons of one kind said."""
    told = [one.verdict for one in found]
    counts = ", ".join(f"{v} {told.count(v)}" for v in sorted(set(told)))
    return (
        f"{found[0].kind}: {len(found)} comparisons: {counts}; disturbed {sum(one.disturbed for one in found)}; "
        f"{np.mean([one.pairs for one in found]):.1f} pairs and {np.mean([one.seconds for one in found]):.1f} s each"
    )


def setting():
    """The machine, and a hash of how is compared: the code, the plan, the runtime's version."""
    here = describe()
    code = [sha256_file(Path(sys.modules[f"benchmarks.{name}"].__file__)) for name in COMPARING]
    how = sha256_json([code, {**vars(PLAN), "seed": None}, LIMIT, here.versions["onnxruntime"]])
    return f"{here.cpu}, {here.cores} cores", how[:16]


def kept(file, kind):
    """What an earlier, unfinished study by the same code left in a file."""
    if not file or not file.is_file():
        return []
    found = [One(**json.loads(text)) for text in file.read_text().splitlines()]
    _, code = setting()
    if any(one.code != code for one in found):
        sys.exit(f"{file} holds comparisons by other code or another plan; name another file.")
    return [one for one in found if one.kind == kind]


def study(kind, count, folder, tell=lambda text: None, file=None):
    """So many comparisons of one kind, kept in a file line by line; with `load`, one core is busy during every second one."""
    engines, example = make_engines(folder, plain=0.0, other=KINDS[kind])
    found = kept(file, kind)
    for at in range(len(found), count):
        loaded = kind == "load" and at % 2 == 1
        started = time.monotonic()
        with load_on_one_core(loaded):
            # the seed decides who goes first
            plan = MeasurePlan(**{**vars(PLAN), "seed": 100 * at})
            one = compare(engines["plain"], engines["other"], example, plan, folder / "work", LIMIT)
        disturbed, pairs = bool(one.a.noise and one.a.noise.disturbed), len(one.a.rounds_ms)
        seconds = time.monotonic() - started
        found.append(One(kind, one.verdict, one.ratio.ratio, disturbed, loaded, pairs, seconds, *setting()))
        if file:
            with file.open("a") as out:
                out.write(json.dumps(vars(found[-1])) + "\n")
        tell(f"{one.verdict} {one.ratio.ratio:.4f} ({one.ratio.low:.4f} .. {one.ratio.high:.4f}) {line(found)}")
    return found


def at_most(rate, count):
    """How many of `count` may happen at this rate: the rate itself from 200 on, else what happens in 99 of 100 studies."""
    from scipy.stats import binom

    return int(rate * count) if count >= STRICT else int(binom.ppf(0.99, count, rate))


@pytest.fixture
def known(tmp_path):
    with runtimes(tmp_path):
        yield tmp_path


@pytest.mark.slow
@pytest.mark.timeout(0)
@STUDY
@pytest.mark.parametrize("kind", ["same", "load"])
def test_a_file_is_not_told_from_itself_even_under_load(known, kind):
    found = study(kind, COUNT, known, file=FILE)
    print(lines(found))
    assert sum(one.verdict in ("faster", "slower") for one in found) <= at_most(0.05, COUNT)
    assert all(one.disturbed for one in found if one.loaded)


@pytest.mark.slow
@pytest.mark.timeout(0)
@STUDY
@pytest.mark.parametrize(("kind", "power"), [("3 %", 0.80), ("10 %", 0.99)])
def test_a_known_slowdown_is_found(known, kind, power):
    found = study(kind, COUNT, known, file=FILE)
    print(lines(found))
    assert sum(one.verdict != "slower" for one in found) <= at_most(1 - power, COUNT)
    assert not any(one.verdict == "faster" for one in found)


def test_the_harness_adds_less_than_two_microseconds_to_a_call(known):
    first = known / "one.npz"
    np.savez(first, x=np.zeros((1, 3), np.float32))
    with Child(Engine("nothing", first, Signature(())), known / "child.log") as child:
        child.open(first)
        child.warm(first, 0.1)
        times = child.block(first, 0.0, CALLS).ns
    print(f"a call that does nothing: p50 {np.median(times):.0f} ns, p99 {np.quantile(times, 0.99):.0f} ns")
    assert np.median(times) < OVERHEAD_NS


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made, runtimes(Path(made)):
        for asked in sys.argv[2:] or KINDS:
            place = Path(made) / asked.replace(" %", "")
            place.mkdir()
            print(lines(study(asked, int(sys.argv[1]), place, lambda text: print(text, flush=True), FILE)), flush=True)
