"""Recipes and runs from Python: what the command line does, by the same code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tightship as ts


def test_a_recipe_is_a_file_plain_values_or_itself(workplace):
    read = ts.load_recipe("recipe.yaml")
    plain = yaml.safe_load(Path("recipe.yaml").read_text())
    assert ts.load_recipe(plain) == read == ts.load_recipe(read) == ts.load_recipe(Path("recipe.yaml"))


def test_relative_paths_of_plain_values_start_in_the_given_folder(workplace):
    plain = yaml.safe_load(Path("recipe.yaml").read_text())
    plain["model"] = {"zoo": "resnet", "weights": "mine.safetensors"}
    assert ts.load_recipe(plain, "elsewhere").model.weights == workplace / "elsewhere" / "mine.safetensors"
    assert ts.load_recipe(plain).model.weights == workplace / "mine.safetensors"


@pytest.mark.parametrize("wrong", [3, None, ["a"], object()], ids=["number", "none", "list", "object"])
def test_what_is_no_recipe_is_refused_in_one_sentence(wrong):
    with pytest.raises(ts.RecipeError, match=r"^a recipe is .*\.$"):
        ts.load_recipe(wrong)


def test_a_run_is_told_of_step_by_step(workplace):
    updates = []
    run = ts.run("recipe.yaml", out="out", on_progress=updates.append)
    assert run.passed
    assert run.packed.is_file()
    assert run.folder == Path("out")
    assert run.evidence.command == "tightship run recipe.yaml --out out"
    planned = [step.step for step in ts.plan("recipe.yaml").steps]
    assert [u.step for u in updates if u.done] == planned
    assert all(u.cached and u.steps == len(planned) and u.message for u in updates if u.done)
    assert [u.number for u in updates if u.done] == list(range(1, len(planned) + 1))


@pytest.mark.slow
def test_a_run_of_plain_values_says_that_it_came_from_python(workplace):
    plain = yaml.safe_load(Path("recipe.yaml").read_text())
    run = ts.run(plain, targets=["onnxruntime-cpu"])
    assert "in Python" in run.evidence.command
    assert run.folder == Path("runs") / "tiny@onnxruntime-cpu"
    assert run.evidence.asked_for == ("onnxruntime-cpu",)
    assert ts.load_run(run.folder).evidence == run.evidence


PRINTS = """\
import tightship as ts
recipe = ts.load_recipe("recipe.yaml")
noisy = recipe.model_copy(update={"seed": 7, "compress": ()})
ts.run(noisy, out="out", store="store", on_progress=print)
"""


@pytest.mark.slow
def test_what_the_caller_prints_meanwhile_does_not_go_to_the_log(workplace, environment):
    done = subprocess.run([sys.executable, "-c", PRINTS], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("[") for line in lines), done.stdout
    assert any("epoch 1/1" in line for line in lines), "an update of a step in flight was printed"
    logs = "".join(path.read_text() for path in (workplace / "store" / "logs").iterdir())
    assert "epoch 1/1" not in logs


def test_an_error_of_the_caller_leaves_the_streams_as_they_were(workplace, capfd):
    def fail(update):
        raise ZeroDivisionError("the caller's own")

    with pytest.raises(ZeroDivisionError):
        ts.run("recipe.yaml", out="out", on_progress=fail)
    print("after")  # noqa: T201
    assert "after" in capfd.readouterr().out


def test_a_table_holds_the_figures_of_the_evidence_and_reads_like_rows(workplace):
    run = ts.load_run("runs/tiny")
    table = run.table()
    assert [row["artifact"] for row in table] == [a.id for a in run.evidence.artifacts]
    assert table[0]["latency_p50_ms"] == run.evidence.artifacts[0].latency_ms.p50
    assert len(table[:2]) == 2
    assert str(table).splitlines()[0].split() == list(table.shown)
    assert "latency_curve" not in table[0]


def test_a_table_becomes_a_data_frame_or_says_what_is_missing(workplace):
    table = ts.load_run("runs/tiny").table()
    try:
        import pandas
    except ImportError:
        with pytest.raises(ts.TargetUnavailable, match="pip install pandas"):
            table.to_pandas()
        return
    frame = table.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["artifact"]) == [row["artifact"] for row in table]


def test_the_plan_is_that_of_the_command_line(workplace, cli, tiny_run):
    planned = ts.plan("recipe.yaml")
    said = json.loads(cli("plan", "recipe.yaml", "--store", tiny_run.store, "--json", cwd=workplace).stdout)
    assert [s["step"] for s in said["steps"]] == [s.step for s in planned.steps]
    assert [s["key"] for s in said["steps"]] == [s.key for s in planned.steps]
    assert str(planned).splitlines()[0].split() == ["step", "key"]
    assert planned.cached == len(planned.steps)


def test_runs_are_compared_as_one_row_for_each_artifact(workplace):
    found = ts.compare("runs/tiny", ts.load_run("runs/tiny"))
    assert [one.artifact for one in found] == [a.id for a in ts.load_run("runs/tiny").evidence.artifacts]
    assert {one.verdict for one in found} <= {"no difference shown", "cannot tell"}
    assert "McNemar" in str(found)
    assert "<pre>" in found._repr_html_()
    with pytest.raises(ts.RequestError, match="not one of each"):
        ts.compare("runs/tiny", "recipe.yaml")


def test_limits_come_as_names_and_numbers_or_as_a_file(workplace):
    Path("limits.yaml").write_text("accuracy_min: 0.01\n")
    assert ts.gate("runs/tiny").passed
    assert ts.gate("runs/tiny", "limits.yaml").passed
    assert ts.gate(ts.load_run("runs/tiny"), {"accuracy_min": 0.01}).passed
    with pytest.raises(ts.RequestError, match="did you mean 'accuracy_min'"):
        ts.gate("runs/tiny", {"acuracy_min": 0.01})
    with pytest.raises(ts.RequestError, match="write a finite number"):
        ts.gate("runs/tiny", {"accuracy_min": float("nan")})


def test_what_is_not_there_is_one_sentence(workplace):
    for call in (
        lambda: ts.load_run("nowhere"),
        lambda: ts.report("nowhere"),
        lambda: ts.verify("nowhere.tar.gz"),
        lambda: ts.bench("nowhere.onnx"),
        lambda: ts.bench([]),
        lambda: ts.bench("recipe.yaml", processes=0),
        lambda: ts.bench("recipe.yaml", seconds=0),
        lambda: ts.bench("recipe.yaml", batch=[1, 0]),
        lambda: ts.compare("a.onnx", "b.onnx", processes=1),
        lambda: ts.compare("a.onnx", "b.onnx", margin=2),
        lambda: ts.targets(["onnxruntime-cpi"]),
        lambda: ts.load_test("a.onnx", "server", target_qbs=3),
        lambda: ts.report(["runs/tiny", "runs/tiny"], out="runs"),
        lambda: ts.load_run("runs/tiny").artifact("a/b"),
        lambda: ts.sensitivity("recipe.yaml", samples=3),
        lambda: ts.plan("recipe.yaml", targets=["tensorrt"]),
    ):
        with pytest.raises(ts.RequestError) as caught:
            call()
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)


def test_a_file_that_was_changed_is_not_taken_for_the_one_that_was_measured(workplace):
    run = ts.load_run("runs/tiny")
    path = run.artifact("onnxruntime-cpu/fp32").path
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ts.IntegrityError, match="not the file that was measured"):
        run.artifact("onnxruntime-cpu/fp32")


def test_an_artifact_of_a_run_is_opened_and_gives_what_was_recorded(workplace):
    artifact = ts.load_run("runs/tiny").artifact()
    checked = artifact.check()
    assert checked.passed
    assert checked.against == "recorded"
    with artifact.session() as session:
        outputs = session(artifact.examples)
    assert {name: value.shape for name, value in outputs.items()} == {n: v.shape for n, v in artifact.stored.items()}
