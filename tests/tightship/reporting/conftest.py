"""Made-up runs as the report shows them, and ways to look at its views."""

import io
import shutil
import subprocess
from dataclasses import replace
from math import exp

import pytest
from rich.console import Console

from artifacts.records import evidence as ev
from tightship.reporting import pages
from tightship.reporting.views import html, terminal

TARGETS = ("torch-cpu", "onnxruntime-cpu", "openvino-cpu", "executorch-xnnpack", "torchscript-cpu", "inductor-cpu")
HOSTILE = "</script><script>alert(1)</script> \x1b[31mred\x00\x07 \u202eevil\ud800 [bold]x[/bold] :warning: | `a` <b>&"


def artifact_record(n, samples=2000, failed=False):
    target, precision = TARGETS[n % len(TARGETS)], ("fp32", "int8", "int8-qat", "bf16")[n // len(TARGETS) % 4]
    p50, size, reference = 1.73 / (1 + n % 11) ** 0.8 * (1 + 0.003 * n), 1_100_000 // (1 + n % 4), n == 0
    curve = tuple(p50 * (0.9 + 0.002 * q + 0.6 * exp((q - 100) / 3)) for q in range(101))
    p99 = curve[99] if samples >= 1000 else None
    latency = ev.LatencyRecord(p50, curve[90], p99, (0.98 * p50, 1.03 * p50), samples, 5, 1, 1, curve)
    ratio = 1.73 / p50
    shown = "faster" if ratio > 1.1 else "no difference shown"
    speedup = None if reference else ev.SpeedupRecord("torch-cpu/fp32", ratio, (0.97 * ratio, 1.03 * ratio), shown)
    lost, why = (0.021, "0.021 > 0.01") if failed else (0.0003, "ok")
    gates = (
        ev.GateRecord("accuracy_drop", 0.01, lost, not failed, why),
        ev.GateRecord("latency_p90_ms", 100, 1.1 * p50, True, f"{1.1 * p50:.3g} <= 100"),
        ev.GateRecord("size_mb", 50, size / 1e6, True, "ok"),
    )
    tolerance, accuracy = "max 1e-2, rms 1e-3 of the spread", 0.9173 - 0.0007 * (n % 7) - 0.02 * failed
    return ev.ArtifactRecord(
        *(f"{target}/{precision}" + (f"-{n}" if n >= 24 else ""), target, precision),
        *("reference" if reference else "compressed", "onnx", "model.onnx"),
        (ev.FileRecord("model.onnx", "ab" * 32, size - 1000), ev.FileRecord("model.onnx.data", "cd" * 32, 1000)),
        size,
        {},
        ev.ParityRecord(True, "float", 2e-4, 3e-5, 0.9998, tolerance, ("real, batch 1 and 8",)),
        ev.AccuracyRecord("accuracy", 0.9173, None, accuracy, 9979, "ef" * 32),
        latency,
        *(900 / p50, 32, 40.0 + n, {"load": 30.0, "first call": 10.0 + n}, 120.5 + n),
        ev.PlacementRecord({"QLinearConv": 21, "Add": 9}, {"Softmax": 1}, 0.013, "the runtime's own profile"),
        speedup,
        () if reference else gates,
        "reference" if reference else "fail" if failed else "pass",
    )


def evidence_record(count=9, samples=2000, failing=(3,), name="cifar10-resnet20"):
    artifacts = [artifact_record(n, samples, n in failing) for n in range(count)]
    good = [a for a in artifacts if a.verdict == "pass"]
    best = min(good, key=lambda a: a.latency_ms.p50, default=None)
    artifacts = [replace(a, verdict="ship") if a is best else a for a in artifacts]
    names = (best.id,) if best else ()
    reason = f"{best.id} passed every gate and is the fastest" if best else "no artifact passed its gates"
    figures = {"accuracy": 0.917, "parameters": 270e3, "macs": 41e6, "bytes": 1.1e6, "kd_loss": 0.31}
    steps = ("train", "distil", "prune", "quantize")
    versions = {"torch": "2.13.0"}
    return ev.Evidence(
        name=name,
        command="tightship run recipes/cifar10-resnet20.yaml --out runs/cifar10",
        recipe={"name": name, "model": {"zoo": "resnet", "depth": 20}, "compress": [{"prune": {"macs": 0.5}}]},
        recipe_sha256="12" * 32,
        machine=ev.Machine("Xeon", ("AVX2", "VNNI"), 2, 15.6, None, "Linux 6.1", "3.11.7", None, versions),
        data={"name": "cifar10", "examples": {"train": 50000, "test": 9979}},
        stages=tuple(ev.StageRecord(s, s, "99" * 32, s == "train", 120.0, f"what {s} did", figures) for s in steps),
        artifacts=tuple(artifacts),
        not_run=(ev.NotRun("tensorrt", "no NVIDIA GPU here"),),
        verdict=ev.Verdict(bool(best), names, best.id if best else None, (reason,)),
    )


@pytest.fixture(scope="session")
def make_artifact():
    """Makes the nth artifact of a run."""
    return artifact_record


@pytest.fixture(scope="session")
def make_evidence():
    """Makes a run of so many artifacts."""
    return evidence_record


@pytest.fixture
def hostile_evidence():
    """A failed run whose every name is an attack."""
    evidence = evidence_record(2, failing=(1,), name=HOSTILE)
    bad = replace(evidence.artifacts[1], id=HOSTILE, target=HOSTILE, precision=HOSTILE, notes=(HOSTILE,))
    bad = replace(bad, gates=tuple(replace(g, name=HOSTILE, reason=HOSTILE) for g in bad.gates))
    return replace(
        evidence,
        artifacts=(evidence.artifacts[0], bad),
        not_run=(ev.NotRun(HOSTILE, HOSTILE),),
        verdict=ev.Verdict(False, (HOSTILE,), HOSTILE, (HOSTILE,)),
        recipe={HOSTILE: HOSTILE},
        data={"name": HOSTILE},
    )


@pytest.fixture(scope="session")
def page():
    """Renders a run as a page."""

    def look(evidence):
        """The page without plotly.js, which holds map addresses that a plot without maps never asks for."""
        return html.render(evidence).replace(str(pages.plotly()), "")

    return look


@pytest.fixture(scope="session")
def printed():
    """Prints a run as the terminal shows it."""

    def look(evidence, width=120):
        out = io.StringIO()
        terminal.print_table(evidence, Console(file=out, width=width))
        return out.getvalue()

    return look


@pytest.fixture(scope="session")
def browse():
    """Opens a page in a browser."""

    def look(folder, text, script, width=800):
        """The page's DOM after this script ran in headless Chromium, once the plots were drawn; `width` in pixels."""
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if chromium is None:
            pytest.skip("no Chromium on the path")
        waiting = f"const t = setInterval(() => {{ if (document.body.dataset.ready) {{ clearInterval(t); {script} }} }}, 20);"
        (folder / "page.html").write_text(text.replace("</body>", f"<script>{waiting}</script></body>"))
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
            " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
        )
        flags += f" --window-size={width},900"
        command = [chromium, *flags.split(), f"--user-data-dir={folder / 'profile'}", str(folder / "page.html")]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return look
