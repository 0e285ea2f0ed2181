"""What a recipe says of data in formats that have settings of their own, and what is refused of it."""

from pathlib import Path

import pytest

from artifacts.errors import RecipeError
from tightship.recipe.recipe import parse_recipe
from zoo.data import DataRef
from zoo.readers.hf import HfFolder
from zoo.readers.npy import NpyFolder
from zoo.readers.tables.files import CsvFiles
from zoo.readers.wav import WavFolder

HOME = Path("/home/of/recipe")


def ref(data, folder=HOME) -> DataRef:
    rest = {"name": "x", "model": {"zoo": "resnet"}, "targets": ["onnxruntime-cpu"], "gates": {"accuracy_drop": 1}}
    return parse_recipe({**rest, "data": data}, folder).data.ref()


def test_paths_are_taken_from_the_recipes_folder():
    assert ref({"npy": "a"}).source == NpyFolder(HOME / "a")
    assert ref({"wav": "a"}).source == WavFolder(HOME / "a")
    assert ref({"hf": "/a"}).source == HfFolder(Path("/a"))
    assert ref({"csv": {"train": "a.csv", "test": "b.csv", "target": "y"}}).source == CsvFiles(
        HOME / "a.csv", HOME / "b.csv", "y"
    )


def test_variables_are_filled_in(monkeypatch):
    monkeypatch.setenv("TIGHTSHIP_DATA", "/data")
    found = ref({"wav": {"folder": "$TIGHTSHIP_DATA/fsdd", "samples": 8000, "test_files": "*_[0-4].wav"}}).source
    assert found == WavFolder(Path("/data/fsdd"), 8000, "*_[0-4].wav")


def test_columns_may_be_numbers():
    given = {"train": "a", "test": "b", "target": 1, "text": 0, "header": False}
    found = ref({"csv": given}).source
    assert (found.target, found.text, found.header) == ("1", "0", False)


def test_every_key_reaches_the_reader():
    given = {
        "train": "a", "test": "b", "target": "y", "columns": ["p", "q"], "text": "t", "separator": ";", "header": False,
        "quotes": False, "standardize": False, "tokens": "bytes", "vocabulary": 300, "length": 9, "lengths": True,
    }  # fmt: skip
    found = ref({"csv": given, "metric": "top5"})
    wanted = {**given, "train": HOME / "a", "test": HOME / "b", "columns": ("p", "q")}
    assert found.source == CsvFiles(**wanted)
    assert found.metric == ("top5",)
    assert ref({"hf": {"folder": "a", "inputs": ["x"], "target": "y"}}).source == HfFolder(HOME / "a", ("x",), "y")


CSV = {"train": "a.csv", "test": "b.csv", "target": "y"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"csv": {**CSV, "traget": "y"}}, ["data: csv", "'traget'", "'target'"]),
        ({"csv": {"train": "a.csv", "target": "y"}}, ["data: csv: test"]),
        ({"csv": {**CSV, "separator": "::"}}, ["data: csv: separator"]),
        ({"csv": {**CSV, "length": 5}}, ["'length'", "'text'"]),
        ({"csv": {**CSV, "columns": ["x", "y"]}}, ["'y'", "target"]),
        ({"csv": {**CSV, "columns": []}}, ["'columns'"]),
        ({"csv": {**CSV, "text": "t", "vocabulary": 2}}, ["vocabulary"]),
        ({"csv": {**CSV, "text": "t", "tokens": "letters"}}, ["tokens"]),
        ({"csv": "a.csv"}, ["csv"]),
        ({"wav": {"folder": "a", "samples": 0}}, ["data: wav: samples"]),
        ({"wav": {"samples": 5}}, ["data: wav: folder"]),
        ({"wav": 3}, ["wav"]),
        ({"hf": {"folder": "a", "split": "x"}}, ["data: hf", "'split'"]),
        ({"npy": "a", "npz": "b"}, ["exactly one", "'npy'", "'hf'"]),
        ({"wav": {"folder": "$NO_SUCH_VARIABLE/a"}}, ["data: wav", "NO_SUCH_VARIABLE"]),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(data, words):
    with pytest.raises(RecipeError) as caught:
        ref(data)
    text = str(caught.value)
    assert "\n" not in text
    assert [word for word in words if word not in text] == [], text
