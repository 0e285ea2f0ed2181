"""A table with text and numbers goes through a whole run, and what it takes to feed the file travels with it."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from artifacts.records.evidence import read_evidence

ROOT = Path(__file__).resolve().parents[3]

NETWORK = """\
import torch
from torch import nn

class Both(nn.Module):
    def __init__(self, classes, vocabulary):
        super().__init__()
        self.table, self.out = nn.Embedding(vocabulary, 8), nn.Linear(9, classes)

    def forward(self, input, tokens, lengths):
        mean = (self.table(tokens) * (tokens > 0).unsqueeze(-1)).sum(1) / lengths.clamp(min=1).unsqueeze(-1)
        return self.out(torch.cat([mean, input], 1))

def build(classes=2, vocabulary=20):
    return Both(classes, vocabulary)
"""

RECIPE = """\
name: table
model: {factory: "network:build", vocabulary: 20}
data:
  csv: {train: train.csv, test: test.csv, target: mood, text: words, columns: [size], vocabulary: 20, length: 6, lengths: true}
train: {epochs: 8, optimizer: adamw, learning_rate: 0.05}
targets: [{name: onnxruntime-cpu, precisions: [fp32]}]
gates: {accuracy_min: 0.9, accuracy_drop: 0.01}
measure: {processes: 1, blocks: 1, block_seconds: 0.02}
"""


@pytest.mark.slow
def test_a_table_of_text_and_numbers_runs_and_says_how_it_is_encoded(tmp_path, environment):
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    generator = np.random.default_rng(0)
    for part, count in (("train", 300), ("test", 100)):
        moods = generator.integers(0, 2, count)
        lines = [f'{i},"{["bad", "good"][mood]}, very",{["sad", "glad"][mood]}' for i, mood in enumerate(moods)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["size,words,mood", *lines]))
    command = [sys.executable, "-m", "tightship.cli.entry", "run", "recipe.yaml", "--store", "store", "--out", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    evidence = read_evidence(tmp_path / "out" / "evidence.json")
    assert evidence.data["labels"] == ["glad", "sad"]
    assert {spec["name"]: spec["dtype"] for spec in evidence.artifact("onnxruntime-cpu/fp32").signature["inputs"]} == {
        "input": "float32", "tokens": "int64", "lengths": "int64",
    }  # fmt: skip
    told = (tmp_path / "out" / "encoding.json").read_bytes()
    assert json.loads(told)["input"]["mean"] == [149.5]
    assert json.loads(told)["tokens"]["words"][0] == "very"
    with tarfile.open(next((tmp_path / "out" / "bundles").glob("*.tar.gz"))) as bundle:
        name = next(name for name in bundle.getnames() if name.endswith("encoding.json"))
        assert bundle.extractfile(name).read() == told
