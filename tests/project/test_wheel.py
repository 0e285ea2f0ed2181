"""The built wheel holds our packages whole and the demo's recipe, and nothing else; installed, it works."""

import json
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
DEMO = "tightship/recipes/digits.yaml"


@pytest.fixture
def tree(git_files):
    """Every file of the checkout that git knows or would know."""
    return git_files()


@pytest.fixture(scope="module")
def names(wheel):
    """What the wheel holds beside its own records."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


@pytest.mark.slow
def test_it_holds_the_files_of_our_packages_and_the_demos_recipe_and_no_other(names, tree):
    wanted = [n for n in tree if n.startswith(tuple(f"{p}/" for p in PACKAGES)) and not n.startswith("benchmarks/suites/")]
    assert names == sorted([*wanted, DEMO])


@pytest.mark.slow
def test_it_holds_the_templates_and_the_runner_but_no_tests_or_docs(names):
    assert {f"tightship/reporting/templates/report.{kind}.j2" for kind in ("html", "css", "js")} <= set(names)
    assert {"tightship/bundling/runner/run.py", "runtimes/onnxruntime/loader.py"} <= set(names)
    assert {name.partition("/")[0] for name in names} == set(PACKAGES)
    assert not [n for n in names if "test_" in n.rpartition("/")[2] or (n.endswith((".yaml", ".md", ".pyc")) and n != DEMO)]


@pytest.mark.slow
def test_it_says_that_every_package_is_typed(names):
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


@pytest.mark.slow
def test_its_contents_are_those_of_the_tree(wheel, names):
    sources = {name: ROOT / ("recipes/digits.yaml" if name == DEMO else name) for name in names}
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name, source in sources.items() if archive.read(name) != source.read_bytes()]


@pytest.mark.slow
def test_the_source_archive_holds_every_file_that_git_knows(built, tree):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    assert set(tree) - held == set()
    assert held - set(tree) == {"PKG-INFO"}


@pytest.mark.slow
def test_it_carries_its_license_and_says_which(wheel):
    with zipfile.ZipFile(wheel) as archive:
        records = {n.partition(".dist-info/")[2]: archive.read(n) for n in archive.namelist() if ".dist-info/" in n}
    assert records["licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert "License-Expression: Apache-2.0\n" in records["METADATA"].decode()


@pytest.mark.slow
def test_the_installed_command_shows_and_plans_the_demo(installed, environment, tmp_path):
    programs = installed()

    def call(*arguments):
        done = subprocess.run(
            [programs / "tightship", *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "--print" in call("demo", "--help")
    shown = call("demo", "--print")
    assert shown.encode() == (ROOT / "recipes" / "digits.yaml").read_bytes()
    (tmp_path / "recipe.yaml").write_text(shown)
    steps = {step["step"] for step in json.loads(call("plan", "recipe.yaml", "--json"))["steps"]}
    assert {"data", "distil", "prune", "quantize", "measure"} <= steps
    code = "import sys, tightship.cli.demo as demo; sys.stdout.write(str(demo.demo_recipe()))"
    where = subprocess.run([programs / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert Path(where.stdout).is_relative_to(programs.parent), where.stderr


@pytest.mark.slow
def test_it_brings_the_command_and_every_extra(wheel):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        records = {n.rpartition("/")[2]: archive.read(n).decode() for n in archive.namelist() if ".dist-info/" in n}
    assert "tightship = tightship.cli.entry:main" in records["entry_points.txt"]
    for extra in project["optional-dependencies"]:
        assert f"Provides-Extra: {extra}\n" in records["METADATA"]
    assert f"Version: {project['version']}\n" in records["METADATA"]


def test_the_list_of_packages_is_the_list_of_rooms():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    shipped = settings["hatch"]["build"]["targets"]["wheel"]
    assert shipped["packages"] == list(PACKAGES)
    assert shipped["only-include"] == [*PACKAGES, "recipes/digits.yaml"]
    assert settings["importlinter"]["root_packages"] == list(PACKAGES)
    assert settings["importlinter"]["contracts"][0]["layers"] == list(PACKAGES)
    assert sorted(p.parent.name for p in ROOT.glob("*/__init__.py")) == sorted(PACKAGES)
