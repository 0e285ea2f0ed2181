"""The evidence in plain words: the wording that all views share."""

import json
import re
from collections.abc import Iterable
from math import floor, isfinite, log10

from artifacts.records.evidence import (
    AccuracyRecord,
    ArtifactRecord,
    ConvertedRecord,
    Evidence,
    LatencyRecord,
    NotRun,
    ParityRecord,
    SpeedupRecord,
)
from artifacts.records.measured import SHARE

MISSING = "n/a"
"""What stands where nothing was measured."""

UNBOUNDED = 1e12
"""The upper end that the evidence states where nothing bounds an interval."""

VERDICT_ORDER = ("ship", "pass", "reference", "fail")

# control characters, bidirectional overrides, invisible marks, lone surrogates and noncharacters: they hide or
# reorder text, drive a terminal, or are illegal in XML
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
# a metric with one of these words in its name is not a share, even where its value lies between 0 and 1
_NOT_A_SHARE = re.compile("error|loss|mse|mae|perplexity|nll|psnr|distance", re.IGNORECASE)


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


def interval(bounds: tuple[float, float]) -> str:
    """A 95 % interval in brackets; a single process gives none, which the evidence states as an end of 10^12."""
    if not (isfinite(bounds[0]) and bounds[1] < UNBOUNDED):
        return "no interval"
    return f"[{number(bounds[0])}, {number(bounds[1])}]"


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


def is_share(accuracy: AccuracyRecord) -> bool:
    """Whether the metric is a share between 0 and 1, shown in percent and compared in points.

    Evidence of versions that recorded no unit is judged by the metric's name and values.
    """
    if accuracy.unit is not None:
        return accuracy.unit == SHARE
    values = [v for v in (accuracy.reference, accuracy.simulated, accuracy.deployed) if v is not None]
    return all(0 <= v <= 1 for v in values) and not _NOT_A_SHARE.search(accuracy.metric)


def score(value: float | None, accuracy: AccuracyRecord) -> str:
    """A value of the task's metric: a percentage if it is a share, else the number itself and its unit."""
    if is_share(accuracy):
        return percent(value)
    return f"{number(value, 4)} {clean(accuracy.unit)}" if accuracy.unit else number(value, 4)


def drop(accuracy: AccuracyRecord) -> float | None:
    """How much worse the deployed metric is than the reference: in points if it is a share; negative is a gain."""
    if accuracy.reference is None:
        return None
    return accuracy.lost(accuracy.deployed, accuracy.reference) * (100 if is_share(accuracy) else 1)


def drop_text(accuracy: AccuracyRecord) -> str:
    """The drop with its sign, such as `0.03`, or `-0.12` for a gain."""
    lost = drop(accuracy)
    if lost is None or not isfinite(lost):
        return MISSING
    # adding zero turns the negative zero that rounding leaves into zero
    return f"{round(lost, 2) + 0.0:.2f}" if is_share(accuracy) else number(lost)


def against_reference(accuracy: AccuracyRecord) -> str:
    """The deployed metric held against the reference, as a phrase."""
    lost = drop(accuracy)
    if lost is None:
        return "no reference accuracy was measured"
    unit = " points" if is_share(accuracy) else ""
    of = f"the reference ({score(accuracy.reference, accuracy)})"
    if abs(lost) < (0.005 if unit else 1e-9):
        return f"the same as {of}"
    amount = f"{abs(lost):.2f}" if unit else number(abs(lost))
    below = (lost > 0) == (accuracy.direction == "larger")
    return f"{amount}{unit} {'below' if below else 'above'} {of}"


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
    low, high = found.ci95
    share = f"{number(1 / found.ratio)} {interval((1 / high, 1 / low if low > 0 else 1e12))}"
    state = "" if found.verdict == "faster" else f" ({found.verdict})"
    return f"{share} of the latency of {clean(found.baseline)}{state}"


def float_ratio(record: ArtifactRecord) -> str:
    """The latency of the fp32 file on the same target in units of this one's, with its interval; empty where there is none."""
    found = record.versus_float
    if found is None:
        return ""
    state = "" if found.verdict == "faster" else f" {found.verdict}"
    return f"{number(found.ratio)} {interval(found.ci95)}{state}"


def stock_lines(evidence: Evidence) -> list[str]:
    """One sentence for each artifact that was measured beside a stock int8 file."""
    return [f"{clean(a.id)} takes {share}" for a in evidence.artifacts if (share := stock_share(a))]


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
