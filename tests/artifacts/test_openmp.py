"""A short spin is set before PyTorch loads, only where the user left it open, and is told apart from the user's own."""

import os
import subprocess
import sys

import pytest

from artifacts import openmp
from artifacts.openmp import as_asked, spin_briefly, threads_asked, usable_cores

SHOW = "import atexit, os; atexit.register(lambda: print('spins', os.environ.get('GOMP_SPINCOUNT')))\n"


def child(program, environment, **more):
    """What a program prints in a process that was told nothing of OpenMP but `more`."""
    kept = {k: v for k, v in environment().items() if not k.startswith(("GOMP", "OMP", "TIGHTSHIP"))}
    command = [sys.executable, "-c", program, "--version"]
    done = subprocess.run(command, env={**kept, **more}, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("more", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"OMP_NUM_THREADS": "2"}, "1000")],
)
def test_the_command_line_sets_it_unless_the_user_said_how_threads_wait(environment, more, spins):
    said = child(SHOW + "from tightship.cli.entry import main; main()", environment, **more)
    assert said.splitlines()[-1] == f"spins {spins}"


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has another library of OpenMP there")
def test_pytorchs_openmp_takes_it(environment):
    program = "from artifacts.openmp import spin_briefly; spin_briefly(); import torch"
    assert "GOMP_SPINCOUNT = '1000'" in child(program, environment, OMP_DISPLAY_ENV="verbose")


def test_after_pytorch_is_loaded_nothing_is_set(monkeypatch):
    for name in (openmp.SPINS, openmp.OURS, openmp.POLICY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    spin_briefly()
    assert openmp.SPINS not in os.environ


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({"GOMP_SPINCOUNT": "1000", "TIGHTSHIP_SPINCOUNT": "1000", "HOME": "/"}, {"HOME": "/"}),
        ({"GOMP_SPINCOUNT": "1000", "HOME": "/"}, {"GOMP_SPINCOUNT": "1000", "HOME": "/"}),
        ({"GOMP_SPINCOUNT": "5", "TIGHTSHIP_SPINCOUNT": "1000"}, {"GOMP_SPINCOUNT": "5"}),
        ({}, {}),
    ],
    ids=["ours", "the user's", "the user's, below one of ours", "none"],
)
def test_what_is_ours_is_taken_out_and_what_is_the_users_stays(found, kept):
    assert as_asked(found) == kept


@pytest.mark.parametrize(
    ("given", "number"), [("", None), ("3", 3), (" 4 ", 4), ("2,1", 2), ("0", None), ("-1", None), ("two", None), ("1.5", None)]
)
def test_the_number_of_threads_that_the_user_gave(monkeypatch, given, number):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert threads_asked() == number


def test_cores_that_this_process_may_not_use_do_not_count(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5, 6}, raising=False)
    assert usable_cores() == 3
