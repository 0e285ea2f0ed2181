"""The command line: cheap to start, one sentence for every error, and each exit code means what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "scipy", "sklearn", "plotly", "jinja2", "yaml", "executorch")
VERBS = (
    "run", "plan", "bench", "load", "compare", "gate", "report", "bundle", "verify", "targets", "inspect", "zoo",
    "doctor", "schema", "demo",
)  # fmt: skip


def test_every_verb_is_listed_and_no_other():
    from tightship.cli.main import app

    assert {command.callback.__name__ for command in app.registered_commands} >= set(VERBS)
    assert all(command.callback.__doc__ for command in app.registered_commands)


def verbs():
    from tightship.cli.main import app

    return sorted({command.callback.__name__ for command in app.registered_commands} | set(VERBS))


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_explains_itself(cli, verb):
    done = cli(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"tightship {verb}" in done.stdout
    assert "--help" in done.stdout


@pytest.mark.parametrize("verb", verbs())
def test_the_readme_speaks_of_every_verb(verb):
    assert re.search(rf"\b{verb}\b", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["bench", "--help"]])
def test_help_imports_nothing_heavy(environment, arguments):
    program = (
        "import sys, atexit; sys.argv = ['tightship', *sys.argv[1:]]\n"
        "from tightship.cli.main import main; known = set(sys.modules)\n"
        f"atexit.register(lambda: print('heavy:', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))\n"
        "assert 'pydantic' not in known; main()"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], env=environment(), capture_output=True, text=True)
    assert "Usage" in done.stdout + done.stderr
    assert "heavy: []" in done.stderr


@pytest.mark.parametrize("verb", ["zoo", "schema", "plan", "gate", "report"])
def test_a_verb_that_computes_nothing_does_not_import_torch(tiny_run, environment, verb, tmp_path):
    arguments = {
        "plan": [str(tiny_run.recipe), "--store", str(tiny_run.store)],
        "gate": [str(tiny_run.out)],
        "report": [str(tiny_run.out), "--out", str(tmp_path)],
    }
    program = (
        "import sys, atexit; sys.argv = ['tightship', *sys.argv[1:]]\n"
        "atexit.register(lambda: print('torch' in sys.modules, 'onnx' in sys.modules, file=sys.stderr))\n"
        "from tightship.cli.main import main; main()"
    )
    command = [sys.executable, "-c", program, verb, *arguments.get(verb, [])]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "False False"


def test_version_is_that_of_the_distribution(cli):
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cli("--version").stdout.strip() == project["version"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "none.yaml"),
        ("plan", "none.yaml"),
        ("inspect", "none.yaml"),
        ("bench", "none.onnx"),
        ("compare", "a.onnx", "b.onnx"),
        ("gate", "nowhere"),
        ("report", "nowhere"),
        ("bundle", "nowhere"),
        ("verify", "nowhere.tar.gz"),
    ],
)
def test_what_is_not_there_is_2_in_one_sentence(cli, tmp_path, arguments):
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("tightship: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("rnu",), ("run",), ("run", "a.yaml", "--no-such-option"), ("bench", "--processes", "0", "x")]
)
def test_a_wrong_command_line_is_2(cli, arguments):
    done = cli(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("before", [True, False])
def test_a_traceback_is_shown_only_where_it_is_asked_for(cli, tmp_path, before):
    assert "Traceback" not in cli("run", "none.yaml", cwd=tmp_path).stderr
    arguments = ("--debug", "run", "none.yaml") if before else ("run", "none.yaml", "--debug")
    done = cli(*arguments, cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert "RecipeError" in done.stderr
    assert done.returncode != 0


def with_targets(recipe, targets):
    return recipe.replace("targets: [torch-cpu, onnxruntime-cpu]", f"targets: {targets}")


@pytest.fixture(scope="module")
def missing(target_rows):
    """Two targets that cannot run here, for reasons as different as there are."""
    rows = [row for row in target_rows if not row["available"]]
    return [rows[0], rows[-1]] if len(rows) > 1 else rows


def test_a_target_that_cannot_run_here_is_3_and_names_the_mend(cli, tmp_path, tiny_recipe, missing):
    for row in missing:
        (tmp_path / "recipe.yaml").write_text(with_targets(tiny_recipe, f"[{row['target']}]"))
        done = cli("run", "recipe.yaml", "--store", "store", cwd=tmp_path)
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert row["target"] in done.stderr
        assert row["reason"] in done.stderr
        assert "optional: true" in done.stderr
        assert not (tmp_path / "store" / "entries").exists()


@pytest.mark.slow
def test_an_optional_target_that_cannot_run_here_is_written_down_as_not_run(cli, tiny_run, tmp_path, missing):
    named = "".join(f", {{name: {row['target']}, optional: true}}" for row in missing)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(with_targets(tiny_run.recipe.read_text(), f"[torch-cpu, onnxruntime-cpu{named}]"))
    done = cli("run", recipe, "--store", tiny_run.store, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    evidence = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert {n["target"]: n["reason"] for n in evidence["not_run"]} == {r["target"]: r["reason"] for r in missing}
    assert all(row["target"] not in {a["target"] for a in evidence["artifacts"]} for row in missing)


CRASH = """\
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(64, 10)

    def forward(self, image):
        if self.training:
            print("the last words of the net")
            raise ZeroDivisionError("no steam left")
        return self.head(image.flatten(1))
"""


@pytest.mark.slow
def test_a_stage_that_crashes_is_4_and_names_its_log(cli, tmp_path, tiny_recipe):
    (tmp_path / "crashnet.py").write_text(CRASH)
    recipe = tiny_recipe.replace("{zoo: resnet, depth: 8, width: 8}", "{factory: 'crashnet:Net'}")
    (tmp_path / "recipe.yaml").write_text(recipe)
    done = cli("run", "recipe.yaml", "--store", "store", cwd=tmp_path)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr + done.stdout
    said = done.stderr.splitlines()[-1]
    assert "stage 'reference' crashed: ZeroDivisionError: no steam left" in said
    log = Path(re.search(r"see (\S+\.log)", said)[1])
    text = (tmp_path / log).read_text()
    assert "the last words of the net" in text
    assert "Traceback" in text
    entries = [p for p in (tmp_path / "store" / "entries").rglob("entry.json") if p.parent.name[0] != "."]
    assert len(entries) == 1, "only the data step was finished"


def test_a_package_that_stands_in_front_of_ours_is_named_in_one_line(cli, tmp_path):
    for name in ("compress", "benchmarks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")
    done = cli("zoo", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"compress: {tmp_path / 'compress'}" in done.stderr
    assert f"benchmarks: {tmp_path / 'benchmarks'}" in done.stderr
    assert "venv of its own" in done.stderr


def test_a_package_in_the_working_folder_does_not_stand_in_front(cli, tmp_path):
    (tmp_path / "compress").mkdir()
    (tmp_path / "compress" / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")
    assert cli("zoo", cwd=tmp_path).returncode == 0
