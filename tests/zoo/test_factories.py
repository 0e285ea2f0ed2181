"""A user's own code is found in the working folder, last; and its data may come in any of the usual forms."""

import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from artifacts.errors import DataError, ModelError, RequestError
from artifacts.types import ModelRef
from zoo.data import DataRef, fingerprint, from_factory, load_data
from zoo.factories import resolve, source_files
from zoo.models import build, complete
from zoo.readers import read_digits

X = np.arange(24, dtype=np.float32).reshape(8, 3)
Y = np.arange(8) % 2


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_working_folder_comes_last_on_the_path(here):
    (here / "my_nets_1.py").write_text("def make(): return 7\n")
    assert resolve("my_nets_1:make")() == 7
    assert sys.path[-1] == str(here)
    assert sys.path.count(str(here)) == 1


def test_a_file_here_does_not_shadow_an_installed_package(here):
    (here / "colorsys.py").write_text("def rgb_to_hsv(*a): raise SystemExit('shadowed')\n")
    sys.modules.pop("colorsys", None)
    assert resolve("colorsys:rgb_to_hsv")(1, 1, 1) == (0.0, 0.0, 1)


def test_a_factory_in_a_package_is_found_with_its_file(here):
    (here / "my_pkg_2").mkdir()
    (here / "my_pkg_2" / "__init__.py").write_text("")
    (here / "my_pkg_2" / "nets.py").write_text("def make(): return 8\n")
    assert resolve("my_pkg_2.nets:make")() == 8
    assert here / "my_pkg_2" / "nets.py" in source_files("my_pkg_2.nets:make")
    assert [p.name for p in source_files("torch.nn:Linear")] == ["__init__.py"]
    assert source_files("no_such_module_anywhere:make") == []


@pytest.mark.parametrize("spec", ["nets", "nets:", ":make", ""])
def test_a_malformed_factory_is_refused(spec):
    with pytest.raises(RequestError, match="module:callable"):
        resolve(spec)


def test_a_factory_that_cannot_be_imported_says_why(here):
    (here / "my_nets_3.py").write_text("import no_such_library\n")
    with pytest.raises(RequestError, match=r"my_nets_3.*no_such_library"):
        resolve("my_nets_3:make")
    with pytest.raises(RequestError, match="no callable 'make'"):
        resolve("math:make")


def check(data) -> None:
    assert (len(data.train), len(data.test)) == (8, 4)
    inputs, targets = data.train.batch(np.array([1, 2]))
    assert [v.tolist() for v in inputs.values()] == [X[1:3].tolist()]
    assert targets.tolist() == [1, 0]
    assert data.metric == "top1"


def torch_set(x, y):
    return TensorDataset(torch.from_numpy(x), torch.from_numpy(y))


def test_a_tuple_of_arrays_is_accepted():
    check(from_factory("f", ((X, Y), (X[:4], Y[:4]))))


def test_a_mapping_is_accepted_with_its_labels_and_metric():
    data = from_factory("f", {"train": (X, Y), "test": (X[:4], Y[:4]), "labels": ["no", "yes"]})
    check(data)
    assert data.labels == ("no", "yes")


def test_map_style_data_sets_are_accepted():
    check(from_factory("f", (torch_set(X, Y), torch_set(X[:4], Y[:4]))))


def test_data_loaders_are_accepted():
    check(from_factory("f", (DataLoader(torch_set(X, Y), 3, shuffle=True), DataLoader(torch_set(X[:4], Y[:4])))))


def test_a_subset_is_not_taken_for_the_whole_data_set():
    whole = torch_set(X, Y)
    data = from_factory("f", (Subset(whole, [0, 1, 2]), DataLoader(Subset(whole, [5, 6]))))
    assert (len(data.train), len(data.test)) == (3, 2)
    assert data.test.batch(np.array([0]))[0]["input"].tolist() == [X[5].tolist()]


class Named(Dataset):
    """Inputs by name."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return {"b": X[i], "a": np.float32([i])}, Y[i]


def test_inputs_by_name_keep_their_names_and_order():
    data = from_factory("f", (Named(), Named()))
    assert [s.name for s in data.inputs] == ["b", "a"]
    assert list(data.train.batch(np.arange(2))[0]) == ["b", "a"]
    arrays = from_factory("f", (({"b": X, "a": X[:, :1]}, Y), ({"b": X, "a": X[:, :1]}, Y)))
    assert [s.shape for s in arrays.inputs] == [("batch", 3), ("batch", 1)]


def test_several_inputs_without_names_are_numbered():
    pairs = [((X[i], X[i, :1]), Y[i]) for i in range(4)]
    assert [s.name for s in from_factory("f", (pairs, pairs)).inputs] == ["input_0", "input_1"]


def test_real_targets_are_a_regression():
    assert from_factory("f", ((X, Y / 2), (X, Y / 2))).metric == "negative-mse"


@pytest.mark.parametrize("made", [None, [1, 2, 3], {"train": 1}, (X,), (iter([]), iter([])), ([], []), ((X, Y[:3]), (X, Y))])
def test_other_forms_are_refused_in_one_sentence(made):
    with pytest.raises(DataError) as caught:
        from_factory("my.data:f", made)
    assert "\n" not in str(caught.value)


def test_a_data_factory_is_called_and_fingerprinted_by_what_it_gives(here):
    code = "import numpy as np\ndef loaders():\n    x = np.ones((4, 2), np.float32) * {}\n    y = np.arange(4) % 2\n"
    for name, value in (("my_data_4", 1), ("my_data_5", 1), ("my_data_6", 2)):
        (here / f"{name}.py").write_text(code.format(value) + "    return (x, y), (x, y)\n")
    assert len(load_data(DataRef(factory="my_data_4:loaders")).train) == 4
    prints = [fingerprint(DataRef(factory=f"my_data_{i}:loaders")) for i in (4, 5, 6)]
    assert prints[0] == prints[1] != prints[2]


def test_a_model_factory_gets_its_options(here):
    (here / "my_nets_7.py").write_text("from torch import nn\ndef make(size): return nn.Linear(size, 2)\n")
    assert build(ModelRef(factory="my_nets_7:make", options={"size": 5})).in_features == 5
    with pytest.raises(ModelError, match="takes no option 'sizes'; did you mean 'size'"):
        complete(ModelRef(factory="my_nets_7:make", options={"sizes": 5}), read_digits())


@pytest.mark.parametrize("body", ["return 5", "raise ValueError('no good')", "return undefined"])
def test_a_model_factory_that_fails_is_named(here, body):
    (here / "my_nets_8.py").write_text(f"def make():\n    {body}\n")
    with pytest.raises(ModelError, match="my_nets_8:make") as caught:
        build(ModelRef(factory="my_nets_8:make"))
    assert "\n" not in str(caught.value)
