"""The pages over several runs: ratios only between equal machines, what changed, and the order of a history."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from artifacts.arrays import save_arrays
from artifacts.errors import RequestError
from tightship.gating.baseline import figures_of
from tightship.gating.baseline_limits.latency import latency_ratio
from tightship.reporting import pages
from tightship.reporting.run_pairs import Run
from tightship.reporting.views import comparison, history

HOSTILE = "</script><script>alert(1)</script><b>\u202e"


@pytest.fixture
def runs(artifact, evidence_of, tmp_path):
    """Writes runs of one recipe, each with these medians of its shipped artifact, a day apart; returns their folders."""

    def write(*medians, **changes):
        folders = []
        for n, p50 in enumerate(medians):
            made = evidence_of(artifact("torch-cpu/reference"), artifact(p50=p50, verdict="ship"))
            latency = replace(made.artifacts[1].latency_ms, ci95=(0.99 * p50, 1.01 * p50))
            made = replace(made, artifacts=(made.artifacts[0], replace(made.artifacts[1], latency_ms=latency)), **changes)
            folder = tmp_path / f"run-{n}"
            folder.mkdir()
            made.write(folder / "evidence.json")
            os.utime(folder / "evidence.json", (1.7e9 + 86400 * n,) * 2)
            folders.append(folder)
        return folders

    return write


def change(folder, **changes):
    """Rewrite a run's evidence with other values, at its old time."""
    path = folder / "evidence.json"
    written = path.stat().st_mtime
    replace(history.read_evidence(path), **changes).write(path)
    os.utime(path, (written, written))


def compared(folders):
    return comparison.render([(f, history.read_evidence(f / "evidence.json")) for f in folders]).replace(
        str(pages.plotly()), ""
    )


def table_of(folders):
    return comparison.table([Run("AB"[n], f, history.read_evidence(f / "evidence.json")) for n, f in enumerate(folders)])


def test_two_runs_of_one_machine_get_a_ratio_with_its_interval(runs):
    folders = runs(1.0, 0.5)
    row = next(r for r in table_of(folders) if r.id == "onnxruntime-cpu/fp32")
    found = row.changes[0].latency
    assert found.ratio == latency_ratio(row.records[1], figures_of(row.records[0]))
    assert (found.verdict, round(found.ratio.ratio, 6)) == ("faster", 0.5)
    assert "0.500×" in compared(folders)


@pytest.mark.parametrize(("second", "verdict"), [(1.2, "slower"), (1.015, "cannot tell"), (0.8, "faster")])
def test_a_difference_counts_only_beyond_the_margin(runs, second, verdict):
    row = next(r for r in table_of(runs(1.0, second)) if r.id == "onnxruntime-cpu/fp32")
    assert row.changes[0].latency.verdict == verdict


def test_runs_of_two_machines_get_no_ratio_and_the_page_says_why(runs):
    folders = runs(1.0, 0.5)
    machine = history.read_evidence(folders[1] / "evidence.json").machine
    change(folders[1], machine=replace(machine, cores=64))
    assert all(c.latency.ratio is None for row in table_of(folders) for c in row.changes)
    text = compared(folders)
    assert "No ratio of latencies is shown for B" in text
    assert "cores 2 and 64" in text
    assert "0.500×" not in text
    assert json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1]) == {}


def test_other_threads_are_not_compared(runs, artifact):
    folders = runs(1.0, 0.5)
    shipped = history.read_evidence(folders[1] / "evidence.json").artifacts[1]
    change(folders[1], artifacts=(replace(shipped, latency_ms=replace(shipped.latency_ms, threads=4)),))
    row = next(r for r in table_of(folders) if r.id == "onnxruntime-cpu/fp32")
    assert row.changes[0].latency.ratio is None
    assert "4 threads" in row.changes[0].latency.reason
    assert "torch-cpu/reference" in compared(folders), "an artifact that only one run has is still listed"


def test_recipe_lines_and_versions_that_differ_are_named(runs):
    folders = runs(1.0, 1.0, recipe={"seed": 0, "model": "a"})
    machine = history.read_evidence(folders[1] / "evidence.json").machine
    assert "Nothing: the recipes are the same" in compared(folders)
    change(folders[1], recipe={"seed": 1, "model": "a"}, machine=replace(machine, versions={"numpy": "3.1"}))
    text = compared(folders)
    assert '<span class="cut">-seed: 0</span>' in text
    assert '<span class="add">+seed: 1</span>' in text
    assert "<td>2.0</td><td>3.1</td>" in text


def test_accuracy_is_tested_on_the_same_examples(runs):
    folders = runs(1.0, 1.0)
    for folder, right in zip(folders, (np.ones(540, bool), np.arange(540) >= 60), strict=True):
        place = folder / "selftest" / "onnxruntime-cpu/fp32"
        place.mkdir(parents=True)
        save_arrays(place / "correct.npz", {"correct": right})
    rows = {row.id: row.changes[0].accuracy for row in table_of(folders)}
    assert rows["onnxruntime-cpu/fp32"].endswith("less accurate")
    assert rows["torch-cpu/reference"].endswith("not tested")


def test_a_history_is_ordered_by_time_and_breaks_where_the_machine_changed(runs, tmp_path):
    folders = runs(1.0, 1.3, 1.3)
    os.utime(folders[2] / "evidence.json", (1.6e9, 1.6e9))
    machine = history.read_evidence(folders[1] / "evidence.json").machine
    change(folders[1], machine=replace(machine, cores=64))
    past = history.read_runs(tmp_path)
    assert [p.run.mark for p in past] == ["run-2", "run-0", "run-1"]
    found = history.series("made-up", past)
    assert found.machine_changed == (False, False, True)
    newest, middle, oldest = found.entries
    assert (newest.against.ratio, middle.against.verdict, oldest.against) == (None, "faster", None)
    assert "cores 2 and 64" in " ".join(found.changes[2])
    text = history.render(past).replace(str(pages.plotly()), "")
    drawn = json.loads(re.search(r'id="figures">(.*?)</script>', text, re.S)[1])["trend-0"]
    assert drawn["data"][0]["y"] == [1.3, 1.0, None, 1.3]
    assert drawn["data"][2]["y"] == [1_000_000] * 3
    assert "modification times" in text


def test_a_run_that_shipped_nothing_is_a_gap(runs, tmp_path):
    folders = runs(1.0, 1.0, 1.0)
    kept = history.read_evidence(folders[1] / "evidence.json").artifacts
    change(folders[1], artifacts=tuple(replace(a, verdict="fail") for a in kept))
    found = history.series("made-up", history.read_runs(tmp_path))
    assert [e.record is None for e in found.entries] == [False, True, False]
    assert found.entries[0].against is None


@pytest.mark.slow
@pytest.mark.parametrize("page", ["comparison", "history"])
def test_pages_work_in_a_browser_with_hostile_names(runs, tmp_path, page, browse):
    folders = runs(1.0, 1.2, 0.9, name=HOSTILE, recipe={HOSTILE: HOSTILE})
    text = history.render(history.read_runs(tmp_path)) if page == "history" else comparison.render(
        [(f, history.read_evidence(f / "evidence.json")) for f in folders]
    )  # fmt: skip
    bare = text.replace(str(pages.plotly()), "")
    assert bare.lower().count("<script") == bare.lower().count("</script") == 4
    assert "\u202e" not in bare
    assert not re.search(r"https?://|\ssrc=", bare)
    table = "table-artifacts" if page == "comparison" else "table-history-0"
    act = "const i = document.querySelector('input[data-table]'); i.value = 'onnxruntime'; i.dispatchEvent(new Event('input'));"
    act += f"document.querySelectorAll('#{table} th button').forEach((b, n) => n === 6 && b.click());"
    dom = browse(tmp_path, text, act)
    assert 'data-ready="1"' in dom
    assert 'data-errors="0"' in dom
    assert "main-svg" in dom
    body = dom.partition(f'id="{table}"')[2].partition("</table>")[0]
    assert 'aria-sort="ascending"' in body
    if page == "history":
        assert re.findall(r'data-id="(\d+) ', body) == ["3", "1", "2"], "sorted by p50"
    else:
        assert len(re.findall(r"<tr data-id[^>]*hidden", body)) == 1, "the reference is filtered out"


def test_the_verb_writes_the_pages_and_refuses_what_does_not_go_together(cli, runs, tmp_path):
    folders = runs(1.0, 0.5)
    done = cli("report", *folders, "--out", tmp_path / "c.html", "--json")
    assert json.loads(done.stdout)["files"] == [str(tmp_path / "c.html")]
    assert cli("report", tmp_path, "--history").stdout.strip() == str(tmp_path / "history.html")
    assert "side by side" in (tmp_path / "c.html").read_text()
    refused = cli("report", *folders, "--format", "csv")
    assert (refused.returncode, "do not go together" in refused.stderr) == (2, True)


def test_a_page_that_cannot_be_made_says_why(runs, tmp_path):
    with pytest.raises(RequestError, match="no run below"):
        history.read_runs(tmp_path)
    folder = runs(1.0)[0]
    with pytest.raises(RequestError, match="2 to 26 runs"):
        comparison.render([(folder, history.read_evidence(folder / "evidence.json"))])
