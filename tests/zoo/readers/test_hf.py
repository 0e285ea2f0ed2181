"""Data sets of Hugging Face on disk: images, numbers and lists, read from their Arrow files as a batch asks for them."""

import sys

import numpy as np
import pytest
from PIL import Image

from artifacts.errors import TargetUnavailable
from zoo import splits
from zoo.data import DataRef, fingerprint
from zoo.readers.hf import ArrowColumn, HfFolder

datasets = pytest.importorskip("datasets")


def save(folder, features=None, **parts):
    made = {
        name: datasets.Dataset.from_dict(columns, features=datasets.Features(features) if features else None)
        for name, columns in parts.items()
    }
    datasets.DatasetDict(made).save_to_disk(str(folder))
    return folder


def picture(shade, mode="RGB", size=(4, 3)):
    return Image.new(mode, size, (shade, 0, 0) if mode == "RGB" else shade)


@pytest.fixture
def pictures(tmp_path):
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    train = {"image": [picture(i) for i in range(6)], "label": [0, 1] * 3}
    return save(tmp_path / "set", features, train=train, test={"image": [picture(9), picture(8, "L")], "label": [1, 0]})


@pytest.fixture(params=[True, False], ids=["in memory", "in files"])
def where(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(splits, "IN_MEMORY", 0)
    return request.param


def test_pictures_are_decoded_and_class_names_are_labels(pictures, where):
    data = HfFolder(pictures).read(None)
    assert (data.labels, data.metric) == (("cat", "dog"), "top1")
    assert data.inputs[0].shape == ("batch", 3, 3, 4)
    assert data.preprocessing.mean == (round(2.5 / 255, 6), 0, 0)
    raw = data.train.inputs["image"]
    assert isinstance(raw, np.ndarray) == where
    assert raw[np.array([5, 2])][:, :, 1, 1].tolist() == [[5, 0, 0], [2, 0, 0]]
    assert data.test.inputs["image"][:][:, :, 0, 0].tolist() == [[9, 0, 0], [8, 8, 8]]
    assert data.test.batch(np.arange(2))[1].tolist() == [1, 0]


def test_pictures_that_were_saved_undecoded_or_damaged(pictures, tmp_path, refused, where):
    features = {"image": datasets.Image(decode=False), "label": datasets.Value("int64")}
    import io

    stream = io.BytesIO()
    picture(5).save(stream, "png")
    raw = stream.getvalue()
    train = {"image": [{"bytes": raw, "path": None}] * 2, "label": [0, 1]}
    data = HfFolder(save(tmp_path / "raw", features, train=train, test=train)).read(None)
    assert data.train.inputs["image"][np.array([1])][0, :, 0, 0].tolist() == [5, 0, 0]
    train["image"] = [{"bytes": raw, "path": None}, {"bytes": raw[:40], "path": None}]
    folder = save(tmp_path / "damaged", features, train=train, test=train)
    refused(lambda: HfFolder(folder).read(None).train.batch(np.arange(2)), str(folder), "'image'")


def test_a_batch_decodes_its_own_pictures(pictures, monkeypatch):
    from zoo.readers import hf

    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    data = HfFolder(pictures).read(None)
    seen, planes = [], hf.rgb_planes
    monkeypatch.setattr(hf, "rgb_planes", lambda one: seen.append(one.getpixel((0, 0))[0]) or planes(one))
    data.train.batch(np.array([4, 1]))
    assert seen == [4, 1]


def test_numbers_and_lists_of_one_length_are_inputs_by_name(tmp_path, where):
    train = {"a": [[1.5, 2], [3, 4]], "b": [7, 8], "y": [0.5, 1.5], "note": ["x", "y"]}
    folder = save(tmp_path / "set", train=train, validation=train)
    data = HfFolder(folder, ("b", "a"), "y").read(None)
    inputs, targets = data.test.batch(np.array([1, 0]))
    assert list(inputs) == ["b", "a"]
    assert (inputs["b"].tolist(), inputs["b"].dtype) == ([8, 7], np.int64)
    assert (inputs["a"].tolist(), inputs["a"].dtype) == ([[3, 4], [1.5, 2]], np.float32)
    assert (targets.tolist(), data.metric, data.labels) == ([1.5, 0.5], "negative-mse", None)


def test_arrays_of_several_axes_are_inputs(tmp_path):
    values = np.arange(12).reshape(2, 2, 3).tolist()
    features = {"x": datasets.Array2D((2, 3), "int32"), "label": datasets.Value("int64")}
    folder = save(tmp_path / "set", features, train={"x": values, "label": [0, 1]}, test={"x": values, "label": [0, 1]})
    data = HfFolder(folder).read(None)
    assert data.train.batch(np.array([1]))[0]["x"].tolist() == [[[6, 7, 8], [9, 10, 11]]]


def test_text_as_target_names_the_classes(tmp_path, refused):
    train = {"x": [1.0, 2.0, 3.0], "label": ["b", "a", "b"]}
    folder = save(tmp_path / "set", train=train, test=train)
    data = HfFolder(folder).read(None)
    assert (data.labels, data.train.batch(np.arange(3))[1].tolist()) == (("a", "b"), [1, 0, 1])
    other = save(tmp_path / "other", train=train, test={"x": [1.0], "label": ["c"]})
    refused(lambda: HfFolder(other).read(None), "split test", "'c'")


@pytest.mark.parametrize(
    ("train", "options", "words"),
    [
        ({"x": [[1], [1, 2]], "label": [0, 1]}, {}, ["'x'", "array"]),
        ({"x": [1.0, None], "label": [0, 1]}, {}, ["'x'", "missing"]),
        ({"x": ["one", "two"], "label": [0, 1]}, {}, ["'x'", "text"]),
        ({"x": [1, 2], "label": [0, None]}, {}, ["'label'", "missing"]),
        ({"x": [1, 2], "y": [0, 1]}, {}, ["columns x, y", "`target`"]),
        ({"x": [1, 2], "label": [0, 1]}, {"target": "lable"}, ["'lable'", "'label'"]),
        ({"x": [1, 2], "label": [0, 1]}, {"inputs": ("z",)}, ["'z'"]),
        ({"label": [0, 1]}, {}, ["no inputs"]),
        ({"x": [{"a": 1}, {"a": 2}], "label": [0, 1]}, {}, ["'x'"]),
    ],
)
def test_columns_that_make_no_arrays_are_refused(tmp_path, refused, train, options, words):
    folder = save(tmp_path / "set", train=train, test=train)
    refused(lambda: HfFolder(folder, **options).read(None), str(folder), *words)


def test_rows_without_a_class_are_refused(tmp_path, refused):
    features = {"x": datasets.Value("int64"), "label": datasets.ClassLabel(names=["a", "b"])}
    train = {"x": [1, 2], "label": [0, -1]}
    folder = save(tmp_path / "set", features, train=train, test=train)
    refused(lambda: HfFolder(folder).read(None), "class -1")


def test_pictures_of_two_sizes_are_refused(tmp_path, refused, where):
    features = {"image": datasets.Image(), "label": datasets.Value("int64")}
    train = {"image": [picture(1), picture(2, size=(5, 5))], "label": [0, 1]}
    folder = save(tmp_path / "set", features, train=train, test=train)

    def read():
        HfFolder(folder).read(None).train.batch(np.arange(2))

    refused(read, "'image'", "3, 4")


def test_folders_of_another_kind_are_refused(tmp_path, refused):
    train = {"x": [1.0], "label": [0]}
    refused(lambda: HfFolder(tmp_path / "none").read(None), "dataset_dict.json")
    datasets.Dataset.from_dict(train).save_to_disk(str(tmp_path / "one"))
    refused(lambda: HfFolder(tmp_path / "one").read(None), "dataset_dict.json")
    refused(lambda: HfFolder(save(tmp_path / "dev", train=train, dev=train)).read(None), "train, dev")
    damaged = save(tmp_path / "set", train=train, test=train)
    for path in damaged.rglob("*.arrow"):
        path.write_bytes(b"no arrow")
    refused(lambda: HfFolder(damaged).read(None), str(damaged))


def test_the_fingerprints_follow_the_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    prints = []
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        train = {"x": [value, 5.0], "label": [0, 1]}
        folder = save(tmp_path / name, train=train, test=train)
        data = HfFolder(folder).read(None)
        assert isinstance(data.test.inputs["x"], ArrowColumn)
        prints.append((fingerprint(DataRef(source=HfFolder(folder, ("x",)))), data.test.fingerprint()))
    assert prints[0][1] == prints[1][1]
    assert prints[0][0] != prints[2][0]
    assert prints[0][1] != prints[2][1]


def test_a_missing_library_is_one_sentence(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'tightship\[hf-data\]'"):
        HfFolder(pictures).read(None)
