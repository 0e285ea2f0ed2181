"""ONNX Runtime Web: WebAssembly in a headless Chromium; calls are timed in the page, where the model runs."""

import re
import tempfile
from collections import Counter
from pathlib import Path

import psutil

from artifacts.environments import WEB
from artifacts.errors import TargetUnavailable
from artifacts.types import Arrays, Availability, Engine, Placement
from runtimes.base import Closes, Placed, Runtime, TimesItself
from runtimes.onnxruntime_web.browser import Browser, chromium

PROVIDER = "CPUExecutionProvider"
"""What ONNX Runtime calls its WebAssembly kernels."""

HEAVY = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "ConvTranspose")
REFORMAT = ("QuantizeLinear", "DequantizeLinear")


class WebSession(Placed, TimesItself, Closes):
    """A page that holds the model."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self._path, folder = engine.path, engine.path.parent
        dist = WEB.require() / "dist"
        sidecars = sorted(p.name for p in folder.iterdir() if p.is_file() and p != engine.path and p.suffix == ".data")
        self._job = {"model": f"/model/{engine.path.name}", "sidecars": sidecars, "threads": threads}
        self._places = {"ort": dist, "model": folder}
        self._browser = Browser(self._places)
        self.opened = self._browser.ask({"do": "open", "log": "error", **self._job})[0]
        """What the page said of itself: `agent`, `isolated`, and the model's `inputs` and `outputs`."""
        told, found = [spec.name for spec in engine.signature.outputs], self.opened["outputs"]
        # in order: a file cannot call an output as it calls an input
        self._outputs = dict(zip(told if len(told) == len(found) else found, found, strict=True))

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        made = self._browser.ask({"do": "run"}, inputs)[1]
        return {name: made[inside] for name, inside in self._outputs.items()}

    def timed(self, inputs: Arrays, seconds: float, calls: int) -> tuple[list[int], Arrays]:
        """Nanoseconds of calls by the page's own clock, and the outputs of the last; the way to the page is not in them."""
        header, made = self._browser.ask({"do": "time", "seconds": seconds, "calls": calls}, inputs)
        return list(header["times"]), {name: made[inside] for name, inside in self._outputs.items()}

    def cpu_ns(self) -> int:
        """CPU time that the browser's processes have used."""
        total = 0.0
        for process in self._browser.tree():
            try:
                used = process.cpu_times()
            except psutil.Error:
                continue  # it ended meanwhile
            total += used.user + used.system
        return int(total * 1e9)

    def peak_mb(self) -> float:
        """The largest resident set that one of the browser's page processes had, in MB: that of the page with the model."""
        peaks = [0]
        for process in self._browser.tree():
            try:
                if "--type=renderer" in process.cmdline():
                    text = Path(f"/proc/{process.pid}/status").read_text()
                    peaks += [int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")]
            except (OSError, psutil.Error):
                continue  # it ended meanwhile
        return max(peaks) * 1024 / 1e6

    def placement(self) -> Placement:
        """Operators after ONNX Runtime's own fusions; see `place`."""
        second = Browser(self._places)
        try:
            said = second.ask({"do": "open", "log": "verbose", **self._job})[0]["said"]
        finally:
            second.close()
        return place(self._path, said)

    def close(self) -> None:
        """End the browser."""
        self._browser.close()


def place(path: Path, said: list[str]) -> Placement:
    """The operators of a session, from its log and from what ONNX Runtime's optimizer makes of the file.

    The log gives their number only. Their kinds are those of the Python package's optimizer, at the level that leaves as many.
    """
    told = re.findall(r"All nodes placed on \[(\w+)\]\. Number of nodes: (\d+)", "\n".join(said))
    if not told or told[-1][0] != PROVIDER:
        return Placement({}, {}, "ONNX Runtime Web's log does not say where operators run")
    number = int(told[-1][1])
    for level in ("ALL", "EXTENDED", "BASIC"):
        counts = _optimized(path, level)
        if sum(counts.values()) == number:
            how = f"{number} operators by ONNX Runtime Web's log; kinds by onnxruntime's optimizer, which leaves as many"
            return _sort(counts, how)
    return Placement({"unnamed": number}, {}, "ONNX Runtime Web's log, which does not name operators")


def _optimized(path: Path, level: str) -> Counter[str]:
    """How many operators of each kind are left when a file's graph was optimized."""
    import onnx
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    with tempfile.TemporaryDirectory() as folder:
        settings.optimized_model_filepath = f"{folder}/optimized.onnx"
        ort.InferenceSession(str(path), settings, providers=[PROVIDER])
        graph = onnx.load(settings.optimized_model_filepath, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node)


def _sort(counts: Counter[str], how: str) -> Placement:
    """In an int8 file layers that run in float, and conversions beyond the first and the last, have fallen back."""
    if not any(name.startswith("QLinear") for name in counts):
        return Placement(dict(counts), {}, how)
    outside = {name: counts[name] for name in HEAVY if counts[name]}
    outside |= {name: counts[name] - 1 for name in REFORMAT if counts[name] > 1}
    inside = {name: n - outside.get(name, 0) for name, n in counts.items() if n > outside.get(name, 0)}
    return Placement(inside, outside, how)


class OnnxRuntimeWeb(Runtime):
    """ONNX Runtime Web on WebAssembly."""

    target = "onnxruntime-web"
    session = WebSession

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        try:
            WEB.require()
        except TargetUnavailable as error:
            return Availability(False, str(error))
        if chromium() is None:
            return Availability(False, "there is no Chromium: apt-get install chromium, or name it in TIGHTSHIP_CHROMIUM")
        return Availability(True, f"onnxruntime-web {WEB.version('onnxruntime-web')}, {chromium()}")

    def open(self, engine: Engine, threads: int) -> WebSession:
        """See `runtimes.base.Runtime`.

        Raises:
            TargetUnavailable: the browser or the package is missing.
            ModelError: ONNX Runtime Web cannot open the file.
        """
        return WebSession(engine, threads)
