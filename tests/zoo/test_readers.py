"""Data sets are read as their formats say, and a file that is not what it should be is named in one sentence."""

import gzip
import struct

import numpy as np
import pytest

from artifacts.errors import DataError, RequestError
from zoo.data import DataRef, fingerprint, load_data
from zoo.readers import read_cifar10, read_digits, read_idx, read_idx_file, read_imagefolder, read_npz


def idx(array) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist(tmp_path):
    """The four files, one of them gzipped, with images that tell their place."""
    images = np.arange(6 * 4 * 5).reshape(6, 4, 5)
    labels = np.array([0, 1, 2, 0, 1, 2])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:3])))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[:3]))
    return tmp_path


def refused(call, *words) -> str:
    with pytest.raises(DataError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    return text


def test_idx_files_give_images_scaled_by_the_training_statistics(mnist):
    data = read_idx(mnist)
    inputs, targets = data.test.batch(np.arange(3))
    assert inputs["image"].shape == (3, 1, 4, 5)
    assert inputs["image"].dtype == np.float32
    assert targets.tolist() == [0, 1, 2]
    assert data.labels == ("0", "1", "2")
    everything = data.train.batch(np.arange(6))[0]["image"]
    assert abs(everything.mean()) < 1e-4
    assert abs(everything.std() - 1) < 1e-3
    assert (data.inputs[0].name, data.inputs[0].shape) == ("image", ("batch", 1, 4, 5))


def test_an_idx_file_keeps_its_bytes_in_order(mnist):
    assert read_idx_file(mnist / "train-images-idx3-ubyte").tolist() == np.arange(120).reshape(6, 4, 5).tolist()


def test_a_truncated_idx_file_is_named_with_the_shape_it_announces(mnist):
    path = mnist / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    refused(lambda: read_idx(mnist), str(path), "(6, 4, 5)")


def test_an_idx_header_cut_short_is_named(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\0\0\x08\x03\0\0")
    refused(lambda: read_idx_file(path), str(path), "3 sizes")


@pytest.mark.parametrize("raw", [b"", b"\0\0\x0d\x01" + b"\0" * 8, b"PK\x03\x04abcdefgh"])
def test_a_wrong_magic_number_is_named(tmp_path, raw):
    path = tmp_path / "x"
    path.write_bytes(raw)
    refused(lambda: read_idx_file(path), str(path), "not an IDX file")


@pytest.mark.parametrize("divergence", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:12] + b"\xff" * 8 + raw[20:]])
def test_a_damaged_gzip_is_named(mnist, divergence):
    path = mnist / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(divergence(path.read_bytes()))
    refused(lambda: read_idx(mnist), str(path))


def test_a_missing_idx_file_is_named(mnist):
    (mnist / "t10k-labels-idx1-ubyte").unlink()
    refused(lambda: read_idx(mnist), "t10k-labels-idx1-ubyte", str(mnist))


def test_images_and_labels_of_different_number_are_refused(mnist):
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(5)))
    refused(lambda: read_idx(mnist), "image (6, 1, 4, 5), targets (5,)")


def cifar(folder, records) -> None:
    folder.mkdir(exist_ok=True)
    raw = np.zeros((records, 3073), np.uint8)
    raw[:, 0] = np.arange(records) % 10
    raw[:, 1:1025] = 255
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        raw.tofile(folder / name)


def test_cifar10_batches_are_planes_of_red_green_and_blue(tmp_path, monkeypatch):
    monkeypatch.setenv("TIGHTSHIP_DATA", str(tmp_path))
    cifar(tmp_path / "cifar-10-batches-bin", 12)
    data = read_cifar10()
    image, target = data.test.batch(np.array([3]))
    assert len(data.train) == 60
    assert target.tolist() == [3]
    assert data.labels is not None
    assert data.labels[3] == "cat"
    np.testing.assert_allclose(image["image"][0, 0], (1 - 0.485) / 0.229, rtol=1e-5)
    np.testing.assert_allclose(image["image"][0, 2], -0.406 / 0.225, rtol=1e-5)


def test_a_truncated_cifar10_batch_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TIGHTSHIP_DATA", str(tmp_path))
    folder = tmp_path / "cifar-10-batches-bin"
    cifar(folder, 12)
    (folder / "data_batch_2.bin").write_bytes(b"\0" * 3000)
    refused(read_cifar10, "data_batch_2.bin", "3,073")


def test_missing_cifar10_batches_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TIGHTSHIP_DATA", str(tmp_path))
    refused(read_cifar10, "data_batch_1.bin", "missing")


def test_the_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("TIGHTSHIP_DATA", raising=False)
    refused(read_cifar10, "$TIGHTSHIP_DATA")


def arrays(**changes):
    rng = np.random.default_rng(0)
    base = {"x_train": rng.normal(size=(8, 3)).astype(np.float32), "y_train": np.arange(8) % 2}
    return {**base, "x_test": base["x_train"][:4], "y_test": base["y_train"][:4], **changes}


def test_npz_floats_are_kept_as_they_are(tmp_path):
    made = arrays()
    np.savez(tmp_path / "a.npz", **made)
    data = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.train.batch(np.arange(8))[0]["input"], made["x_train"])
    assert (data.metric, data.labels) == ("top1", ("0", "1"))


def test_npz_with_real_targets_is_a_regression(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays(y_train=np.linspace(0, 1, 8), y_test=np.linspace(0, 1, 4)))
    data = read_npz(tmp_path / "a.npz")
    assert (data.metric, data.labels) == ("negative-mse", None)


def test_npz_images_are_scaled(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", **arrays(x_train=images, x_test=images[:4]))
    assert abs(read_npz(tmp_path / "a.npz").train.batch(np.arange(8))[0]["image"].mean()) < 1e-4


def test_npz_with_object_arrays_is_refused_without_unpickling(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "a.npz", **arrays(x_train=np.array([Trap()] * 8, dtype=object)))
    refused(lambda: read_npz(tmp_path / "a.npz"), "a.npz", "pickle")
    assert not (tmp_path / "ran").exists()


def test_npz_without_a_part_is_refused(tmp_path):
    made = arrays()
    del made["y_test"]
    np.savez(tmp_path / "a.npz", **made)
    refused(lambda: read_npz(tmp_path / "a.npz"), "y_test")


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "npy"])
def test_what_is_no_npz_is_refused(tmp_path, kind):
    path = tmp_path / "a.npz"
    if kind == "npy":
        with path.open("wb") as stream:
            np.save(stream, np.zeros(3))
    elif kind != "missing":
        np.savez(path, **arrays())
        path.write_bytes(path.read_bytes()[: 0 if kind == "empty" else 300])
    refused(lambda: read_npz(path), str(path))


def images(folder, size=(6, 5)) -> None:
    from PIL import Image

    for part in ("train", "test"):
        for shade, label in ((20, "cat"), (200, "dog")):
            (folder / part / label).mkdir(parents=True)
            for i in range(2):
                Image.new("L", size, shade + i).save(folder / part / label / f"{i}.png")


def test_an_image_folder_is_read_as_rgb_with_the_folders_as_labels(tmp_path):
    images(tmp_path)
    data = read_imagefolder(tmp_path)
    inputs, targets = data.train.batch(np.arange(4))
    assert data.labels == ("cat", "dog")
    assert inputs["image"].shape == (4, 3, 5, 6)
    assert targets.tolist() == [0, 0, 1, 1]


def test_images_of_different_size_are_refused(tmp_path):
    from PIL import Image

    images(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "test" / "dog" / "big.png")
    refused(lambda: read_imagefolder(tmp_path), "(3, 9, 9)")


def test_a_file_that_is_no_image_is_named(tmp_path):
    images(tmp_path)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("hello")
    refused(lambda: read_imagefolder(tmp_path), "notes.txt")


def test_a_folder_without_classes_is_refused(tmp_path):
    refused(lambda: read_imagefolder(tmp_path), "train/CLASS/*")


def test_the_digits_are_split_the_same_way_every_time():
    first, second = read_digits(), read_digits()
    assert (len(first.train), len(first.test)) == (1257, 540)
    assert first.train.fingerprint() == second.train.fingerprint()
    assert first.train.fingerprint() != first.test.fingerprint()
    assert first.inputs[0].shape == ("batch", 1, 8, 8)


def test_the_fingerprint_follows_the_files(mnist):
    before = fingerprint(DataRef(idx=mnist))
    assert before == fingerprint(DataRef(idx=mnist))
    (mnist / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3)))
    assert fingerprint(DataRef(idx=mnist)) != before


def test_an_unknown_data_set_names_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'digits'"):
        load_data(DataRef(zoo="digit"))
