"""Set-up installs the locked versions, says what it does and how long it took, and leaves no half of anything behind."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUB = """#!/bin/sh
# stands in for a Python: `-m venv DIR` puts a copy of it there, and pip does nothing but say what it was told
echo "$(basename "$(dirname "$(dirname "$0")")") $*" >> "$CALLS"
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip freeze"*) cat "$FREEZE" ;;
  *"$FAILS"*) echo "no matching distribution" >&2; exit 1 ;;
esac
"""
HEADER = "# how to renew it\n"


@pytest.fixture
def make(tmp_path, environment):
    """Calls make in a folder with our Makefile and a Python that installs nothing; gives its result, and what pip was told."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "constraints.txt").write_text(f"{HEADER}old==1.0\n")
    (tmp_path / "python").write_text(STUB)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "freeze.txt").write_text("new==2.0\ntorch==2.13.0+cpu\n")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    def call(*arguments, fails="no such thing"):
        calls = tmp_path / "calls"
        calls.write_text("")
        more = {"CALLS": str(calls), "FAILS": fails, "FREEZE": str(tmp_path / "freeze.txt")}
        command = ["make", "--no-print-directory", *arguments, f"PYTHON={tmp_path / 'python'}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True)
        return done, calls.read_text()

    return call


def test_set_up_is_a_few_lines_with_seconds_and_takes_the_locked_versions(make):
    done, calls = make("venv")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("== setting up .venv")
    assert len(lines) <= 5
    assert all(re.fullmatch(r"   \S.*\s\d+ s", line) for line in lines[1:])
    installs = [line for line in calls.splitlines() if "pip install" in line]
    assert installs
    assert all(line.startswith(".venv ") and "-c constraints.txt" in line for line in installs)


def test_a_second_set_up_does_nothing_until_the_lock_or_the_project_changes(make, tmp_path):
    make("venv")
    assert make("venv")[1] == ""
    stamp = (tmp_path / ".venv" / ".installed").stat().st_mtime
    for name in ("constraints.txt", "pyproject.toml"):
        os.utime(tmp_path / name, (stamp + 10, stamp + 10))
        assert "pip install" in make("venv")[1], name
        os.utime(tmp_path / name, (stamp - 10, stamp - 10))


def test_a_set_up_that_fails_says_so_and_is_made_again(make, tmp_path):
    done, _ = make("venv", fails="-e .")
    assert done.returncode != 0
    assert "no matching distribution" in done.stderr
    assert not (tmp_path / ".venv" / ".installed").exists()
    assert "pip install" in make("venv")[1]


def test_the_newest_libraries_live_in_an_environment_of_their_own_without_the_lock(make):
    done, calls = make("venv-newest")
    assert done.returncode == 0, done.stderr
    (install,) = [line for line in calls.splitlines() if "pip install" in line]
    assert install.startswith(".venv-newest ")
    assert "constraints" not in install
    assert "-U --upgrade-strategy eager" in install
    assert "< new==2.0" in done.stdout, "what differs from the lock is said"


def test_the_lock_is_written_without_tags_of_builds_and_keeps_its_head(make, tmp_path):
    make("venv")
    done, _ = make("lock")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "constraints.txt").read_text() == f"{HEADER}new==2.0\ntorch==2.13.0\n"


@pytest.mark.parametrize("frozen", ["odd @ file:///somewhere/odd.whl\n", None])
def test_what_cannot_be_locked_leaves_the_lock_as_it_was(make, tmp_path, frozen):
    make("venv")
    before = (tmp_path / "constraints.txt").read_text()
    if frozen:
        (tmp_path / "freeze.txt").write_text(frozen)
    done, _ = make("lock", *([] if frozen else ["FROM=.venv-gone"]))
    assert done.returncode != 0
    assert (tmp_path / "constraints.txt").read_text() == before


def test_help_speaks_of_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    told = "\n".join(re.findall(r'^\t@echo "(make .*)"$', text, re.MULTILINE))
    assert {name for name in targets if not re.search(rf"(make|\|) {name}\b", told)} == {"gpu", "clean", "help"}
