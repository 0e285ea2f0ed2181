"""The report's promises: self-contained, safe with hostile names, honest about what was not measured."""

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from math import exp
from xml.etree import ElementTree

import pytest
from rich.console import Console

from artifacts import evidence as ev
from tightship.report import figures, html, junit, markdown, pages, terminal, words, write_views
from tightship.report.placing import positions

TARGETS = ("torch-cpu", "onnxruntime-cpu", "openvino-cpu", "executorch-xnnpack", "torchscript-cpu", "inductor-cpu")
HOSTILE = "</script><script>alert(1)</script> \x1b[31mred\x00\x07 \u202eevil\ud800 [bold]x[/bold] :warning: | `a` <b>&"


def make_artifact(n, samples=2000, failed=False):
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


def make_evidence(count=9, samples=2000, failing=(3,), name="cifar10-resnet20"):
    artifacts = [make_artifact(n, samples, n in failing) for n in range(count)]
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


def hostile_evidence():
    evidence = make_evidence(2, failing=(1,), name=HOSTILE)
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


def page(evidence):
    """The page without plotly.js, which holds map addresses that a plot without maps never asks for."""
    return html.render(evidence).replace(str(pages.plotly()), "")


def printed(evidence, width=120):
    out = io.StringIO()
    terminal.print_table(evidence, Console(file=out, width=width))
    return out.getvalue()


def test_report_has_no_network_references():
    text = page(make_evidence())
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|//cdn|@import|url\(|<link[^>]+stylesheet|\ssrc=", text)
    assert "showSendToCloud: false" in text
    assert set(re.findall(r'href="([^"]{0,6})', text)) <= set(re.findall(r'href="(#[^"]{0,5}|data:,)', text))


def test_script_tag_in_a_model_name_stays_text():
    text = page(hostile_evidence())
    assert text.lower().count("<script") == text.lower().count("</script") == 4
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text
    json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1])


def test_names_reach_the_terminal_as_they_are():
    assert printed(hostile_evidence()).count("[bold]x[/bold] :warning:") >= 4


def test_no_view_lets_control_characters_through():
    evidence = hostile_evidence()
    for text in (page(evidence), printed(evidence), markdown.summary(evidence), junit.render(evidence)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
        text.encode()


@pytest.mark.parametrize("count", [0, 1, 9, 200])
def test_any_number_of_artifacts_renders(count):
    evidence = make_evidence(count)
    text = page(evidence)
    assert text.count("<tr class=") >= count
    assert all(a.id in text for a in evidence.artifacts)
    assert printed(evidence)
    assert markdown.summary(evidence)
    assert ElementTree.fromstring(junit.render(evidence)).get("tests") is not None


def test_the_work_of_rendering_grows_with_the_artifacts_and_no_faster():
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


def test_missing_p99_is_said():
    evidence = make_evidence(samples=500)
    assert "&lt;1000 calls" in page(evidence)
    assert "n/a*" in printed(evidence)
    assert "no p99 from fewer than 1000 samples" in printed(evidence)
    assert "n/a (\\<1000 samples)" in markdown.summary(evidence)


def test_p99_from_too_few_samples_is_not_shown_even_if_recorded():
    latency = replace(make_artifact(1).latency_ms, samples=999, p99=7.77)
    evidence = make_evidence(2, failing=())
    evidence = replace(evidence, artifacts=tuple(replace(a, latency_ms=latency) for a in evidence.artifacts))
    for text in (page(evidence), printed(evidence), markdown.summary(evidence)):
        assert "7.77" not in text


def test_only_a_shown_difference_is_called_faster():
    evidence = make_evidence(2, failing=())
    doubtful = ev.SpeedupRecord("torch-cpu/fp32", 3.0, (0.9, 4.0), "no difference shown")
    evidence = replace(evidence, artifacts=(evidence.artifacts[0], replace(evidence.artifacts[1], speedup=doubtful)))
    body = page(evidence).partition("<main>")[2].partition('<script type="application/json"')[0]
    for text in (body, printed(evidence), markdown.summary(evidence)):
        assert not re.search(r"faster than|[×x] faster|\] faster|>faster<", text)


def test_verdict_names_what_to_ship_and_its_three_deciding_numbers():
    evidence = make_evidence()
    best = evidence.artifact(evidence.verdict.best)
    for text in (page(evidence), markdown.summary(evidence), printed(evidence)):
        assert f"Ship {best.id}" in text
    verdict = page(evidence).partition('id="verdict"')[2].partition("</section>")[0]
    for shown in (words.score(best.accuracy.deployed, best.accuracy), words.number(best.latency_ms.p50)):
        assert shown in verdict
    assert "below the reference" in verdict
    assert "of the reference (1.10 MB" in verdict


def test_failed_run_does_not_say_ship():
    evidence = make_evidence(3, failing=(1, 2))
    for text in (page(evidence), markdown.summary(evidence), printed(evidence)):
        assert "Do not ship" in text
        assert "0.021" in text
        assert "no NVIDIA GPU here" in text


def test_pareto_front_leaves_out_failed_and_beaten_artifacts():
    front = figures.front(make_evidence(24).artifacts)
    assert all(a.verdict != "fail" for a in front)
    scores = [a.accuracy.deployed for a in front]
    assert scores == sorted(set(scores))


def test_a_stock_file_whose_parity_failed_is_hollow_and_on_no_front():
    evidence = make_evidence(3, failing=())
    quickest = min(evidence.artifacts, key=lambda a: a.latency_ms.p50)
    stock = replace(quickest, verdict="reference", parity=replace(quickest.parity, passed=False, first_bad="'conv1'"))
    artifacts = tuple(stock if a is quickest else a for a in evidence.artifacts)
    assert quickest in figures.front(evidence.artifacts)
    assert stock not in figures.front(artifacts)
    drawn = figures.tradeoff(replace(evidence, artifacts=artifacts))["data"]
    symbols = {x: s for t in drawn if "customdata" in t for x, s in zip(t["x"], t["marker"]["symbol"], strict=True)}
    assert [x for x, symbol in symbols.items() if symbol.endswith("-open")] == [stock.latency_ms.p50]


def test_figures_are_json_even_with_numbers_that_are_not():
    evidence = make_evidence(2)
    broken = replace(evidence.artifacts[1].accuracy, deployed=float("nan"))
    evidence = replace(evidence, artifacts=(evidence.artifacts[0], replace(evidence.artifacts[1], accuracy=broken)))
    assert "NaN" not in re.search(r'id="figures">(.*?)</script>', page(evidence), re.S)[1]


def test_terminal_table_fits_120_columns():
    lines = printed(make_evidence(24)).splitlines()
    assert max(map(len, lines[:27])) <= 120
    assert lines[1].split()[-2:] == ["parity", "outside"]
    assert any(line.startswith("torch-cpu/fp32") for line in lines)


@pytest.mark.parametrize(
    ("width", "gone", "kept"), [(200, (), ("cold", "p90", "p99", "RSS")), (112, ("cold", "p90"), ("p50", "kB", "parity"))]
)
def test_what_is_wider_than_the_terminal_loses_whole_columns_and_no_name(width, gone, kept):
    evidence = make_evidence(9)
    long = replace(evidence.artifacts[1], id="a-target-with-a-long-name/int8-qat")
    lines = printed(replace(evidence, artifacts=(long, *evidence.artifacts[2:])), width).splitlines()
    assert set(kept) <= set(lines[1].split())
    assert not set(gone) & set(lines[1].split())
    assert any(line.startswith(long.id + " ") for line in lines)


def test_terminal_survives_an_ascii_log():
    raw = io.BytesIO()
    log = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    terminal.print_table(replace(make_evidence(2), not_run=(ev.NotRun("naïve", "größer"),)), Console(file=log))
    assert b"na?ve" in raw.getvalue()


def test_junit_counts_failures_and_skips():
    evidence = make_evidence()
    root = ElementTree.fromstring(junit.render(evidence))
    gates = sum(len(a.gates) for a in evidence.artifacts)
    assert int(root.get("tests")) == len(root.findall(".//testcase")) == gates + len(evidence.artifacts) + 1
    assert root.get("failures") == "1"
    assert root.find(".//failure").get("message") == "0.021 > 0.01"
    assert root.find(".//skipped").get("message") == "no NVIDIA GPU here"


def test_failed_parity_is_a_failure_in_every_view():
    evidence = make_evidence(2, failing=())
    broken = replace(evidence.artifacts[1].parity, passed=False, max_error=0.7, first_bad="layer3.conv2")
    evidence = replace(evidence, artifacts=(evidence.artifacts[0], replace(evidence.artifacts[1], parity=broken)))
    for text in (page(evidence), printed(evidence), markdown.summary(evidence), junit.render(evidence)):
        assert "first bad: layer3.conv2" in text
    assert ElementTree.fromstring(junit.render(evidence)).get("failures") == "1"


def test_junit_of_a_failed_run_without_artifacts_is_not_green():
    root = ElementTree.fromstring(junit.render(make_evidence(0)))
    assert root.get("failures") == "1"


def test_all_views_are_written(tmp_path):
    paths = write_views(make_evidence(), tmp_path)
    assert [p.name for p in paths] == ["report.html", "summary.md", "junit.xml"]
    assert all(p.stat().st_size for p in paths)


def browse(folder, text, script, width=800):
    """The page's DOM after this script ran in headless Chromium, its window so many pixels wide, once the plots were drawn."""
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


def test_targets_and_front_act_on_plot_and_table_together(tmp_path):
    evidence = make_evidence(24)
    script = """
    const seen = () => ({
      rows: [...document.querySelectorAll('#table-artifacts tbody tr')].filter((r) => !r.hidden).map((r) => r.dataset.id),
      points: document.getElementById('plot-tradeoff').data.slice(1).flatMap((t) => t.x).filter((x) => x !== null).length,
      front: document.getElementById('plot-tradeoff').data[0].x.length });
    const said = [seen()];
    document.querySelectorAll('#table-artifacts th button')[2].click();
    document.querySelector('.chip[data-target="openvino-cpu"]').click(); said.push(seen());
    document.getElementById('front-only').click(); said.push(seen());
    document.getElementById('every-target').click(); said.push(seen());
    document.getElementById('front-only').click();
    const words = document.getElementById('filter-artifacts');
    words.value = 'torch-cpu fp32'; words.dispatchEvent(new Event('input')); said.push(seen());
    document.body.dataset.said = JSON.stringify(said);"""
    dom = browse(tmp_path, html.render(evidence), script)
    assert 'data-errors="0"' in dom
    said = json.loads(unescape(re.search(r'data-said="([^"]*)"', dom)[1]))
    openvino = [a for a in evidence.artifacts if a.target == "openvino-cpu"]
    fronts = [{a.id for a in figures.front(artifacts)} for artifacts in (evidence.artifacts, openvino)]
    named = {a.id for a in evidence.artifacts if "torch-cpu/fp32" in a.id}
    wanted = [{a.id for a in evidence.artifacts}, {a.id for a in openvino}, fronts[1], fronts[0]]
    assert [set(s["rows"]) for s in said[:4]] == wanted
    assert named
    assert set(said[4]["rows"]) >= named
    assert len(said[4]["rows"]) < 24
    assert all(s["points"] == len(s["rows"]) for s in said)
    assert [s["front"] for s in said[:4]] == [len(fronts[0]), len(fronts[1]), len(fronts[1]), len(fronts[0])]


def test_the_table_of_artifacts_fits_a_laptop(tmp_path):
    script = """
    const table = document.getElementById('table-artifacts');
    document.body.dataset.said = JSON.stringify([table.scrollWidth, table.closest('.scroll').clientWidth]);"""
    dom = browse(tmp_path, html.render(make_evidence(6)), script, width=1280)
    table, room = json.loads(unescape(re.search(r'data-said="([^"]*)"', dom)[1]))
    assert 1000 < table <= room


def test_a_disturbed_run_says_so_beside_the_verdict():
    quiet = ev.NoiseRecord(False, 30, 0, 2, (), 2, 0.1, 0.0, None, 0.01, 3, 1.1, None, None, 41)
    noisy = replace(quiet, disturbed=True, disturbed_turns=12, reasons=("other processes ran",))
    verdicts = [page(replace(make_evidence(), noise=n)).partition("<dl class")[0] for n in (None, quiet, noisy)]
    assert ["12 of 30 turns" in v and "other processes ran" in v for v in verdicts] == [False, False, True]
    assert "not recorded" in page(make_evidence())


def test_what_surrounded_the_calls_is_shown():
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


def test_one_process_has_no_interval_anywhere():
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


@pytest.mark.parametrize("count", [0, 9, 200])
def test_page_loads_without_errors_and_sorts_in_a_browser(tmp_path, count):
    clicks = "document.querySelectorAll('#table-artifacts th button').forEach((b, n) => n === 5 && b.click());"
    dom = browse(tmp_path, html.render(make_evidence(count)), clicks)
    assert 'data-ready="1"' in dom
    assert 'data-errors="0"' in dom
    ids = re.findall(r'<tr class="is-[^"]*"[^>]* data-id="([^"]+)"', dom)
    wanted = sorted(make_evidence(count).artifacts, key=lambda a: a.latency_ms.p50)
    assert ids == [a.id for a in wanted]
    assert dom.count("main-svg") >= (3 if count else 0)
