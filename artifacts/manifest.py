"""A folder that travels: its manifest says what every file must be, and its archive unpacks to nothing else."""

import gzip
import json
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from artifacts.errors import IntegrityError, RequestError
from artifacts.files import sha256_file, walk, write_json
from artifacts.json import JsonObject, JsonValue
from artifacts.records.evidence import FileRecord

NAME = "manifest.json"
"""The manifest's file name; it stands at the top of the folder that it describes and does not list itself."""

SCHEMA = 1
"""The version of the manifest file; a reader refuses a newer one."""

MAX_MEMBERS = 10_000
MAX_BYTES = 8 * 1024**3
"""What an archive may hold at most."""

_OWN_KEYS = ("schema", "files")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Manifest:
    """Every file of a folder by path, hash and size, with what else there is to know about the folder."""

    files: tuple[FileRecord, ...]
    """Sorted by path; paths are relative to the folder, with forward slashes."""
    extra: JsonObject = field(default_factory=dict)
    """Facts beside the files, as JSON; they stand at the top level of the manifest file."""
    schema: int = SCHEMA

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into the folder, atomically."""
        files = [asdict(record) for record in self.files]
        write_json(folder / NAME, {"schema": self.schema, **self.extra, "files": files})


def build_manifest(folder: Path, extra: JsonObject) -> Manifest:
    """The manifest of a folder as it is now, an old manifest file left out; writes nothing.

    Raises:
        IntegrityError: a link, a special file, or a name that another system could not hold.
    """
    taken = [key for key in _OWN_KEYS if key in extra]
    if taken:
        raise RequestError(f"a manifest writes {taken[0]!r} itself; give that fact another name.")
    paths = _files(folder)
    check_names(paths)
    records = (FileRecord(name, sha256_file(path), path.stat().st_size) for name, path in sorted(paths.items()))
    return Manifest(tuple(records), dict(extra))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder, without looking at the files that it lists.

    Raises:
        IntegrityError: it is missing, is not a manifest, names a file twice or outside the folder, or is too new.
    """
    path = folder / NAME
    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=_no_twins)
        schema = value.pop("schema")
        if type(schema) is not int or schema < 1:
            raise ValueError(f"schema is {schema!r}, not a positive number")
        if schema > SCHEMA:
            raise IntegrityError(f"{path} has schema {schema}, but this reads up to {SCHEMA}; upgrade tightship.")
        files = tuple(_record(entry) for entry in value.pop("files"))
    except IntegrityError:
        raise
    except FileNotFoundError:
        raise IntegrityError(f"there is no {NAME} in {folder}; it is not a bundle or not a whole one.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{path} is not a manifest: {type(error).__name__}: {error}.") from None
    check_names(record.path for record in files)
    return Manifest(files, value, schema)


def check_manifest(folder: Path) -> None:
    """Hold a folder against its manifest: every file as listed, none missing, none more.

    Raises:
        IntegrityError: the first difference, by name.
    """
    found = _files(folder)
    listed = {record.path: record for record in read_manifest(folder).files}
    check_names(found)
    for name in sorted(listed.keys() - found.keys()):
        raise IntegrityError(f"{name} is missing from {folder}, though its manifest lists it; get the bundle again.")
    for name in sorted(found.keys() - listed.keys()):
        raise IntegrityError(f"{name} in {folder} is not in its manifest; remove it, or get the bundle again.")
    for name, record in listed.items():
        _check_file(found[name], record)


def safe_extract(archive: Path, folder: Path) -> Path:
    """Unpack an archive into an empty folder and return its one top folder; the only place that unpacks any.

    Raises:
        IntegrityError: it is damaged, too large, or holds links, devices, twins or paths that leave the folder.
    """
    with _reading(archive) as (stream, tar):
        members = _members(archive, stream, tar)
        files = [member for member in members if member.isreg()]
        check_names(member.name for member in files)
        tops = {member.name.partition("/")[0] for member in files}
        if len(tops) != 1 or any("/" not in member.name for member in files):
            raise IntegrityError(f"{archive} holds {sorted(tops)[:3]} at its top, but a bundle holds one folder.")
        for member in files:
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            stream.left = member.size + _CHUNK
            source = tar.extractfile(member)
            assert source is not None
            with target.open("xb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
        return folder / tops.pop()


def check_names(names: Iterable[str]) -> None:
    """Refuse file names that leave the folder, appear twice, or differ only in case.

    Raises:
        IntegrityError: the first such name.
    """
    files: set[str] = set()
    spellings: dict[str, str] = {}
    for name in names:
        check_name(name)
        if name in files:
            raise IntegrityError(f"the file name {name!r} appears twice; each file may be listed once.")
        files.add(name)
        for part in (name, *(str(parent) for parent in PurePosixPath(name).parents)):
            first = spellings.setdefault(_fold(part), part)
            if first != part:
                raise IntegrityError(f"{first!r} and {part!r} are one name where case does not count; rename one.")
    for name in files:
        under = next((str(p) for p in PurePosixPath(name).parents if str(p) in files), None)
        if under is not None:
            raise IntegrityError(f"{under!r} is a file and a folder at once (it holds {name!r}); rename one.")


def check_name(name: str) -> None:
    """Refuse one file name that is not a plain relative path with forward slashes.

    Raises:
        IntegrityError: it is absolute, climbs, or holds a backslash, a colon or an unprintable character.
    """
    strange = [c for c in name if c in "\\:" or not c.isprintable()]
    if strange:
        raise IntegrityError(f"the file name {name!r} holds {strange[0]!r}; use plain names with forward slashes.")
    if name.startswith("/") or not all(part not in ("", ".", "..") for part in name.split("/")):
        raise IntegrityError(f"the file name {name!r} is not a plain path below the folder; it may leave it.")


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by relative path, without the manifest."""
    return {name: path for name, path in walk(folder) if name != NAME}


def _check_file(path: Path, record: FileRecord) -> None:
    size = path.stat().st_size
    if size != record.bytes:
        raise IntegrityError(f"{record.path} has {size} bytes, but its manifest says {record.bytes}; get it again.")
    digest = sha256_file(path)
    if digest != record.sha256:
        raise IntegrityError(
            f"{record.path} was changed: its SHA-256 is {digest[:12]}..., but its manifest says "
            f"{record.sha256[:12]}...; get it again."
        )


def _record(entry: JsonObject) -> FileRecord:
    path, digest, size = entry["path"], entry["sha256"], entry["bytes"]
    if not (isinstance(path, str) and isinstance(digest, str) and type(size) is int):
        raise ValueError(f"an entry of 'files' is {dict(entry)!r}")
    if path == NAME:
        raise ValueError(f"it lists {NAME} itself")
    return FileRecord(path, digest, size)


def _no_twins(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """A JSON object whose keys are unique: readers disagree about which of two twins counts."""
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} appears twice")
    return value


def _fold(name: str) -> str:
    """The name as a file system that ignores case and composition of accents sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class _Metered(gzip.GzipFile):
    """A gzip stream that gives only as much as was allowed, so that no header can fill the memory."""

    left = _CHUNK

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self.left:
            raise IntegrityError("the archive has a header of unusual size; get the bundle again.")
        self.left -= size
        return super().read(size)


@contextmanager
def _reading(archive: Path) -> Iterator[tuple[_Metered, tarfile.TarFile]]:
    try:
        with _Metered(archive, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            yield stream, tar
    except (tarfile.TarError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise IntegrityError(f"{archive} is not a whole bundle: {error}; get it again.") from None


def _members(archive: Path, stream: _Metered, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """All members, each of them harmless, with nothing behind the last."""
    members: list[tarfile.TarInfo] = []
    total = 0
    while (member := tar.next()) is not None:
        check_name(member.name)
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
        if not (plain or member.isdir()) or member.size < 0:
            raise IntegrityError(f"{member.name} in {archive} is a link or a special file; a bundle holds plain files.")
        members.append(member)
        total += member.size
        if len(members) > MAX_MEMBERS or total > MAX_BYTES:
            raise IntegrityError(f"{archive} holds over {MAX_MEMBERS:,} members or {MAX_BYTES:,} bytes; it is no bundle.")
        stream.left = _CHUNK
    stream.left = 2 * _CHUNK
    if stream.read(_CHUNK).strip(b"\0") or stream.read(1):
        raise IntegrityError(f"{archive} carries data behind its last member; get the bundle again.")
    return members
