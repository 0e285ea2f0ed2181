"""The evidence in plain words: the wording that all views share."""

import json
import re
from collections.abc import Iterable
from math import floor, isfinite, log10

from artifacts.records.evidence import (
    ArtifactRecord,
    ConvertedRecord,
    Evidence,
    LatencyRecord,
    NotRun,
    ParityRecord,
    SpeedupRecord,
)
from artifacts.records.measured import Bounds, upper_end

MISSING = "n/a"
"""What stands where nothing was measured."""

VERDICT_ORDER = ("ship", "pass", "reference", "fail")

# control characters, bidirectional overrides, invisible marks, lone surrogates and noncharacters: they hide or
# reorder text, drive a terminal, or are illegal in XML
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def scrub(text: str) -> str:
    """The text without characters that hide, reorder or control; line breaks and tabs stay."""
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def clean(text: str) -> str:
    """The text on one line, without characters that hide, reorder or control."""
    return " ".join(scrub(text).split())


def number(value: float | None, digits: int = 3) -> str:
    """A number with this many significant digits and thousands separated; in powers of ten below a thousandth."""
    if value is None or not isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.{digits - 2}e}"
    return f"{value:,.{max(0, digits - 1 - floor(log10(abs(value))))}f}"


def short(value: float | None) -> str:
    """A number as it was asked for: up to six significant digits, without the zeros that say nothing."""
    if value is not None and abs(value) < 1e-3:
        return f"{value:.6g}"
    text = number(value, 6)
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval(bounds: Bounds) -> str:
    """A 95 % interval in brackets; a single process gives none, so it has no upper end."""
    low, high = bounds[0], upper_end(bounds)
    if high is None or not isfinite(low):
        return "no interval"
    return f"[{number(low)}, {number(high)}]"


def size(count: float | None) -> str:
    """Bytes in decimal units: kB, MB, GB."""
    if count is None or not isfinite(count):
        return MISSING
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{number(count / limit)} {unit}"
    return f"{count:.0f} bytes"


def percent(share: float | None, decimals: int = 2) -> str:
    """A share between 0 and 1 as a percentage."""
    return MISSING if share is None or not isfinite(share) else f"{100 * share:.{decimals}f} %"


def p99_value(latency: LatencyRecord) -> float | None:
    """The 99th percentile, and none from fewer than 1000 samples even where one was recorded."""
    return latency.p99 if latency.samples >= 1000 else None


def p99(latency: LatencyRecord) -> str:
    """The 99th percentile in milliseconds, or why there is none."""
    return f"{MISSING} (<1000 samples)" if latency.samples < 1000 else number(latency.p99)


def speedup(record: ArtifactRecord) -> str:
    """The measured speed-up as a phrase; `faster` only where the interval of the ratio showed it."""
    return compared(record.speedup) if record.speedup else "no speed-up was measured"


def compared(found: SpeedupRecord) -> str:
    """A ratio of latencies as a phrase; `faster` and `slower` only where its interval showed it."""
    figures = f"{number(found.ratio)}× {interval(found.ci95)}"
    if found.verdict == "no difference shown":
        return f"no difference shown against {clean(found.baseline)}: ratio {figures}"
    return f"{found.verdict} than {clean(found.baseline)}: ratio {figures}"


def stock_share(record: ArtifactRecord) -> str | None:
    """The share of the stock int8 file's latency that this one takes, with its interval; None where none was measured."""
    found = record.versus_stock
    if found is None:
        return None
    low, high = found.ci95[0], upper_end(found.ci95)
    share = f"{number(1 / found.ratio)} {interval((1 / high if high else 0.0, 1 / low if low > 0 else None))}"
    state = "" if found.verdict == "faster" else f" ({found.verdict})"
    return f"{share} of the latency of {clean(found.baseline)}{state}"


def float_ratio(record: ArtifactRecord) -> str:
    """The latency of the fp32 file on the same target in units of this one's, with its interval; empty where there is none."""
    found = record.versus_float
    if found is None:
        return ""
    state = "" if found.verdict == "faster" else f" {found.verdict}"
    return f"{number(found.ratio)} {interval(found.ci95)}{state}"


def reference_of(evidence: Evidence, record: ArtifactRecord) -> ArtifactRecord | None:
    """The reference artifact that this one is compared with: its speed-up's baseline if that is one, else the first."""
    references = [a for a in evidence.artifacts if a.role == "reference"]
    baseline = record.speedup.baseline if record.speedup else None
    return next((a for a in references if a.id == baseline), references[0] if references else None)


def bytes_against_reference(evidence: Evidence, record: ArtifactRecord) -> str:
    """The shipped bytes held against those of the reference artifact, as a phrase."""
    reference = reference_of(evidence, record)
    if reference is None or not reference.bytes:
        return "no reference artifact to compare with"
    share = record.bytes / reference.bytes
    return f"{percent(share, 1)} of the reference ({size(reference.bytes)}, {clean(reference.id)})"


def best_of(evidence: Evidence) -> ArtifactRecord | None:
    """The artifact that the verdict calls best."""
    return next((a for a in evidence.artifacts if a.id == evidence.verdict.best), None)


def ordered(artifacts: Iterable[ArtifactRecord]) -> list[ArtifactRecord]:
    """The artifacts as a decision needs them: shipped first, failed last, the fastest first within each."""
    return sorted(artifacts, key=lambda a: (VERDICT_ORDER.index(a.verdict), a.latency_ms.p50))


def options_text(record: ArtifactRecord) -> str:
    """How the runtime opened it, where that is not its default: `graph_level basic, spinning false`."""
    return ", ".join(clean(f"{name} {json.dumps(value).strip(chr(34))}") for name, value in record.options.items())


def failures(record: ArtifactRecord) -> list[tuple[str, str]]:
    """What this artifact failed, as name and reason: its gates, and parity where no gate says so already."""
    found = [(gate.name, gate.reason) for gate in record.gates if not gate.passed]
    if not record.parity.passed and all(name != "parity" for name, _ in found):
        found.append(("parity", parity_reason(record.parity)))
    return found


def failed(record: ArtifactRecord) -> bool:
    """Whether it failed: by its verdict, or by the parity of one that is not judged, such as a stock file."""
    return record.verdict == "fail" or not record.parity.passed


def parity_reason(parity: ParityRecord) -> str:
    """How far the outputs are apart, and where that starts if it is known."""
    where = f", first bad: {clean(parity.first_bad)}" if parity.first_bad else ""
    apart = f"max error {number(parity.max_error)} spreads of the output"
    return f"outputs differ from the {clean(parity.against)} model: {apart}{where}"


def absence(missing: NotRun) -> str:
    """Why a target was not run, and whether its files were made all the same."""
    state = "converted, not run" if missing.converted else "not run"
    return f"{state}: {clean(missing.reason)}"


def conversion(file: ConvertedRecord) -> str:
    """One file that was made for a target that was not run, with all that was checked of it."""
    checked = "; ".join(f"{clean(name)}: {clean(found)}" for name, found in file.checked.items())
    return f"{clean(file.id)}: {size(file.bytes)} at {clean(file.main)}; checked without running it: {checked}"


def headline(evidence: Evidence) -> str:
    """The verdict in a few words; of a run that was cut down, that it speaks for a part of the recipe only."""
    asked = len(evidence.asked_for)
    part = f" (only {asked} target{'s' if asked != 1 else ''} of the recipe asked for)" if asked else ""
    return _headline(evidence) + part


def _headline(evidence: Evidence) -> str:
    verdict = evidence.verdict
    if not evidence.artifacts:
        return "Nothing to ship: no artifact was built"
    if verdict.passed:
        return f"Ship {clean(verdict.best)}" if verdict.best else "Passed, but no artifact is named to ship"
    if verdict.shipped:
        return "Do not ship yet: part of the run failed"
    return "Do not ship: no artifact passed"
