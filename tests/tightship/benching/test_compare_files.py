"""Two files or two runs: what may be said of them, and what is refused."""

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest

from artifacts.arrays import save_arrays
from artifacts.errors import ParityFailed, RequestError
from artifacts.ids import ArtifactId
from artifacts.records.evidence import LatencyRecord, read_evidence
from benchmarks.suites import test_honesty as honesty
from tightship.benching.bench import bench_files
from tightship.benching.compare import BLOCKS, compare_runs
from tightship.cli.compare import compare as verb
from tightship.gating.baseline import figures_of
from tightship.gating.baseline_limits import BASELINE_LIMITS
from tightship.pipeline.timings import timed_what_was_checked
from tightship.planning.steps import MEASURE, ArtifactPlan
from tightship.reporting.run_pairs import Run, latencies
from tightship.store import Entry

HOW = {"again": False, "processes": 2, "limit": 2, "seconds": 0.05, "threads": 1}
ID = "onnxruntime-cpu/fp32"


def latency(middle, spread=0.005, processes=5, **changes):
    ci = (middle / (1 + spread), middle * (1 + spread))
    record = LatencyRecord(middle, 2 * middle, None, ci, 500, processes, 1, 1, (middle,) * 101)
    return replace(record, **changes)


@pytest.fixture
def run(artifact, evidence_of, tmp_path):
    """Writes a run whose one artifact was so fast and right on so many examples, on a machine that may be another."""

    def make(name, p50, right=None, machine=None, **changes):
        record = artifact(ID, latency_ms=p50 if isinstance(p50, LatencyRecord) else latency(p50), verdict="ship", **changes)
        evidence = evidence_of(artifact("torch-cpu/reference"), record)
        if machine:
            evidence = replace(evidence, machine=replace(evidence.machine, **machine))
        place = tmp_path / name / "selftest" / ID
        place.mkdir(parents=True)
        if right is not None:
            save_arrays(place / "correct.npz", {"correct": np.asarray(right, np.uint8)})
        evidence.write(tmp_path / name / "evidence.json")
        return tmp_path / name

    return make


@pytest.mark.parametrize(
    ("b", "verdict"),
    [(0.9, "faster"), (1.1, "slower"), (1.0, "no difference shown"), (1.02, "cannot tell"), (latency(0.9, 0.5), "cannot tell"),
     (latency(0.5, processes=1, ci95=(0.0, 1e12)), "cannot tell")],
)  # fmt: skip
def test_two_runs_on_one_machine_are_held_side_by_side(run, b, verdict):
    (row,) = compare_runs(run("a", 1.0), run("b", b), ID, **HOW)
    assert row["verdict"] == verdict
    assert row["interleaved"] is False
    low, high = row["ci"]
    assert low <= row["ratio"]
    assert high is None or row["ratio"] <= high
    assert {"artifact", "a_ms", "b_ms", "margin", "processes"} <= set(row)
    json.dumps(row, allow_nan=False)


def test_one_place_says_how_two_runs_compare(run):
    """`compare`, the page over several runs and the gate's relative limit give the same ratio, interval and verdict."""
    folders = run("a", 1.0), run("b", latency(0.9, 0.03, processes=3))
    evidence = [read_evidence(folder / "evidence.json") for folder in folders]
    (row,) = compare_runs(*folders, ID, **HOW)
    old, new = (Run(mark, folder, one) for mark, folder, one in zip("AB", folders, evidence, strict=True))
    shown = latencies((new, new.artifact(ID)), (old, old.artifact(ID)))
    base = figures_of(old.artifact(ID))
    assert shown.verdict == row["verdict"]
    assert (1 / shown.ratio.ratio, 1 / shown.ratio.high, 1 / shown.ratio.low) == pytest.approx((row["ratio"], *row["ci"]))
    assert BASELINE_LIMITS["baseline_latency_ratio"].value(new.artifact(ID), base) == shown.ratio.high


def test_without_an_artifact_every_shared_one_is_compared(run):
    rows = compare_runs(run("a", 1.0), run("b", 0.9), None, **HOW)
    assert [row["artifact"] for row in rows] == ["torch-cpu/reference", ID]


def test_another_machine_is_named_and_refused_where_the_files_are_gone(run):
    with pytest.raises(RequestError, match=r"not measured on the same machine \(cores 2 and 64\).*run both recipes") as caught:
        compare_runs(run("a", 1.0), run("b", 0.9, machine={"cores": 64}), ID, **HOW)
    assert "\n" not in str(caught.value)


def test_another_library_is_named_and_allowed(run):
    (row,) = compare_runs(run("a", 1.0), run("b", 0.9, machine={"versions": {"numpy": "3.0"}}), ID, **HOW)
    assert (row["verdict"], row["versions"]) == ("faster", ["numpy 2.0 and 3.0"])


def test_other_threads_are_refused(run):
    with pytest.raises(RequestError, match=r"1 thread\(s\) and batch 1 in one run, with 2"):
        compare_runs(run("a", 1.0), run("b", latency(0.9, threads=2)), ID, **HOW)


def test_an_unknown_artifact_is_refused(run):
    with pytest.raises(RequestError, match="no artifact 'x/y'"):
        compare_runs(run("a", 1.0), run("b", 0.9), "x/y", **HOW)


def test_accuracy_is_tested_in_pairs(run):
    right = np.ones(100, bool)
    worse = right.copy()
    worse[:12] = False
    (row,) = compare_runs(run("a", 1.0, right), run("b", 1.0, worse), ID, **HOW)
    found = row["accuracy"]
    assert (found["verdict"], found["only_a"], found["only_b"]) == ("less accurate", 12, 0)
    assert found["p_value"] == pytest.approx(2 / 2**12)
    assert found["difference"] == pytest.approx(-0.12)


def test_accuracy_is_not_tested_without_the_examples_or_on_others(run, artifact):
    (row,) = compare_runs(run("a", 1.0), run("b", 1.0), ID, **HOW)
    assert row["accuracy"]["verdict"] is None
    assert "did not store" in row["accuracy"]["reason"]
    other = replace(artifact().accuracy, test_sha256="00" * 32)
    (row,) = compare_runs(run("c", 1.0, [1]), run("d", 1.0, [1], accuracy=other), ID, **HOW)
    assert "not scored on the same test set" in row["accuracy"]["reason"]


@pytest.mark.slow
def test_real_runs_are_compared_and_measured_again(cli, tiny_run, tmp_path):
    done = cli("compare", tiny_run.out, tiny_run.out, "--artifact", ID, "--json")
    said = json.loads(done.stdout)
    assert said["ratio"] == pytest.approx(1.0)
    assert said["verdict"] in ("no difference shown", "cannot tell")
    assert (said["accuracy"]["p_value"], said["accuracy"]["examples"]) == (1.0, 540)
    again = cli(
        "compare", tiny_run.out, tiny_run.out, "--artifact", ID, "--again", "--processes", 2, "--limit", 2, "--seconds", 0.05
    )
    assert again.returncode == 0, again.stderr
    assert "2 interleaved pairs of processes" in again.stdout
    assert cli("compare", tiny_run.out, tiny_run.recipe).returncode == 2


def test_a_run_records_its_noise_its_warm_up_and_both_peaks(tiny_run):
    evidence = json.loads((tiny_run.out / "evidence.json").read_text())
    # two processes, each with a block of the network alone and one from pixels to labels
    assert evidence["noise"]["turns"] == 4
    assert evidence["noise"]["clock_ns"] > 0
    for record in evidence["artifacts"]:
        assert record["peak_rss_mb"] >= record["rss_load_mb"] > 0
        assert record["rss_run_mb"] > 0
        assert len(record["warmup"]["calls"]) == 2
        assert any("disturbed machine" in note for note in record["notes"]) == evidence["noise"]["disturbed"]


@pytest.mark.slow
def test_a_sweep_has_a_row_for_each_batch_and_number_of_threads(tiny_run, cli):
    path = tiny_run.out / "artifacts" / ID / "model.onnx"
    rows = bench_files([path], None, None, processes=2, seconds=0.02, threads=(1, 2), batches=(1, 4))
    assert [(row["threads"], row["batch"]) for row in rows] == [(1, 1), (1, 4), (2, 1), (2, 4)]
    assert all(row["p50_ms"] > 0 and row["rss_load_mb"] > 0 for row in rows)
    done = cli("bench", path, "--batch", "1,x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'1,x'" in done.stderr
    assert cli("bench", path, "--threads", "0").returncode == 2


def test_a_file_of_one_batch_size_refuses_another(tmp_path):
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "net.onnx")
    with pytest.raises(RequestError, match="take 4 examples at once, not 8"):
        bench_files([tmp_path / "net.onnx"], None, None, processes=1, seconds=0.02, batches=(8,))


@pytest.mark.parametrize(("shift", "passes"), [(0.0, True), (0.01, True), (1.0, False), (np.nan, False)])
def test_what_was_timed_is_what_was_checked(tmp_path, shift, passes):
    checked = np.random.default_rng(0).standard_normal((8, 10)).astype(np.float32)
    entries = {}
    for name, file, values in (
        (f"check {ID}", "outputs.npz", checked), (MEASURE, f"outputs/{ID}.npz", checked[:1] + np.float32(shift)),
    ):  # fmt: skip
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        save_arrays(path, {"logits": values})
        entries[name] = Entry("key", tmp_path / name, "", 0.0, None, False)
    artifact = ArtifactPlan(ArtifactId.parse(ID), "onnx", "compressed", "reference")
    if passes:
        timed_what_was_checked(artifact, entries)
    else:
        with pytest.raises(ParityFailed, match=f"the timed calls of {ID} gave 'logits'"):
            timed_what_was_checked(artifact, entries)


def test_the_honesty_study_asks_what_a_user_gets():
    told = {name: option.default for name, option in inspect.signature(verb).parameters.items()}
    asked = (honesty.PLAN.processes, honesty.LIMIT, honesty.PLAN.blocks, honesty.PLAN.blocks * honesty.PLAN.block_seconds)
    assert asked == (told["processes"], told["limit"], BLOCKS, told["seconds"])
