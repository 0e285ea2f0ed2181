"""Image folders: small ones in memory, large ones decoded batch by batch, files of every mode, damaged ones by their path."""

import io

import numpy as np
import pytest
from PIL import Image

from zoo import splits
from zoo.data import DataRef, fingerprint
from zoo.readers import columns, common, imagefolder
from zoo.readers.pictures import read_picture

SHADES = {"cat": 20, "dog": 200}


@pytest.fixture
def folder(tmp_path):
    """Four images a class and part, gray, each of a shade of its own."""
    for part in ("train", "test"):
        for label, shade in SHADES.items():
            (tmp_path / part / label).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (6, 5), shade + i).save(tmp_path / part / label / f"{i}.png")
    return tmp_path


@pytest.fixture
def opened(monkeypatch):
    """The paths that were decoded."""
    seen = []

    def counted(path):
        seen.append(path)
        return read_picture(path)

    monkeypatch.setattr(imagefolder, "read_picture", counted)
    return seen


@pytest.fixture
def large(monkeypatch):
    """Whatever is read does not fit into memory."""
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    monkeypatch.setattr(common, "IN_MEMORY", 0)


def test_a_large_folder_gives_what_a_small_one_gives(folder, monkeypatch):
    small = imagefolder.read_imagefolder(folder)
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    large = imagefolder.read_imagefolder(folder)
    rows = np.array([7, 0, 3])
    assert (small.preprocessing, small.labels, small.inputs) == (large.preprocessing, large.labels, large.inputs)
    for one, other in zip(small.train.batch(rows), large.train.batch(rows), strict=True):
        np.testing.assert_array_equal(
            one["image"] if isinstance(one, dict) else one, other["image"] if isinstance(other, dict) else other
        )
    assert isinstance(small.train.inputs["image"], np.ndarray)
    assert isinstance(large.train.inputs["image"], columns.FileColumn)


def test_a_batch_opens_its_own_files_and_no_others(folder, opened, large, monkeypatch):
    monkeypatch.setattr(common, "LOOKED_AT", 3)
    monkeypatch.setattr(imagefolder, "LOOKED_AT", 2)
    data = imagefolder.read_imagefolder(folder)
    # the first for its size, 3 for the statistics, 2 of the test, and an example for the signature
    assert len(opened) == 1 + 3 + 2 + 1
    opened.clear()
    image, targets = data.train.batch(np.array([1, 6]))
    assert [path.relative_to(folder).as_posix() for path in opened] == ["train/cat/1.png", "train/dog/2.png"]
    assert targets.tolist() == [0, 1]
    assert image["image"].shape == (2, 3, 5, 6)
    opened.clear()
    assert len(data.train.fingerprint()) == 64
    assert not opened


def test_a_large_test_image_of_another_size_is_found_before_the_training(folder, large, refused):
    Image.new("RGB", (9, 9)).save(folder / "test" / "dog" / "big.png")
    refused(lambda: imagefolder.read_imagefolder(folder), "big.png", "(3, 9, 9)", "(3, 5, 6)")


def test_a_training_image_of_another_size_is_named_when_it_is_read(folder, large, refused, monkeypatch):
    monkeypatch.setattr(common, "LOOKED_AT", 1)
    data = imagefolder.read_imagefolder(folder)
    Image.new("RGB", (9, 9)).save(folder / "train" / "dog" / "3.png")
    refused(lambda: data.train.batch(np.array([7])), str(folder / "train" / "dog" / "3.png"), "(3, 9, 9)")


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "wanted"),
    [
        ("1", 1, "png", (255, 255, 255)),
        ("L", 77, "png", (77, 77, 77)),
        ("LA", (77, 9), "png", (77, 77, 77)),
        ("RGB", (10, 20, 30), "png", (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), "png", (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), "webp", (10, 20, 30)),
        ("I;16", 40000, "png", (156, 156, 156)),
        ("CMYK", (0, 0, 0, 0), "jpeg", (255, 255, 255)),
        ("L", 128, "jpeg", (128, 128, 128)),
        ("RGB", (10, 20, 30), "bmp", (10, 20, 30)),
    ],
)
def test_every_mode_becomes_three_planes_of_bytes(tmp_path, mode, colour, kind, wanted):
    options = {"lossless": True} if kind == "webp" else {}
    Image.new(mode, (4, 3), colour).save(tmp_path / "a", kind, **options)
    found = read_picture(tmp_path / "a")
    assert (found.dtype, found.shape) == (np.uint8, (3, 3, 4))
    assert tuple(found[:, 1, 1].tolist()) == wanted


def test_a_palette_becomes_its_colors(tmp_path):
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png")[:, 0, 0].tolist() == [10, 20, 30]


def test_values_of_32_bits_are_refused(tmp_path, refused):
    Image.new("F", (2, 2), 0.5).save(tmp_path / "a.tiff")
    refused(lambda: read_picture(tmp_path / "a.tiff"), "a.tiff", "32 bits", "npy")


def png():
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(stream, "png")
    return stream.getvalue()


@pytest.mark.parametrize(
    "broken",
    [b"", b"hello", png()[:200], png()[:60], png().replace(b"IDAT", b"XDAT"), png()[:100] + bytes(200) + png()[300:]],
    ids=["empty", "text", "cut", "cut-early", "no-data", "zeros"],
)
def test_a_damaged_file_is_named(tmp_path, refused, broken):
    (tmp_path / "a.png").write_bytes(broken)
    refused(lambda: read_picture(tmp_path / "a.png"), str(tmp_path / "a.png"))


def test_a_picture_that_unpacks_to_gigabytes_is_refused(tmp_path, refused, monkeypatch):
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    refused(lambda: read_picture(tmp_path / "a.png"), "a.png")


def test_hidden_files_are_no_examples(folder):
    (folder / "train" / "cat" / ".DS_Store").write_text("x")
    (folder / "train" / ".cache").mkdir()
    assert len(imagefolder.read_imagefolder(folder).train) == 8


def test_a_class_of_the_test_alone_is_refused(folder, refused):
    (folder / "test" / "eel").mkdir()
    refused(lambda: imagefolder.read_imagefolder(folder), "'eel'", str(folder / "train"))


def test_a_folder_without_test_images_is_refused(folder, refused):
    for path in (folder / "test").rglob("*.png"):
        path.unlink()
    refused(lambda: imagefolder.read_imagefolder(folder), "test/CLASS")


def test_the_fingerprint_sees_an_image_that_changes_its_class(folder):
    before = fingerprint(DataRef(imagefolder=folder))
    for path in (folder / "train" / "cat", folder / "train" / "dog"):
        path.rename(path.with_name(path.name + "-"))
    (folder / "train" / "cat-").rename(folder / "train" / "dog")
    (folder / "train" / "dog-").rename(folder / "train" / "cat")
    assert fingerprint(DataRef(imagefolder=folder)) != before
