"""Environments beside ours: how they are found, what runs in them, and what is said where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.environments import LITERT, Environment, child_environment, installed_version
from artifacts.errors import StageCrashed, TargetUnavailable

OWN = Environment("Sample", "SAMPLE_PYTHON", ".venv-sample", ("one==1", "two==2"))


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A virtual environment with nothing in it but numpy's absence, beside the working directory."""
    folder = tmp_path / OWN.folder
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(OWN.variable, raising=False)
    return folder


def test_it_is_found_by_its_variable_or_beside_the_working_directory(bare, monkeypatch):
    assert OWN.python() == bare / "bin" / "python"
    monkeypatch.setenv(OWN.variable, sys.executable)
    assert OWN.python() == Path(sys.executable)


def test_a_variable_that_names_no_file_is_not_passed_over(bare, monkeypatch):
    monkeypatch.setenv(OWN.variable, "/no/such/python")
    assert OWN.python() is None
    with pytest.raises(TargetUnavailable, match=r"SAMPLE_PYTHON is '/no/such/python', which is no file"):
        OWN.require()


def test_where_there_is_none_the_one_command_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetUnavailable) as caught:
        OWN.require()
    assert "there is no .venv-sample" in str(caught.value)
    assert str(caught.value).endswith("python3.11 -m venv .venv-sample && .venv-sample/bin/python -m pip install one==1 two==2")


def test_versions_are_read_from_its_own_files(bare):
    packages = next(bare.glob("lib/python3*/site-packages"))
    (packages / "one-1.5.dist-info").mkdir()
    (packages / "one-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: one\nVersion: 1.5\n")
    assert OWN.version("one") == "1.5"
    assert OWN.version("numpy") is None


def test_a_module_of_ours_runs_in_it_without_our_libraries(bare, monkeypatch):
    """Its path has our packages by name only: what else lies in our environment must not be seen."""
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    command = OWN.module("artifacts.specs")
    assert subprocess.run(command, env=child_environment(), check=False).returncode == 0
    missing = subprocess.run(
        OWN.module("runtimes.registry"), env=child_environment(), capture_output=True, text=True, check=False
    )
    assert "No module named 'numpy'" in missing.stderr


def test_a_script_that_refuses_gives_its_sentence_and_one_that_dies_is_told(bare, tmp_path):
    (tmp_path / "done.py").write_text("import sys; assert sys.argv[1:] == ['a', 'b c']")
    assert OWN.run(tmp_path / "done.py", "a", "b c") is None
    (tmp_path / "refuses.py").write_text("import sys; sys.exit('refused: too large')")
    assert OWN.run(tmp_path / "refuses.py") == "too large"
    (tmp_path / "dies.py").write_text("import os; os.abort()")
    with pytest.raises(StageCrashed, match=r"dies\.py in the Sample environment died \(exit code -6\)"):
        OWN.run(tmp_path / "dies.py")
    (tmp_path / "fails.py").write_text("raise KeyError('here')")
    with pytest.raises(StageCrashed, match="KeyError: 'here'"):
        OWN.run(tmp_path / "fails.py")
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)")
    with pytest.raises(StageCrashed, match="did not end within 1 s"):
        OWN.run(tmp_path / "hangs.py", timeout=1)


def test_a_library_that_lives_elsewhere_is_not_taken_from_here(tmp_path, monkeypatch):
    monkeypatch.setenv(LITERT.variable, str(tmp_path / "none"))
    assert installed_version("ai-edge-litert") is None
    assert installed_version("numpy")
    assert installed_version("no-such-library") is None
