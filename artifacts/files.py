"""Hashing, and writes that either happen whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artifacts.errors import IntegrityError
from artifacts.json import JsonValue


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: JsonValue) -> str:
    """The SHA-256 of a JSON value in canonical form (sorted keys, no spaces, no NaN)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """The regular files below a folder, as (relative POSIX path, path), sorted.

    Raises:
        IntegrityError: a link or a special file stands in the folder.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise IntegrityError(f"{path} is not a regular file or folder; remove it.")
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush a folder with all that is in it."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file through a temporary neighbor and a rename: readers see the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, value: JsonValue) -> None:
    """Write a JSON value atomically, indented, keys in the order given; NaN is refused."""
    write_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """A temporary folder beside `final` that becomes `final`, synced to disk, when the block ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    try:
        yield temporary
        sync_tree(temporary)
        if final.exists():
            shutil.rmtree(final)
        os.chmod(temporary, 0o755)
        os.replace(temporary, final)
        sync(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
