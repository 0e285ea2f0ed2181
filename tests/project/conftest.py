"""What the tests of the whole project share: the wheel, and environments in which it is installed as a user's would be."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def tree() -> list[str]:
    """Every file of the checkout that git knows or would know."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in listed if name and (ROOT / name).is_file())


def build(folder: Path) -> str:
    """Build source archive and wheel from a copy of the tree, so that nothing is written into the checkout; the folder."""
    for name in tree():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "copy" / name)
    # without options, as a release is made: the wheel is built from the source archive
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(folder / "dist")


@pytest.fixture(scope="session")
def git_files() -> Callable[[], list[str]]:
    """Lists every file of the checkout that git knows or would know."""
    return tree


@pytest.fixture(scope="session")
def built(once_for_all: Callable[..., Any]) -> Path:
    """The folder of source archive and wheel."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: the wheel is made of what git knows")
    return Path(once_for_all("built", build))


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The wheel."""
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes an environment of its own with the wheel and more packages (folders), whose libraries are borrowed; its `bin`."""

    def make(*packages: Path) -> Path:
        folder = tmp_path_factory.mktemp("installed")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
        (site,) = folder.glob("lib/python*/site-packages")
        # a line of a .pth file, unlike PYTHONPATH, comes after what is installed, and brings no editable install with it;
        # only now, because pip would take the editable one there for an older version
        (site / "libraries.pth").write_text(f"{Path(yaml.__file__).parents[1]}\n")
        for package in packages:
            copy = shutil.copytree(package, folder / "sources" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
            subprocess.run([*pip, "--no-deps", "--no-index", "--no-build-isolation", str(copy)], check=True)
        return folder / "bin"

    return make


@pytest.fixture(scope="session")
def packages() -> Callable[[Path], Path]:
    """Gives the folder of what is installed in an environment, by its `bin`."""

    def find(programs: Path) -> Path:
        (site,) = programs.parent.glob("lib/python*/site-packages")
        return site

    return find
