"""The tutorial of one's own task: its two files, as they stand on the page, run outside the checkout."""

import re
from pathlib import Path

import numpy as np
import pytest

from artifacts.records.evidence import read_evidence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "own-task.md"


def files():
    """The page's Python file and its recipe."""
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "yaml"]
    return [text for _, text in blocks]


def test_the_tutorial_is_short():
    task, recipe = files()
    assert len(task.splitlines()) + len(recipe.splitlines()) < 60


@pytest.mark.slow
def test_the_tutorial_runs_as_its_page_says(tmp_path, installed, cli, monkeypatch):
    task, recipe = files()
    (tmp_path / "task.py").write_text(task)
    (tmp_path / "recipe.yaml").write_text(recipe)
    done = cli("run", "recipe.yaml", cwd=tmp_path, programs=installed(), PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(tmp_path / "runs" / "watch" / "evidence.json")
    assert {a.target for a in evidence.artifacts} == {"torch-cpu", "onnxruntime-cpu", "torchscript-cpu"}
    told = {}
    exec(task, told)
    targets = told["load"]()["test"][1]
    blind = np.abs(targets["hours"] - targets["hours"][targets["hours_mask"]].mean())[targets["hours_mask"]].mean()
    for made in evidence.artifacts:
        assert made.parity.passed
        assert made.accuracy.deployed > 0.8
        further = {one.metric: one for one in made.accuracy.further}
        assert set(further) == {"mae@hours", "task:late"}
        assert further["mae@hours"].deployed < 0.7 * blind, "it learned the hours of machines that fail"
        assert -0.5 < further["task:late"].deployed <= 0
        assert set(made.parity.rms_by_output) == {"fails", "hours"}
        assert made.per_class is not None
