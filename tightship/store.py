"""The content-addressed store: whole entries or none, verified on every hit, locked between runs."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock
from pydantic import TypeAdapter

from artifacts.environments import installed_version
from artifacts.files import sha256_file, sha256_json, staged, walk, write_json
from artifacts.json import JsonValue

META = "entry.json"


R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True)
class Entry(Generic[R_co]):
    """A finished stage on disk: what it says of its work, a dataclass of its kind, and its files in a folder."""

    key: str
    folder: Path
    digest: str
    """SHA-256 over the names and contents of its files."""
    seconds: float
    result: R_co
    cached: bool


class Store:
    """Finished stages by key, below one folder; unfinished work beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def entry_folder(self, key: str) -> Path:
        """Where the entry of a key lies, or will lie."""
        return self.root / "entries" / key[:2] / key

    def work_folder(self, key: str) -> Path:
        """Where a stage keeps its state while it runs; continued from after a crash."""
        return self.root / "work" / key

    def find(self, key: str, inputs: Mapping[str, str], kind: type[R]) -> Entry[R] | None:
        """The entry of a key if it is whole, unchanged, made from these very inputs, of this kind; a bad one is set aside."""
        folder = self.entry_folder(key)
        if not folder.is_dir():
            return None
        try:
            meta = json.loads((folder / META).read_text())
            files = {name: sha256_file(path) for name, path in walk(folder) if name != META}
            whole = files == meta["files"] and sha256_json(_signed(meta)) == meta["seal"]
            fits = meta["inputs"] == dict(inputs)
            result = _adapter(kind).validate_python(meta["result"]) if whole and fits else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            result = None
        if result is None:
            self._set_aside(folder)
            return None
        return Entry(key, folder, sha256_json(files), meta["seconds"], result, True)

    def _set_aside(self, folder: Path) -> None:
        aside = self.root / "corrupt" / f"{folder.name}-{time.time_ns()}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder, aside)

    def get(self, key: str, inputs: Mapping[str, str], kind: type[R], make: Callable[[Path, Path], R]) -> Entry[R]:
        """The entry of a key; made by `make(folder, work folder)` if it is not there. Runs on one store wait for each other.

        Args:
            key: what decides the result, as a digest.
            inputs: key -> digest of every entry that it is made from.
            kind: the dataclass of the result.
            make: makes the result, and its files in an empty folder; the second folder outlives a crash.
        """
        folder, work = self.entry_folder(key), self.work_folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{key}.lock"):
            found = self.find(key, inputs, kind)
            if found:
                return found
            work.mkdir(parents=True, exist_ok=True)
            for stale in folder.parent.glob(f".{key}.*"):
                if stale.is_dir():
                    shutil.rmtree(stale, ignore_errors=True)
            started = time.monotonic()
            with staged(folder) as temporary:
                result = make(temporary, work)
                self._seal(temporary, inputs, _adapter(kind).dump_python(result, mode="json"), time.monotonic() - started)
            shutil.rmtree(work, ignore_errors=True)
            made = self.find(key, inputs, kind)
        assert made is not None, f"a result of {kind.__name__} does not read back"
        return Entry(made.key, made.folder, made.digest, made.seconds, made.result, False)

    def _seal(self, folder: Path, inputs: Mapping[str, str], result: JsonValue, seconds: float) -> None:
        files = {name: sha256_file(path) for name, path in walk(folder)}
        meta = {"files": files, "inputs": dict(inputs), "result": result, "seconds": round(seconds, 3)}
        meta = json.loads(json.dumps(meta, allow_nan=False))
        write_json(folder / META, {**meta, "seal": sha256_json(_signed(meta))})


def _signed(meta: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in meta.items() if name != "seal"}


def _adapter(kind: type[R]) -> TypeAdapter[R]:
    return TypeAdapter(kind)


@lru_cache(maxsize=1)
def _package_digests() -> dict[str, str]:
    root = Path(__file__).resolve().parent.parent
    digests = {}
    for package in ("artifacts", "zoo", "compress", "export", "runtimes", "benchmarks", "tightship"):
        digest = hashlib.sha256()
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
        digests[package] = digest.hexdigest()
    return digests


def code_digest(packages: tuple[str, ...]) -> str:
    """A digest of the source of our own packages: a changed line gives another key."""
    return sha256_json({name: _package_digests()[name] for name in packages})


def versions(libraries: tuple[str, ...]) -> dict[str, str | None]:
    """The installed versions of distributions; none where one is missing."""
    return {name: installed_version(name) for name in libraries}
