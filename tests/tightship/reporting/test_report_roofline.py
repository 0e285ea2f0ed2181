"""The roofline in evidence and report: what a run records, what is said of it, what stands where nothing is known."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest

from artifacts.records.evidence import read_evidence
from artifacts.records.roofline import BandwidthRecord, LayerCost, PeakRecord, PeaksRecord, RooflineRecord
from tightship.reporting import pages
from tightship.reporting.sections.speed.roofline import absent, meaning, roofline_figure, roofline_rows
from tightship.reporting.views import html

HOSTILE = "</script><script>alert(1)</script>`<b>&"
PEAKS = PeaksRecord(
    1, 4.0, 32.0, tuple(PeakRecord("onnxruntime-cpu", p, rate, "a", ("a",)) for p, rate in (("fp32", 50.0), ("int8", 200.0))),
    (BandwidthRecord("memory", 10.0, 128.0), BandwidthRecord("cache", 80.0, 8.0)),
)  # fmt: skip
FOUND = RooflineRecord(
    macs=62e6, bytes_moved=1e6, gmac_per_s=62.0, compute_share=0.31, memory_share=0.02, memory="cache", bound="compute",
    peak_target="onnxruntime-cpu", peak_precision="int8", reasons=(),
    layers=(LayerCost("node_conv2d_3", "QLinearConv", "layer1.0.conv1", 0.25, 0.5, 40_000_000, 0.8),
            LayerCost("node_add", "QLinearAdd", None, 0.1, 0.2, None, None)),
    layer_count=12, layers_ms=0.5, light_share=0.2, layers_how="as given",
)  # fmt: skip


def text_of(page):
    """The page's own words, without the library that draws."""
    return unescape(page.replace(str(pages.plotly()), ""))


def figures_of(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S)[1])


def test_the_section_shows_one_artifact(artifact, evidence_of):
    evidence = replace(evidence_of(artifact(roofline=FOUND)), peaks=PEAKS)
    page = html.render(evidence)
    text = text_of(page)
    assert "reaches 31 % of what this machine's int8 kernels can do: there is something left" in text
    assert "layer1.0.conv1" in text
    assert "2 of 12 layers, 70 % of their 0.500 ms" in text
    assert not re.search(r"<details open[^>]*><summary>onnxruntime-cpu/fp32: 2 of 12", text)
    figure = figures_of(page)["roofline"]
    assert (figure["layout"]["xaxis"]["type"], figure["layout"]["yaxis"]["type"]) == ("log", "log")
    point = next(t for t in figure["data"] if t["mode"] == "markers")
    assert (point["x"], point["y"]) == ([62.0], [62.0])


def test_the_roofs_are_where_they_were_measured(artifact, evidence_of):
    data = roofline_figure(replace(evidence_of(artifact(roofline=FOUND)), peaks=PEAKS))["data"]
    lines = [t for t in data if t["mode"] == "lines"]
    for line, bandwidth in zip(lines[:2], (10.0, 80.0), strict=True):
        assert [y / x for x, y in zip(line["x"], line["y"], strict=True)] == pytest.approx([bandwidth] * 2)
    assert [set(line["y"]) for line in lines[2:]] == [{50.0}, {200.0}]


def test_an_earlier_run_says_why_it_has_none(artifact, evidence_of):
    evidence = evidence_of(artifact())
    assert absent(evidence) in text_of(html.render(evidence))
    assert "roofline" not in figures_of(html.render(evidence))
    assert absent(evidence_of()) == "No artifact was measured."


def test_without_peaks_the_layers_still_stand(artifact, evidence_of):
    bare = replace(FOUND, compute_share=None, memory_share=None, bound=None, reasons=("MACs are not known",))
    page = html.render(evidence_of(artifact(roofline=bare)))
    assert "MACs are not known" in page
    assert "layer1.0.conv1" in page
    assert "roofline" not in figures_of(page)


def test_a_runtime_without_layers_is_named_with_the_reason(artifact, evidence_of):
    silent = replace(FOUND, layers=(), layer_count=0, layers_ms=None, light_share=None, layers_how="this runtime does not say")
    text = text_of(html.render(replace(evidence_of(artifact(roofline=silent)), peaks=PEAKS)))
    assert "No runtime of this run says what each layer takes." in text
    assert "onnxruntime-cpu/fp32 (this runtime does not say)." in text


def test_names_of_layers_stay_text(artifact, evidence_of):
    layer = LayerCost(HOSTILE, HOSTILE, HOSTILE, 0.2, 1.0, 1, 0.1)
    hostile = replace(FOUND, layers=(layer,), layers_how=HOSTILE, reasons=(HOSTILE,), compute_share=None)
    peaks = replace(PEAKS, compute=(replace(PEAKS.compute[0], best=HOSTILE, target=HOSTILE),))
    page = html.render(replace(evidence_of(artifact(HOSTILE, roofline=hostile)), peaks=peaks))
    own = page.replace(str(pages.plotly()), "")
    assert own.lower().count("<script") == own.lower().count("</script") == 4
    figures_of(page)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"compute_share": 0.71}, "little is left to win but by fewer MACs"),
        (
            {"compute_share": 0.02, "layers_ms": 1.2, "layer_count": 100},
            "a fixed cost per layer: 100 layers of 10 µs on average",
        ),
        ({"compute_share": 0.02, "light_share": 0.4}, "40 % of the layers' time is in layers that multiply nothing"),
        ({"compute_share": 0.02}, "50 % of the latency is spent outside the layers, a fixed cost of each call"),
        ({"bound": "memory", "memory": "memory", "memory_share": 0.9}, "90 % of what the bandwidth of memory can do"),
        ({"compute_share": 1.2}, "more than the measured peak, which other work on the machine held down"),
        ({"compute_share": 1.2, "peak_target": "x"}, "more than the measured peak, which is that of x, not of this runtime"),
        (
            {"compute_share": None, "bound": None, "memory_share": None, "reasons": ("MACs are not known",)},
            "MACs are not known",
        ),
    ],
)
def test_one_sentence_says_what_it_means(artifact, change, says):
    assert says in meaning("onnxruntime-cpu", artifact().latency_ms.p50, replace(FOUND, **change))


def test_a_disturbed_peak_stands_in_the_section_and_in_the_sentence(artifact, evidence_of):
    why = "the int8 peak may be too low and this share too high: while it was measured, other processes ran"
    assert meaning("onnxruntime-cpu", 0.5, replace(FOUND, reasons=(why,))).endswith(why)
    peaks = replace(PEAKS, compute=(replace(PEAKS.compute[0], disturbed=("other processes ran",)), PEAKS.compute[1]))
    quiet, loud = (text_of(html.render(replace(evidence_of(artifact(roofline=FOUND)), peaks=p))) for p in (PEAKS, peaks))
    assert loud.count("other processes ran at every visit, so it may be too low") == 1
    assert "at every visit" not in quiet


def test_evidence_with_a_roofline_reads_back_and_older_evidence_reads(artifact, evidence_of, tmp_path):
    evidence = replace(evidence_of(artifact(roofline=FOUND)), peaks=PEAKS)
    evidence.write(tmp_path / "evidence.json")
    assert read_evidence(tmp_path / "evidence.json") == evidence
    value = json.loads((tmp_path / "evidence.json").read_text())
    del value["peaks"], value["artifacts"][0]["roofline"]
    (tmp_path / "evidence.json").write_text(json.dumps(value))
    old = read_evidence(tmp_path / "evidence.json")
    assert (old.peaks, old.artifacts[0].roofline) == (None, None)


def test_a_run_records_peaks_work_and_layers(tiny_run):
    evidence = read_evidence(tiny_run.out / "evidence.json")
    macs = {s.name: s.metrics["macs"] for s in evidence.stages if "macs" in s.metrics}
    assert [p.precision for p in evidence.peaks.compute] == ["fp32", "int8"]
    assert {p.target for p in evidence.peaks.compute} == {"onnxruntime-cpu"}
    for record in evidence.artifacts:
        found = record.roofline
        assert found.macs == macs["reference" if record.id.endswith("reference") else "prune"]
        assert found.gmac_per_s == pytest.approx(found.macs / record.latency_ms.p50 / 1e6)
        if record.target == "onnxruntime-cpu":
            assert 0 < sum(layer.share for layer in found.layers) <= 1.000001
            assert any(layer.layer == "conv1" or (layer.layer or "").startswith("layer") for layer in found.layers)
        else:
            assert found.layers == ()
            assert "does not say" in found.layers_how
    assert len(roofline_rows(evidence)) == len(evidence.artifacts)
