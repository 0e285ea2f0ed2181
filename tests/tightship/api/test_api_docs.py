"""The tutorial's code runs as it stands, from top to bottom."""

import re
from pathlib import Path

import pytest

import tightship as ts

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "tutorials" / "python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_first_thing_to_see_is_five_lines_of_python():
    assert TEXT.index("```python") < 30
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 5


@pytest.mark.slow
def test_every_block_runs_in_order(workplace, capsys):
    names = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"block {number} of docs/tutorials/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert "True onnxruntime-cpu/" in said
    assert re.search(r"p50 \S+ ms \(95 % interval \S+ \.\. \S+\) over 2 processes, threads 1, batch 1", said)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bts\.(\w+)", TEXT))))
def test_every_name_that_it_speaks_of_is_there(name):
    assert name in ts.__all__
