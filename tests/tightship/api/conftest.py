"""A working folder as a user has it: a recipe, its finished run, and the store that holds its steps."""

import shutil

import pytest


@pytest.fixture
def workplace(tiny_run, tmp_path, monkeypatch):
    """`recipe.yaml` and `runs/tiny` in the working folder; the store knows every step of the recipe."""
    shutil.copyfile(tiny_run.recipe, tmp_path / "recipe.yaml")
    shutil.copytree(tiny_run.out, tmp_path / "runs" / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIGHTSHIP_STORE", str(tiny_run.store))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path
