"""`tightship demo` runs the recipe that comes with the package, from anywhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.errors import RequestError
from tightship.cli.demo import RECIPE, demo_recipe

ROOT = Path(__file__).resolve().parents[3]


def test_the_recipe_in_a_checkout_is_the_one_among_the_recipes():
    assert demo_recipe() == ROOT / "recipes" / "digits.yaml"


def test_the_recipe_in_a_wheel_lies_in_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("tightship.__file__", str(tmp_path / "tightship" / "__init__.py"))
    (tmp_path / "tightship" / "recipes").mkdir(parents=True)
    with pytest.raises(RequestError, match="install tightship again"):
        demo_recipe()
    (tmp_path / "tightship" / "recipes" / RECIPE).write_text("name: digits\n")
    assert demo_recipe() == tmp_path / "tightship" / "recipes" / RECIPE


def test_it_prints_the_recipe_as_it_is_and_writes_nothing(cli, tmp_path):
    done = cli("demo", "--print", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, (ROOT / "recipes" / "digits.yaml").read_text())
    assert not list(tmp_path.iterdir())


def test_it_runs_that_recipe_into_the_folder_that_was_asked_for(tiny_run, environment, tmp_path):
    # the demo's own recipe takes minutes: one whose stages are in the store lies where a wheel has the demo's
    package = tmp_path / "tightship"
    (package / "recipes").mkdir(parents=True)
    (package / "recipes" / RECIPE).write_bytes(tiny_run.recipe.read_bytes())
    program = (
        f"import sys, tightship; tightship.__file__ = {str(package / '__init__.py')!r}\n"
        "sys.argv = ['tightship', 'demo', *sys.argv[1:]]\n"
        "from tightship.cli.main import main; main()"
    )
    command = [sys.executable, "-c", program, "--json", "--store", str(tiny_run.store), "--out", "here"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["out"] == "here"
    evidence = json.loads((tmp_path / "here" / "evidence.json").read_text())
    assert (evidence["command"], evidence["name"]) == ("tightship demo --out here", "tiny")
