"""The built wheel holds our packages whole, and nothing else."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")


def tree():
    """Every file of the checkout that git knows or would know."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in listed if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the tree so that nothing is written into the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: the wheel is compared with what git knows")
    folder = tmp_path_factory.mktemp("wheel")
    for name in tree():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "copy" / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(folder / "copy"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def names(wheel):
    """What the wheel holds beside its own records."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


@pytest.mark.slow
def test_it_holds_the_files_of_our_packages_and_no_other(names):
    wanted = [n for n in tree() if n.startswith(tuple(f"{p}/" for p in PACKAGES)) and not n.startswith("benchmarks/suites/")]
    assert names == wanted


@pytest.mark.slow
def test_it_holds_the_templates_and_the_runner_but_no_tests_docs_or_recipes(names):
    assert {"tightship/report/report.html.j2", "tightship/report/report.css.j2"} <= set(names)
    assert {"tightship/bundling/runner/run.py", "tightship/bundling/runner/loaders.py"} <= set(names)
    assert {name.partition("/")[0] for name in names} == set(PACKAGES)
    assert not [name for name in names if "test" in name.rpartition("/")[2] or name.endswith((".yaml", ".md", ".pyc"))]


@pytest.mark.slow
def test_it_says_that_every_package_is_typed(names):
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


@pytest.mark.slow
def test_its_contents_are_those_of_the_tree(wheel, names):
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in names if archive.read(name) != (ROOT / name).read_bytes()]


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
    assert settings["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)
    assert settings["importlinter"]["root_packages"] == list(PACKAGES)
    assert settings["importlinter"]["contracts"][0]["layers"] == list(PACKAGES)
    assert sorted(p.parent.name for p in ROOT.glob("*/__init__.py")) == sorted(PACKAGES)
