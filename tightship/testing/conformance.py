"""The conformance suite of runtimes: what everything else relies on, tried on small networks.

Files are opened in processes of their own, so that a runtime that crashes, hangs or lives in another environment gives a
finding like any other.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.environments import OURS
from artifacts.errors import TargetUnavailable
from artifacts.types import Arrays, Engine, TorchModel
from export.registry import FORMATS
from runtimes.probe import probe
from runtimes.registry import TARGETS, find
from runtimes.shipping import CODE, ship
from runtimes.target import Target
from tightship.testing import alone, examine

EXAMPLES = 14
SECONDS = 300.0


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what is wrong with it."""

    network: str
    """The network and the format of its file; `target` for the record itself."""
    check: str
    wrong: str | None
    """None if nothing is."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.wrong is None


class NotConforming(AssertionError):
    """A runtime does not keep to what everything else relies on; its message lists the findings."""

    def __init__(self, target: str, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        bad = [f"  {f.network}: {f.check}: {f.wrong}" for f in findings if not f.passed]
        super().__init__("\n".join([f"{target}: {len(bad)} of {len(findings)} checks failed", *bad]))


def check_runtime(name: str) -> tuple[Finding, ...]:
    """Try a target: names, shapes, types, values, batches, several inputs and outputs, determinism, memory, bad files, closing.

    Its loader is tried too, as a bundle runs it.

    >>> all(finding.passed for finding in check_runtime("onnxruntime-cpu"))
    True

    Args:
        name: the target, ours or of a plug-in that is installed.

    Returns:
        What was looked at; all of it passed.

    Raises:
        RequestError: there is no such target, or its plug-in cannot be used.
        TargetUnavailable: it does not work here; says why.
        NotConforming: something is wrong.
    """
    from tightship.testing.networks import made  # it needs torch

    target = find(name)
    found = probe(target)
    if not found.available:
        raise TargetUnavailable(f"{name} does not work here: {found.reason}.")
    findings = list(_record(target))
    for format_name in target.formats:
        for network, model in made().items():
            with tempfile.TemporaryDirectory(prefix="tightship-conformance-") as folder:
                findings += _network(target, format_name, f"{network} ({format_name})", model, Path(folder))
    everything = tuple(findings)
    if not all(finding.passed for finding in everything):
        raise NotConforming(name, everything)
    return everything


def _record(target: Target) -> list[Finding]:
    says, origin = target.runtime().target, TARGETS.origin(target.name)
    unknown = [name for name in (*target.formats, *target.also_opens) if name not in FORMATS]
    own = f"name {origin} under `libraries`, so that results of other versions are told apart"
    return [
        Finding("target", "the runtime says whose it is", None if says == target.name else f"it says {says!r}"),
        Finding("target", "its formats are known", f"there is no {unknown[0]!r}" if unknown else None),
        Finding("target", "a plug-in's version counts", own if origin and origin not in target.libraries else None),
    ]


def _network(target: Target, format_name: str, network: str, model: TorchModel, folder: Path) -> list[Finding]:
    for name in ("file", "engine", "bad"):
        (folder / name).mkdir()
    file = FORMATS.find(format_name).load()(model, folder / "file")
    engine = target.runtime().build(file, folder / "engine")
    fed, expected = _examples(model)
    save_arrays(folder / "inputs.npz", fed)
    save_arrays(folder / "expected.npz", expected)
    said = {
        "target": target.name, "path": str(engine.path), "signature": asdict(engine.signature), "options": dict(engine.options),
        "inputs": str(folder / "inputs.npz"), "expected": str(folder / "expected.npz"), "bad": None,
    }  # fmt: skip
    findings = [Finding(network, check, wrong) for check, wrong in _examined(target, said, folder)]
    if target.loader:
        findings.append(Finding(network, "the loader runs alone, as in a bundle", _alone(target, target.loader, said, folder)))
    for name, data in _spoilt(engine).items():
        shutil.rmtree(folder / "bad")
        shutil.copytree(engine.path.parent, folder / "bad")
        (folder / "bad" / engine.path.name).write_bytes(data)
        bad = {**said, "path": str(folder / "bad" / engine.path.name), "bad": f"{name} is refused in one sentence"}
        findings += [Finding(network, check, wrong) for check, wrong in _examined(target, bad, folder)]
    return findings


def _examples(model: TorchModel) -> tuple[Arrays, Arrays]:
    import torch

    from zoo.calling import call
    from zoo.outputs import named_outputs

    generator = np.random.default_rng(0)
    fed = {
        spec.name: generator.standard_normal(spec.concrete({"batch": EXAMPLES})).astype(spec.dtype)
        for spec in model.signature.inputs
    }
    with torch.no_grad():
        made = named_outputs(call(model.module, fed))
    return fed, {name: value.numpy() for name, value in made.items()}


def _spoilt(engine: Engine) -> dict[str, bytes]:
    whole, noise = engine.path.read_bytes(), np.random.default_rng(1).bytes(4096)
    return {"an empty file": b"", "a file of noise": noise, "half a file": whole[: len(whole) // 2]}


def _examined(target: Target, said: Mapping[str, object], folder: Path) -> list[tuple[str, str | None]]:
    """What was found, and last whether the process ended by itself."""
    (folder / "said.json").write_text(json.dumps(said))
    command, environment = target.command(examine.__name__, target.name, str(folder / "said.json"))
    with (folder / "out.log").open("wb") as out, (folder / "err.log").open("wb") as err:
        try:
            code: int | None = subprocess.run(command, stdout=out, stderr=err, env=environment, timeout=SECONDS).returncode
        except subprocess.TimeoutExpired:
            code = None
    lines = (folder / "out.log").read_text(errors="replace").splitlines()
    found = [json.loads(line.removeprefix(examine.FOUND)) for line in lines if line.startswith(examine.FOUND)]
    last = ((folder / "err.log").read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
    after = f" after {found[-1][0]!r}" if found else ""
    wrong = f"it did not end in {SECONDS:.0f} s{after}" if code is None else f"it died (exit code {code}){after}: {last}"
    return [*((str(check), wrong) for check, wrong in found), ("its process ends by itself", None if code == 0 else wrong)]


def _alone(target: Target, loader: str, said: Mapping[str, object], folder: Path) -> str | None:
    """What is wrong with the loader where nothing of ours but what is shipped with it can be imported."""
    place = folder / "alone"
    place.mkdir()
    ship([loader, *alone.NEEDS], place)
    shutil.copyfile(alone.__file__, place / "alone.py")
    ours = sorted({*OURS, *(path.name for path in (place / CODE).iterdir())})
    (place / "said.json").write_text(json.dumps({**said, "loader": loader, "ours": ours}))
    python = target.environment.require() if target.environment else sys.executable
    command = [str(python), str(place / "alone.py"), str(place / "said.json")]
    environment = target.command(examine.__name__)[1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, cwd=place, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"it ended with exit code {done.returncode}"])[-1]
    wrong: str | None = json.loads(done.stdout.strip().splitlines()[-1])
    return wrong
