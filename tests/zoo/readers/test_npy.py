"""Arrays in NPY files are mapped, and read where a batch asks for them."""

import numpy as np
import psutil
import pytest

from zoo.data import DataRef, fingerprint, load_data
from zoo.readers import common, read_npz
from zoo.readers.npy import NpyFolder, mapped
from zoo.splits import ArraySplit

RNG = np.random.default_rng(0)


@pytest.fixture
def arrays(tmp_path):
    """Writes arrays, each into its file, in place of the usual ones."""

    def write(**changes):
        usual = {"x_train": np.arange(24, dtype=np.float32).reshape(8, 3), "y_train": np.arange(8) % 2}
        usual |= {"x_test": usual["x_train"][:4], "y_test": usual["y_train"][:4]}
        for name, array in {**usual, **changes}.items():
            (tmp_path / f"{name}.npy").unlink(missing_ok=True)
            if array is not None:
                np.save(tmp_path / f"{name}.npy", array)
        return NpyFolder(tmp_path)

    return write


def test_floats_are_read_as_they_are_and_stay_in_their_file(arrays):
    data = arrays().read(None)
    inputs, targets = data.train.batch(np.array([6, 1]))
    assert inputs["input"].tolist() == [[18, 19, 20], [3, 4, 5]]
    assert (targets.tolist(), data.labels, data.metric) == ([0, 1], ("0", "1"), "top1")
    assert isinstance(data.train, ArraySplit)
    assert isinstance(data.train.inputs["input"], np.memmap)
    assert type(inputs["input"]) is np.ndarray


def test_it_gives_what_the_same_arrays_give_as_npz(arrays, tmp_path):
    images = RNG.integers(0, 256, (8, 2, 4, 4), dtype=np.uint8)
    folder = arrays(x_train=images, x_test=images[:3], y_test=np.arange(3) % 2)
    np.savez(tmp_path / "a.npz", **{p.stem: np.load(p) for p in folder.files()})
    ours, theirs = folder.read(None), read_npz(tmp_path / "a.npz")
    assert (ours.preprocessing, ours.inputs, ours.labels) == (theirs.preprocessing, theirs.inputs, theirs.labels)
    assert ours.test.fingerprint() == theirs.test.fingerprint()
    np.testing.assert_array_equal(ours.test.batch(np.arange(3))[0]["image"], theirs.test.batch(np.arange(3))[0]["image"])


def test_statistics_of_what_fits_no_memory_come_from_a_fixed_draw(arrays, monkeypatch):
    images = RNG.integers(0, 256, (40, 1, 2, 2), dtype=np.uint8)
    folder = arrays(x_train=images, y_train=np.arange(40) % 2, x_test=images[:4])
    whole = folder.read(None).preprocessing
    assert whole.mean == (round(float(images.mean()) / 255, 6),)
    assert whole.std == (round(float(images.std()) / 255, 6),)
    monkeypatch.setattr(common, "IN_MEMORY", 100)
    monkeypatch.setattr(common, "LOOKED_AT", 10)
    chosen = images[np.random.default_rng(0).permutation(40)[:10]]
    assert folder.read(None).preprocessing.mean == (round(float(chosen.mean()) / 255, 6),)


def test_statistics_do_not_depend_on_how_the_images_are_cut(monkeypatch):
    images = RNG.integers(0, 256, (50, 3, 5, 4), dtype=np.uint8)
    whole = common.statistics(images, 1 / 255)
    monkeypatch.setattr(common, "CHUNK", 8 * 60 * 7)
    assert common.statistics(images, 1 / 255) == whole


def test_several_inputs_have_the_names_of_their_files(arrays):
    one, two = np.ones((8, 2), np.float32), np.arange(8)
    data = arrays(x_train=None, x_test=None, x_train_image=one, x_train_age=two, x_test_image=one[:4], x_test_age=two[:4]).read(
        None
    )
    assert {spec.name: spec.dtype for spec in data.inputs} == {"age": "int64", "image": "float32"}
    assert data.test.batch(np.array([2]))[0]["age"].tolist() == [2]


def test_the_other_order_of_bytes_is_this_machines_in_a_batch(arrays):
    x = np.arange(24).reshape(8, 3)
    data = arrays(x_train=x.astype(">f4"), x_test=x[:4].astype(">f4"), y_train=(np.arange(8) % 2).astype(">i8")).read(None)
    inputs, targets = data.train.batch(np.arange(2))
    assert inputs["input"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert all(array.dtype.isnative for array in (inputs["input"], targets))
    assert data.inputs[0].dtype == "float32"


def test_columns_of_a_fortran_array_are_its_examples(arrays):
    x = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(8, 3))
    folder = arrays(x_train=x)
    assert folder.read(None).train.batch(np.array([1]))[0]["input"].tolist() == [[3, 4, 5]]
    assert folder.read(None).train.fingerprint() == arrays().read(None).train.fingerprint()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, ["y_test.npy"]),
        ({"x_train": None}, ["x_train.npy"]),
        ({"x_train_b": np.ones((8, 2))}, ["both x_train.npy and x_train_b.npy"]),
        ({"y_train": np.arange(7)}, ["x (8, 3)".replace("x", "input"), "y_train (7,)"]),
        ({"x_test": np.zeros((4, 5), np.float32)}, ["'input'", "(N, 3)", "(N, 5)"]),
        ({"x_test": np.zeros((4, 3), np.float16)}, ["float32", "float16"]),
        ({"x_train": np.array([object()] * 8)}, ["x_train.npy", "object"]),
        ({"y_train": np.array(3)}, ["y_train ()"]),
        ({"x_train": np.zeros((0, 3), np.float32), "y_train": np.zeros(0, np.int64)}, []),
        ({"y_train": np.array([-3] * 8)}, ["class -3"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, refused, changes, words):
    refused(lambda: arrays(**changes).read(None), *words)


def test_what_is_no_npy_is_refused_with_its_path(arrays, refused, tmp_path):
    folder = arrays()
    path = tmp_path / "x_train.npy"
    whole = path.read_bytes()
    for broken in (b"", b"hello", whole[:40], whole[:-1]):
        path.write_bytes(broken)
        refused(lambda: folder.read(None), str(path))
    with path.open("wb") as stream:
        np.savez(stream, x=np.ones(3))
    refused(lambda: mapped(path), str(path), "npz")


def test_an_npz_that_does_not_fit_into_memory_names_the_way_out(tmp_path, monkeypatch, refused):
    from types import SimpleNamespace

    from zoo.readers import npz

    np.savez_compressed(tmp_path / "a.npz", **{k: np.zeros((100, 100)) for k in npz.KEYS})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=50_000))
    refused(lambda: read_npz(tmp_path / "a.npz"), "a.npz", "x_train.npy", "`npy`")


def test_images_with_real_targets_are_a_regression(arrays, tmp_path):
    images = RNG.integers(0, 256, (8, 1, 2, 2), dtype=np.uint8)
    values = np.linspace(0, 1, 8)
    data = arrays(x_train=images, x_test=images[:4], y_train=values, y_test=values[:4]).read(None)
    assert (data.metric, data.labels) == ("negative-mse", None)
    np.testing.assert_allclose(data.train.batch(np.arange(8))[1], values)


def test_whole_values_of_a_regression_name_no_classes(arrays):
    folder = arrays(y_train=np.arange(8) * 10**9, y_test=np.arange(4))
    data = folder.read("mse")
    assert data.labels is None
    assert data.train.batch(np.arange(2))[1].dtype == np.float32


def test_the_fingerprint_follows_the_bytes_and_not_the_place(arrays, tmp_path):
    import shutil

    folder = arrays()
    before = fingerprint(DataRef(source=folder))
    copy = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-copy")
    assert fingerprint(DataRef(source=NpyFolder(copy))) == before
    arrays(y_test=np.ones(4, np.int64))
    assert fingerprint(DataRef(source=folder)) != before
    assert load_data(DataRef(source=folder)).test.batch(np.arange(4))[1].tolist() == [1, 1, 1, 1]


def test_a_folder_without_arrays_has_no_fingerprint(tmp_path, refused):
    refused(lambda: fingerprint(DataRef(source=NpyFolder(tmp_path))), str(tmp_path))
