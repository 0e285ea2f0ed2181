"""The built wheel holds our packages whole and the demo's recipe, and nothing else; installed, it works."""

import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
DEMO = "tightship/recipes/digits.yaml"


def tree():
    """Every file of the checkout that git knows or would know."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in listed if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Source archive and wheel, built from a copy of the tree so that nothing is written into the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: the wheel is compared with what git knows")
    folder = tmp_path_factory.mktemp("built")
    for name in tree():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "copy" / name)
    # without options, as a release is made: the wheel is built from the source archive
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "copy")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def names(wheel):
    """What the wheel holds beside its own records."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


@pytest.mark.slow
def test_it_holds_the_files_of_our_packages_and_the_demos_recipe_and_no_other(names):
    wanted = [n for n in tree() if n.startswith(tuple(f"{p}/" for p in PACKAGES)) and not n.startswith("benchmarks/suites/")]
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
def test_the_source_archive_holds_every_file_that_git_knows(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    assert set(tree()) - held == set()
    assert held - set(tree()) == {"PKG-INFO"}


@pytest.mark.slow
def test_it_carries_its_license_and_says_which(wheel):
    with zipfile.ZipFile(wheel) as archive:
        records = {n.partition(".dist-info/")[2]: archive.read(n) for n in archive.namelist() if ".dist-info/" in n}
    assert records["licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert "License-Expression: Apache-2.0\n" in records["METADATA"].decode()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The command of the wheel, installed in an environment of its own whose libraries are borrowed from this one."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    # a line of a .pth file, unlike PYTHONPATH, comes after what is installed, and brings no editable install with it
    (packages / "libraries.pth").write_text(f"{Path(yaml.__file__).parents[1]}\n")
    return folder / "bin" / "tightship"


@pytest.mark.slow
def test_the_installed_command_shows_and_plans_the_demo(installed, environment, tmp_path):
    def call(*arguments):
        done = subprocess.run([installed, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "--print" in call("demo", "--help")
    shown = call("demo", "--print")
    assert shown.encode() == (ROOT / "recipes" / "digits.yaml").read_bytes()
    (tmp_path / "recipe.yaml").write_text(shown)
    steps = {step["step"] for step in json.loads(call("plan", "recipe.yaml", "--json"))["steps"]}
    assert {"data", "distil", "prune", "quantize", "measure"} <= steps
    code = "import sys, tightship.cli.demo as demo; sys.stdout.write(str(demo.demo_recipe()))"
    where = subprocess.run([installed.with_name("python"), "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert Path(where.stdout).is_relative_to(installed.parents[1]), where.stderr


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
