"""Which layers of an int8 file lose how much, in words: what `tightship inspect` and the HTML report show of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from artifacts.records.evidence import AccuracyRecord, ArtifactRecord, Evidence
from artifacts.records.sensitivity import LossRecord, SensitiveLayer, SensitivityRecord
from tightship.reporting.formatting import MISSING, clean, number, ordered, percent, size
from tightship.reporting.pages import TEMPLATES
from tightship.reporting.scores import is_share
from tightship.reporting.sections.accuracy_guard import lost
from tightship.reporting.sections.base import Section

HOW_TO = "say `measure: {sensitivity: true}` in the recipe, or ask `tightship inspect RECIPE --sensitivity`"


@dataclass(frozen=True)
class Row:
    """The layers of one artifact."""

    artifact: ArtifactRecord
    found: SensitivityRecord
    means: str
    """What to do with it, in one sentence."""
    note: str
    """How it was measured."""


def sensitivity_rows(evidence: Evidence) -> list[Row]:
    """The artifacts of which it is known, in the order of the table of artifacts."""
    known = [(a, a.sensitivity) for a in ordered(evidence.artifacts) if a.sensitivity is not None]
    return [Row(a, found, advice(found), measured(found)) for a, found in known]


def absent(evidence: Evidence) -> str | None:
    """Why there is nothing to show, and how to get it; none where there is something."""
    if any(a.sensitivity for a in evidence.artifacts):
        return None
    if not any(a.precision.startswith("int8") and a.role == "compressed" for a in evidence.artifacts):
        return "No artifact of this run is in int8 by calibration or training."
    return f"Not measured, because it takes time: {HOW_TO}."


def measured(found: SensitivityRecord) -> str:
    """How it was measured, and what the whole file and what lies between its layers lose."""
    between = "" if found.between_db is None else f" With all of them in float {number(found.between_db)} dB are left."
    already = f" In float already: {', '.join(map(clean, found.in_float))}." if found.in_float else ""
    return (
        f"The whole file: {number(found.whole.sqnr_db)} dB, {_loss(found, found.whole)}. "
        f"Each layer alone in int8, run by the target's runtime on {found.examples:,} held-out training examples."
        f"{between}{already}"
    )


def advice(found: SensitivityRecord) -> str:
    """What the ranking says to do, held against what doing it was measured to give."""
    whole, kept = found.whole, found.kept
    if not found.keep:
        return (
            "No few layers make most of the noise, so keeping some in float would win little; try another `calibrator` where "
            "the target heeds one, `qat_epochs`, or `max_drop` for the accuracy guard."
        )
    names = ", ".join(map(clean, (*found.in_float, *found.keep)))
    what = f"`quantize: {{keep_float: [{names}]}}`"
    if kept is None:
        return f"{clean(found.layers[0].layer)} makes most of the noise, but with it in float nothing is left in int8."
    effect = f"{number(whole.sqnr_db)} to {number(kept.sqnr_db)} dB"
    cost = f"{size(whole.bytes)} to {size(kept.bytes)}"
    if whole.drop is not None and whole.drop <= 2 * (whole.error or 0.0):
        return (
            f"These examples show no loss ({_loss(found, whole)}), so nothing need be in float; if the test set shows one, "
            f"{what} brings the SQNR from {effect} and the file from {cost}."
        )
    if whole.drop is not None and (kept.drop is None or whole.drop - kept.drop <= (whole.error or 0.0)):
        tried = f"{what} was tried and wins back nothing that these examples show"
        return f"{tried} ({_change(found, whole, kept)}, SQNR from {effect}); try `max_drop`, the accuracy guard."
    return (
        f"{what}: measured, it brings {_change(found, whole, kept)}, the SQNR from {effect} and the file from {cost}; "
        "run it to see what it costs in latency."
    )


def as_rows(found: SensitivityRecord) -> list[list[str]]:
    """A line for each layer as text: the cells of `heads`."""
    return [_cells(found, layer) for layer in found.layers]


def heads(found: SensitivityRecord) -> list[str]:
    """The columns of `as_rows`."""
    return ["layer", "SQNR dB", f"drop{unit(found)}", "std. error", "of the noise", "MACs", "float bytes"]


def as_json(artifact: str, found: SensitivityRecord) -> dict[str, object]:
    """The record as plain values, with the advice."""
    return {"artifact": artifact, **asdict(found), "advice": advice(found)}


def amount(found: SensitivityRecord, value: float | None) -> str:
    """A drop, or its error, in points if the metric is a share."""
    return MISSING if value is None else lost(value, _accuracy(found))


def _cells(found: SensitivityRecord, layer: SensitiveLayer) -> list[str]:
    weight = [f"{layer.macs:,}", f"{layer.bytes:,}"]
    if layer.sqnr_db is None:
        return [clean(layer.layer), *(MISSING,) * 4, *weight]
    shown = [f"{layer.sqnr_db:.1f}", amount(found, layer.drop), amount(found, layer.error), percent(layer.noise_share, 1)]
    return [clean(layer.layer), *shown, *weight]


def _loss(found: SensitivityRecord, loss: LossRecord) -> str:
    if loss.drop is None:
        return "and outputs that are no numbers"
    points = " points" if unit(found) else ""
    return f"a drop of {amount(found, loss.drop)}{points} (standard error {amount(found, loss.error)}) of {clean(found.metric)}"


def _change(found: SensitivityRecord, whole: LossRecord, kept: LossRecord) -> str:
    points = " points" if unit(found) else ""
    return f"the drop from {amount(found, whole.drop)} to {amount(found, kept.drop)}{points}"


def unit(found: SensitivityRecord) -> str:
    """What `amount` counts in: `, points`, or nothing."""
    return ", points" if is_share(_accuracy(found)) else ""


def _accuracy(found: SensitivityRecord) -> AccuracyRecord:
    """The metric in the form that tells whether it is a share."""
    return AccuracyRecord(found.metric, found.reference, None, found.reference, found.examples, "", unit=found.unit)


def _data(evidence: Evidence) -> Mapping[str, object]:
    return {
        "sensitivity_rows": sensitivity_rows(evidence),
        "no_sensitivity": absent(evidence),
        "amount": amount,
        "unit": unit,
    }


SENSITIVITY = Section(
    "sensitivity",
    "Sensitivity",
    "Sensitivity and cost of layers",
    1000,
    TEMPLATES / "sections" / "sensitivity.html.j2",
    _data,
)
