"""Recordings of every width become mono float32 of one length, and are read as a batch asks for them."""

import struct
import wave

import numpy as np
import pytest

from zoo import splits
from zoo.data import DataRef, fingerprint
from zoo.readers import wav
from zoo.readers.wav import WavFolder, read_wav


def write(path, values, width=2, rate=8000, channels=1):
    """A PCM file of raw values, interleaved, in the range of its width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if width == 1:
        raw = bytes(np.asarray(values, np.uint8))
    else:
        raw = b"".join(int(v).to_bytes(width, "little", signed=True) for v in values)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(channels)
        stream.setsampwidth(width)
        stream.setframerate(rate)
        stream.writeframes(raw)


def floats(path, values, rate=8000):
    raw = np.asarray(values, "<f4").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(raw), b"WAVE", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32, b"data", len(raw)
    )
    path.write_bytes(head + raw)


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "test"):
        for label in ("no", "yes"):
            for i in range(3):
                write(tmp_path / part / label / f"{i}.wav", [1000 * i] * (4 + i))
    return tmp_path


@pytest.mark.parametrize(
    ("width", "values", "wanted"),
    [
        (1, [128, 0, 255], [0, -1, 127 / 128]),
        (2, [0, -32768, 16384], [0, -1, 0.5]),
        (3, [0, -(2**23), 2**22], [0, -1, 0.5]),
        (4, [0, -(2**31), 2**30], [0, -1, 0.5]),
    ],
)
def test_every_width_is_scaled_to_one(tmp_path, width, values, wanted):
    write(tmp_path / "a.wav", values, width)
    found = read_wav(tmp_path / "a.wav", 8000, 3)
    assert (found.dtype, found.shape) == (np.float32, (1, 3))
    np.testing.assert_allclose(found[0], wanted, atol=1e-7)


def test_floats_are_what_they_are(tmp_path):
    floats(tmp_path / "a.wav", [0.25, -0.5])
    assert read_wav(tmp_path / "a.wav", 8000, 3).tolist() == [[0.25, -0.5, 0]]


def test_channels_are_averaged(tmp_path):
    write(tmp_path / "a.wav", [16384, 0, -16384, -16384], channels=2)
    assert read_wav(tmp_path / "a.wav", 8000, 2).tolist() == [[0.25, -0.5]]


def test_recordings_are_cut_or_continued_with_zeros(folder):
    data = WavFolder(folder, samples=5).read(None)
    audio, targets = data.train.batch(np.array([2, 5, 1]))
    np.testing.assert_allclose(audio["audio"][:, 0], [[2000 / 32768] * 5] * 2 + [[1000 / 32768] * 5], rtol=1e-6)
    assert data.train.batch(np.array([0]))[0]["audio"].shape == (1, 1, 5)
    assert targets.tolist() == [0, 1, 0]
    assert (data.labels, data.metric) == (("no", "yes"), "top1")


def test_the_longest_of_the_training_split_decides_by_default(folder):
    write(folder / "test" / "no" / "long.wav", [1] * 50)
    data = WavFolder(folder).read(None)
    assert data.inputs[0].shape == ("batch", 1, 6)
    short = data.train.batch(np.array([1]))[0]["audio"][0, 0]
    np.testing.assert_allclose(short, [1000 / 32768] * 5 + [0], rtol=1e-6)


def test_a_batch_opens_its_own_files_and_no_others(folder, monkeypatch):
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    seen, opened = [], wav._opened
    monkeypatch.setattr(wav, "_opened", lambda path, mapped: seen.append(path) or opened(path, mapped))
    data = WavFolder(folder, samples=4).read(None)
    assert len(seen) == 3  # one for the rate, an example of each split
    seen.clear()
    data.test.batch(np.array([4, 0]))
    assert [path.relative_to(folder).as_posix() for path in seen] == ["test/yes/1.wav", "test/no/0.wav"]


def test_a_flat_folder_is_split_by_the_names_of_its_files(tmp_path):
    for label in ("0", "1"):
        for i in range(10):
            write(tmp_path / f"{label}_speaker_{i}.wav", [i])
    data = WavFolder(tmp_path, test_files="*_[01].wav").read(None)
    assert (len(data.train), len(data.test), data.labels) == (16, 4, ("0", "1"))
    values = data.test.batch(np.arange(4))[0]["audio"][:, 0, 0] * 32768
    assert values.tolist() == [0, 1, 0, 1]
    drawn = WavFolder(tmp_path).read(None)
    assert (len(drawn.train), len(drawn.test)) == (16, 4)
    assert drawn.test.batch(np.arange(4))[1].tolist() == [0, 0, 1, 1]
    assert drawn.test.fingerprint() == WavFolder(tmp_path).read(None).test.fingerprint()


def test_differing_rates_are_refused(folder, refused):
    write(folder / "train" / "yes" / "other.wav", [1] * 4, rate=16000)
    refused(lambda: WavFolder(folder).read(None), "other.wav", "16000", "8000")
    refused(lambda: WavFolder(folder, samples=4).read(None), "other.wav", "16000", "8000")


def test_a_rate_that_differs_in_the_test_is_refused_when_it_is_read(folder, refused, monkeypatch):
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    write(folder / "test" / "yes" / "other.wav", [1] * 4, rate=16000)
    data = WavFolder(folder).read(None)
    refused(lambda: data.test.batch(np.arange(len(data.test))), "other.wav", "16000")


@pytest.mark.parametrize("cut", [0, 3, 20, 40, "text", "empty"])
def test_damaged_files_are_named(tmp_path, refused, cut):
    path = tmp_path / "a.wav"
    write(path, [] if cut == "empty" else [1, 2, 3])
    if cut == "text":
        path.write_text("hello, I am a text of some length, and no recording at all")
    elif cut != "empty":
        path.write_bytes(path.read_bytes()[:cut])
    refused(lambda: read_wav(path, 8000, 3), str(path))


def test_samples_that_are_no_numbers_are_refused(tmp_path, refused):
    floats(tmp_path / "a.wav", [0.1, float("nan")])
    refused(lambda: read_wav(tmp_path / "a.wav", 8000, 2), "a.wav", "NaN")


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        ([], {}, ["CLASS_*.wav"]),
        (["plain.wav"], {}, ["CLASS_*.wav"]),
        (["a_1.wav", "b_1.wav"], {"test_files": "*_2.wav"}, ["0 are for the test", "*_2.wav"]),
        (["a_1.wav", "b_1.wav"], {"test_files": "*"}, ["2 are for the test"]),
        (["a_1.wav", "b_2.wav"], {"test_files": "*_2.wav"}, ["class 'b'"]),
        (["a_1.wav", "b_2.wav"], {}, ["0 are for the test"]),
        (["train/a/1.wav", "test/a/1.wav"], {"test_files": "*_2.wav"}, ["test_files"]),
        (["train/a/1.wav", "test/b/1.wav"], {}, ["'b'", "train"]),
        (["train/a/1.wav"], {}, ["test", "recordings"]),
    ],
)
def test_layouts_that_say_no_split_are_refused(tmp_path, refused, names, options, words):
    for name in names:
        write(tmp_path / name, [1])
    refused(lambda: WavFolder(tmp_path, **options).read(None), *words)


def test_settings_are_in_the_fingerprint(folder):
    prints = [fingerprint(DataRef(source=WavFolder(folder, samples=n))) for n in (4, 5, None, 4)]
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


@pytest.mark.data
def test_spoken_digits_are_split_as_their_authors_say():
    import os
    from pathlib import Path

    folder = Path(os.environ["TIGHTSHIP_DATA"]) / "fsdd" / "recordings"
    data = WavFolder(folder, samples=4000, test_files="*_[0-4].wav").read(None)
    assert (len(data.train), len(data.test)) == (2700, 300)
    audio, targets = data.test.batch(np.arange(300))
    assert np.bincount(targets).tolist() == [30] * 10
    assert 0.01 < np.abs(audio["audio"]).mean() < 0.5
