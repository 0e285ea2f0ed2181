"""The page: self-contained, safe with hostile names, its plots honest about what failed and what was not measured."""

import json
import re
import sys
from dataclasses import replace

from artifacts.records import evidence as ev
from tightship.reporting.formatting import ordered
from tightship.reporting.plots import figures
from tightship.reporting.plots.label_placement import positions
from tightship.reporting.views import html


def test_report_has_no_network_references(make_evidence, page):
    text = page(make_evidence())
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|//cdn|@import|url\(|<link[^>]+stylesheet|\ssrc=", text)
    assert "showSendToCloud: false" in text
    assert set(re.findall(r'href="([^"]{0,6})', text)) <= set(re.findall(r'href="(#[^"]{0,5}|data:,)', text))


def test_script_tag_in_a_model_name_stays_text(hostile_evidence, page):
    text = page(hostile_evidence)
    assert text.lower().count("<script") == text.lower().count("</script") == 4
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text
    json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1])


def test_the_work_of_rendering_grows_with_the_artifacts_and_no_faster(make_evidence):
    def calls(count):
        evidence, done = make_evidence(count), 0

        def counted(frame, event, value):
            nonlocal done
            done += event == "call"

        sys.setprofile(counted)
        try:
            html.render(evidence)
        finally:
            sys.setprofile(None)
        return done

    calls(1)  # what is made once and kept
    assert calls(200) < 9 * calls(25)


def test_pareto_front_leaves_out_failed_and_beaten_artifacts(make_evidence):
    front = figures.front(make_evidence(24).artifacts)
    assert all(a.verdict != "fail" for a in front)
    scores = [a.accuracy.deployed for a in front]
    assert scores == sorted(set(scores))


def test_a_stock_file_whose_parity_failed_is_hollow_and_on_no_front(make_evidence):
    evidence = make_evidence(3, failing=())
    quickest = min(evidence.artifacts, key=lambda a: a.latency_ms.p50)
    stock = replace(quickest, verdict="reference", parity=replace(quickest.parity, passed=False, first_bad="'conv1'"))
    artifacts = tuple(stock if a is quickest else a for a in evidence.artifacts)
    assert quickest in figures.front(evidence.artifacts)
    assert stock not in figures.front(artifacts)
    drawn = figures.tradeoff(replace(evidence, artifacts=artifacts))["data"]
    symbols = {x: s for t in drawn if "customdata" in t for x, s in zip(t["x"], t["marker"]["symbol"], strict=True)}
    assert [x for x, symbol in symbols.items() if symbol.endswith("-open")] == [stock.latency_ms.p50]


def test_figures_are_json_even_with_numbers_that_are_not(make_evidence, page):
    evidence = make_evidence(2)
    broken = replace(evidence.artifacts[1].accuracy, deployed=float("nan"))
    evidence = replace(evidence, artifacts=(evidence.artifacts[0], replace(evidence.artifacts[1], accuracy=broken)))
    assert "NaN" not in re.search(r'id="figures">(.*?)</script>', page(evidence), re.S)[1]


def test_a_disturbed_run_says_so_beside_the_verdict(make_evidence, page):
    quiet = ev.NoiseRecord(False, 30, 0, 2, (), 2, 0.1, 0.0, None, 0.01, 3, 1.1, None, None, 41)
    noisy = replace(quiet, disturbed=True, disturbed_turns=12, reasons=("other processes ran",))
    verdicts = [page(replace(make_evidence(), noise=n)).partition("<dl class")[0] for n in (None, quiet, noisy)]
    assert ["12 of 30 turns" in v and "other processes ran" in v for v in verdicts] == [False, False, True]
    assert "not recorded" in page(make_evidence())


def test_what_surrounded_the_calls_is_shown(make_evidence, page):
    seen = ev.PlacementRecord({"Conv": 3}, {"Softmax": 1}, 0.25, "the runtime's model; 7% of the time outside")
    warm = ev.WarmupRecord((12, 15), (1.25, 1.5), False)
    parts = {"first_run": 3.0, "process": 20.0, "import": 900.0}
    evidence = make_evidence(2, failing=())
    artifact = replace(
        evidence.artifacts[1],
        placement=seen,
        warmup=warm,
        rss_load_mb=51.3,
        rss_run_mb=64.2,
        cold_start_parts_ms=parts,
        activation_bytes=196_608.0,
    )
    text = page(replace(evidence, artifacts=(replace(evidence.artifacts[0], cold_start_parts_ms={}), artifact)))
    for shown in ("7 % of time", "not stable after 15 calls, 1.50 ms", "load 51.3", "run 64.2", "197 kB"):
        assert shown in text
    cold = text[text.index('id="table-cold"') :].partition("</table>")[0]
    assert re.findall(r"<button[^>]*>([^<]*)", cold)[2:] == [
        "Starting the process, ms", "Importing the runtime, ms", "First inference, ms"
    ]  # fmt: skip
    assert [re.findall(r'data-v="([^"]*)"', row)[1:] for row in cold.split("<tr>")[2:]] == [
        ["20.0", "900.0", "3.0"],
        ["", "", ""],
    ]


def test_one_process_has_no_interval_anywhere(make_artifact, make_evidence, page):
    latency = replace(make_artifact(1).latency_ms, ci95=(0.0, 1e12), processes=1)
    evidence = make_evidence(2, failing=())
    text = page(replace(evidence, artifacts=tuple(replace(a, latency_ms=latency) for a in evidence.artifacts)))
    assert "no interval" in text
    assert not re.search(r"1,000,000,000,000|999999999999|1e\+?12", text)


def test_names_in_the_plot_do_not_cover_each_other():
    near = [(1.0, 0.5), (1.001, 0.5), (1.002, 0.5), (1.003, 0.5), (1.004, 0.5), (5.0, 0.5)]
    places = positions(near, ["int8-ptq"] * 6, log=True)
    assert places[0] == places[5] == "bottom center"
    assert places[1] == "top center"
    assert None in places


def test_names_do_not_cover_the_mark_of_the_best():
    points, texts = [(1.0, 0.5), (1.1, 0.5)], ["fp32", "int8-ptq"]
    free = positions(points, texts, log=True)
    # the note lies where the first name would stand
    assert positions(points, texts, log=True, note=(0, "best", 0, 19.0))[0] != free[0] == "bottom center"
    assert positions(points, texts, log=True, note=(0, "best", 0, -200.0)) == free


def test_the_trade_off_says_where_the_mark_of_the_best_stands(make_evidence, monkeypatch):
    asked = []
    monkeypatch.setattr(figures, "positions", lambda points, texts, log, note: asked.append(note) or [None] * len(texts))
    evidence = make_evidence(9)
    mark = figures.tradeoff(evidence)["layout"]["annotations"][0]
    number, text, *offset = asked[0]
    assert ordered(evidence.artifacts)[number].id == evidence.verdict.best
    assert text == f"best: {evidence.verdict.best}"
    assert offset == [mark["ax"], mark["ay"]]
