"""Files are written whole or not at all, folders appear finished, and digests are of bytes and of values."""

import hashlib
import json
import os

import pytest

from artifacts.errors import IntegrityError
from artifacts.files import sha256_file, sha256_json, staged, walk, write_atomic, write_json


def test_digests_are_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert sha256_json({"b": 1, "a": [1.5, None]}) == sha256_json({"a": [1.5, None], "b": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": "1"})
    with pytest.raises(ValueError, match="JSON"):
        sha256_json(float("nan"))


def test_a_write_that_fails_leaves_the_old_bytes_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o644

    def broken(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_numbers_that_are_none_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("inf")})
    assert not list(tmp_path.iterdir())


def test_a_staged_folder_appears_only_when_it_is_finished(tmp_path):
    final = tmp_path / "final"
    with staged(final) as folder:
        (folder / "a").write_text("1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["final"]


def test_a_staged_folder_that_fails_leaves_the_old_one(tmp_path):
    final = tmp_path / "final"
    with staged(final) as folder:
        (folder / "a").write_text("1")

    def fail():
        with staged(final) as folder:
            (folder / "a").write_text("2")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert (final / "a").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["final"]


def test_a_staged_folder_replaces_the_old_one_whole(tmp_path):
    for name in "ab":
        with staged(tmp_path / "final") as folder:
            (folder / name).write_text(name)
    assert [p.name for p in (tmp_path / "final").iterdir()] == ["b"]


def test_walking_is_sorted_and_relative_and_refuses_links(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("")
    (tmp_path / "a").write_text("")
    assert [name for name, _ in walk(tmp_path)] == ["a", "b/x"]
    (tmp_path / "c").symlink_to("a")
    with pytest.raises(IntegrityError, match="not a regular file"):
        list(walk(tmp_path))
