"""All our own runtimes that work here keep to the conformance suite, and it finds what a runtime does wrong."""

import importlib
import sys

import pytest

from artifacts.errors import RequestError, TargetUnavailable
from runtimes.registry import TARGETS
from tightship.testing import NotConforming, check_runtime, networks


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS.own())
def test_our_own_runtimes_conform(name):
    try:
        findings = check_runtime(name)
    except TargetUnavailable as error:
        pytest.skip(str(error))
    assert all(finding.passed for finding in findings)
    target = TARGETS.find(name)
    checked = {finding.check for finding in findings}
    assert ("the loader runs alone, as in a bundle" in checked) == (target.loader is not None)
    assert {"half a file is refused in one sentence", "its process ends by itself"} <= checked
    assert len({finding.network for finding in findings}) == 1 + 2 * len(target.formats)


PLUG_IN = '''\
"""A runtime on ONNX Runtime that does one thing wrong."""
from artifacts.types import Availability
from runtimes.base import Runtime
from runtimes.target import Target
import {name}_loader

class Wrong(Runtime):
    target = "{name}"
    session = {name}_loader.Program

    def probe(self):
        return Availability(True, "it works")

    def open(self, engine, threads):
        return {name}_loader.Program(engine, threads)

TARGETS = Target(
    "{name}", "{name}:Wrong", ("onnx",), None, ("onnxruntime", "{name}"), loader="{name}_loader:Program"
)
'''
LOADER = """\
import os

import numpy as np

from artifacts.errors import ModelError
{imports}

class Program:
    def __init__(self, engine, threads):
        import onnxruntime
        try:
            self.session = onnxruntime.InferenceSession(str(engine.path), providers=["CPUExecutionProvider"])
        except Exception as error:
            {refuse}
        self.names = [o.name for o in self.session.get_outputs()]
        self.calls, self.kept = 0, {{}}

    def run(self, inputs):
        self.calls += 1
        made = dict(zip(self.names, self.session.run(None, inputs)))
        {spoil}
        return made
"""
REFUSE = "raise ModelError(f'{engine.path.name}: ' + str(error).splitlines()[0])"


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Installs a plug-in whose runtime does one thing wrong, which is tried with one network; its name."""
    monkeypatch.setattr(networks, "made", lambda of=networks.made: {"image": of()["image"]})

    def make(name, *spoil, refuse=REFUSE, imports=""):
        body = "\n        ".join(spoil or ["pass"])
        (tmp_path / f"{name}.py").write_text(PLUG_IN.format(name=name))
        (tmp_path / f"{name}_loader.py").write_text(LOADER.format(spoil=body, refuse=refuse, imports=imports))
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tightship.runtimes]\n{name} = {name}:TARGETS\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        # processes find it by its entry point; this one has read those that there are
        monkeypatch.setitem(TARGETS._brought, name, importlib.import_module(name).TARGETS)
        return name

    return make


IN_ONE_BUFFER = (
    "for n, v in made.items():",
    "    made[n] = self.kept.setdefault((n, v.shape), np.empty_like(v))",
    "    np.copyto(made[n], v)",
)
WRONG = {
    "halves": (["made = {n: v / 2 for n, v in made.items()}"], "batch 1: .* spreads away from the network's"),
    "widens": (["made = {n: v.astype(float) for n, v in made.items()}"], "is float64 .*, not float32"),
    "drifts": (["made = {n: v * (1 + 1e-5 * self.calls) for n, v in made.items()}"], "is another at the second call"),
    "renames": (["made = {n + 'x': v for n, v in made.items()}"], "outputs go by the names of the signature: they are"),
    "writes": (["[v.__imul__(2) for v in inputs.values()]"], "the call wrote into 'image'"),
    "reuses": (IN_ONE_BUFFER, "the next call wrote into 'output'; return a copy"),
    "dies": (["self.calls > 9 and os._exit(7)"], r"its process ends by itself: it died \(exit code 7\) after"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_what_a_runtime_does_wrong_is_found_and_told(plug_in, name):
    spoil, told = WRONG[name]
    with pytest.raises(NotConforming, match=told):
        check_runtime(plug_in(name, *spoil))


@pytest.mark.slow
def test_a_loader_that_needs_what_is_not_shipped_and_a_refusal_of_many_lines_are_found(plug_in):
    name = plug_in("needs", "import runtimes.registry", refuse="raise ModelError(str(error) + '\\nsecond line')")
    with pytest.raises(NotConforming) as caught:
        check_runtime(name)
    said = [str(finding.wrong) for finding in caught.value.findings if not finding.passed]
    assert any("runtimes is not shipped with the loader" in wrong for wrong in said)
    assert any("it is not one sentence" in wrong for wrong in said)


@pytest.mark.slow
def test_a_plug_in_that_does_nothing_wrong_passes(plug_in):
    assert all(finding.passed for finding in check_runtime(plug_in("rightly")))


def test_what_is_not_there_is_not_tried():
    with pytest.raises(RequestError, match="unknown target"):
        check_runtime("no-such-runtime")
