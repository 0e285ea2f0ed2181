"""A working folder as a user has it: a recipe, its finished run, and the store that holds its steps."""

import shutil

import pytest


@pytest.fixture(scope="session")
def face_store(tiny_run, tmp_path_factory):
    """A store for what these tests run, which knows every step of the recipe; others count on theirs as it is."""
    return shutil.copytree(tiny_run.store, tmp_path_factory.mktemp("face") / "store")


@pytest.fixture
def workplace(tiny_run, face_store, tmp_path, monkeypatch):
    """`recipe.yaml` and `runs/tiny` in the working folder; the store knows every step of the recipe."""
    shutil.copyfile(tiny_run.recipe, tmp_path / "recipe.yaml")
    shutil.copytree(tiny_run.out, tmp_path / "runs" / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIGHTSHIP_STORE", str(face_store))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path
