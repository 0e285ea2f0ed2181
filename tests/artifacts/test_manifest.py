"""A folder is what its manifest says, or the difference is named."""

import json
import os
from pathlib import Path

import pytest

from artifacts.errors import IntegrityError, RequestError
from artifacts.manifest import NAME, SCHEMA, build_manifest, check_manifest, check_names, read_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two files with its manifest."""
    made = tmp_path / "made"
    (made / "model").mkdir(parents=True)
    (made / "model" / "net.onnx").write_bytes(b"weights")
    (made / "README.md").write_text("read me")
    build_manifest(made, {"name": "digits"}).write(made)
    return made


def edit(folder: Path, **changes: object) -> None:
    path = folder / NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def entry(path: object, digest: object = "0" * 64, size: object = 1) -> dict[str, object]:
    return {"path": path, "sha256": digest, "bytes": size}


def test_an_untouched_folder_passes_and_keeps_its_facts(folder):
    check_manifest(folder)
    manifest = read_manifest(folder)
    assert [file.path for file in manifest.files] == ["README.md", "model/net.onnx"]
    assert manifest.extra == {"name": "digits"}
    assert manifest.files[1].bytes == 7


def test_building_again_leaves_the_manifest_itself_out(folder):
    assert build_manifest(folder, {"name": "digits"}) == read_manifest(folder)


def test_a_fact_cannot_replace_the_file_list(folder):
    with pytest.raises(RequestError, match="'files'"):
        build_manifest(folder, {"files": []})


def test_a_changed_byte_is_named(folder):
    (folder / "model" / "net.onnx").write_bytes(b"weighty")
    with pytest.raises(IntegrityError, match=r"model/net\.onnx was changed"):
        check_manifest(folder)


def test_a_changed_size_is_named(folder):
    (folder / "README.md").write_text("read me twice")
    with pytest.raises(IntegrityError, match=r"README\.md has 13 bytes, but its manifest says 7"):
        check_manifest(folder)


def test_a_missing_file_is_named(folder):
    (folder / "README.md").unlink()
    with pytest.raises(IntegrityError, match=r"README\.md is missing"):
        check_manifest(folder)


@pytest.mark.parametrize("name", ["extra.bin", "model/manifest.json", ".hidden"])
def test_an_extra_file_is_named(folder, name):
    (folder / name).write_bytes(b"")
    with pytest.raises(IntegrityError, match=f"{name} in .* is not in its manifest"):
        check_manifest(folder)


def test_a_link_is_refused_even_where_its_bytes_agree(folder, tmp_path):
    outside = tmp_path / "outside"
    (folder / "README.md").rename(outside)
    (folder / "README.md").symlink_to(outside)
    with pytest.raises(IntegrityError, match=r"README\.md is not a regular file"):
        check_manifest(folder)
    with pytest.raises(IntegrityError, match=r"README\.md is not a regular file"):
        build_manifest(folder, {})


def test_a_linked_folder_and_a_pipe_are_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="more is not a regular file"):
        check_manifest(folder)
    (folder / "more").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(IntegrityError, match="pipe is not a regular file"):
        check_manifest(folder)


def test_names_that_differ_only_in_case_are_refused(folder):
    (folder / "readme.MD").write_text("read me")
    with pytest.raises(IntegrityError, match="one name where case does not count"):
        build_manifest(folder, {})


def test_a_newer_schema_is_refused(folder):
    edit(folder, schema=SCHEMA + 1)
    with pytest.raises(IntegrityError, match=f"schema {SCHEMA + 1}, but this reads up to {SCHEMA}"):
        check_manifest(folder)


@pytest.mark.parametrize("schema", [0, -1, True, "1", None, 1.0])
def test_a_schema_that_is_no_positive_number_is_refused(folder, schema):
    edit(folder, schema=schema)
    with pytest.raises(IntegrityError, match="not a manifest"):
        check_manifest(folder)


@pytest.mark.parametrize(
    "files",
    [None, 3, {}, "ab", ["x"], [{}], [entry(3)], [entry("a", 5)], [entry("a", "0", "1")], [entry(NAME)], [None]],
)
def test_a_malformed_file_list_is_refused(folder, files):
    edit(folder, files=files)
    with pytest.raises(IntegrityError):
        check_manifest(folder)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"schema": 1}', "\x00", "[" * 100_000, "\udcff"])
def test_a_file_that_is_no_manifest_is_refused(folder, text):
    (folder / NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(IntegrityError, match="not a manifest"):
        check_manifest(folder)


def test_a_key_given_twice_is_refused(folder):
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(text.replace('{\n  "schema"', '{\n  "files": [],\n  "schema"', 1))
    with pytest.raises(IntegrityError, match="'files' appears twice"):
        check_manifest(folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match=r"no manifest\.json"):
        check_manifest(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/.", "", "..", "a\\b", "..\\x", "C:x", "a\nb", "a\x1b[2J"],
)
def test_a_path_that_may_leave_the_folder_is_refused(folder, name):
    with pytest.raises(IntegrityError, match="the file name"):
        check_names([name])
    edit(folder, files=[entry(name)])
    with pytest.raises(IntegrityError, match="the file name"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "a"], "twice"),
        (["a/B", "a/b"], "case"),
        (["Model/x", "model/y"], "case"),
        (["stra\u00dfe", "STRASSE"], "case"),
        (["caf\u00e9", "cafe\u0301"], "case"),
        (["a", "a/b"], "a file and a folder"),
    ],
)
def test_names_that_collide_are_refused(names, reason):
    with pytest.raises(IntegrityError, match=reason):
        check_names(names)


def test_plain_names_pass():
    check_names(["model/net.onnx", "model/net.onnx.data", "README.md", "caf\u00e9/a b-c_d.e"])
