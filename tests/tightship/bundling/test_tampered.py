"""A bundle gives itself away when it was tampered with, and a hostile archive writes nothing."""

import gzip
import io
import re
import tarfile
from pathlib import Path

import pytest

import artifacts.manifest
from artifacts.errors import IntegrityError, RequestError
from tightship.bundling.pack import make_bundle, verify_bundle


def change_byte(folder: Path) -> None:
    path = folder / "model" / "model.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def lose_evidence(folder: Path) -> None:
    (folder / "evidence.json").unlink()


def add_file(folder: Path) -> None:
    (folder / "model" / "sidecar.so").write_bytes(b"x")


def link_file(folder: Path) -> None:
    (folder / "README.md").rename(folder.parent / "moved")
    (folder / "README.md").symlink_to(folder.parent / "moved")


def raise_schema(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2', 1))


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (change_byte, "model/model.onnx"),
        (lose_evidence, "evidence.json"),
        (add_file, "model/sidecar.so"),
        (link_file, "README.md"),
        (raise_schema, "schema 2"),
    ],
)
def test_a_tampered_folder_is_refused_here_and_on_the_device(unpacked, tamper, named, start):
    tamper(unpacked)
    with pytest.raises(IntegrityError, match=re.escape(named)):
        verify_bundle(unpacked)
    done = start(unpacked, "--selftest")
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_model_under_a_fresh_manifest_is_refused(unpacked):
    change_byte(unpacked)
    facts = artifacts.manifest.read_manifest(unpacked).extra
    artifacts.manifest.build_manifest(unpacked, facts).write(unpacked)
    with pytest.raises(IntegrityError, match=r"model/model\.onnx in .* is not the file that was measured"):
        verify_bundle(unpacked)


def member(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, len(data)
    return made, data


def repack(archive: Path, *extra: tuple, sorted_first: bool = False) -> None:
    with tarfile.open(archive) as tar:
        kept = [(item, tar.extractfile(item).read()) for item in tar.getmembers()]
    with tarfile.open(archive, "w:gz") as tar:
        for item, data in [*extra, *kept] if sorted_first else [*kept, *extra]:
            tar.addfile(item, io.BytesIO(data))


TOP = "zoo-digits-onnxruntime-cpu-fp32"


@pytest.mark.parametrize("sorted_first", [False, True])
@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (member("../x"), "the file name '../x'"),
        (member(f"{TOP}/../../x"), "may leave it"),
        (member("/tmp/x"), "the file name '/tmp/x'"),
        (member(f"{TOP}/..\\x"), "the file name"),
        (member(f"{TOP}/c:x"), "the file name"),
        (member(f"{TOP}/link", b"", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a special file"),
        (member(f"{TOP}/hard", b"", tarfile.LNKTYPE, f"{TOP}/run.py"), "is a link or a special file"),
        (member(f"{TOP}/pipe", b"", tarfile.FIFOTYPE), "is a link or a special file"),
        (member(f"{TOP}/device", b"", tarfile.CHRTYPE), "is a link or a special file"),
        (member(f"{TOP}/run.py"), "appears twice"),
        (member(f"{TOP}/RUN.py"), "one name where case does not count"),
        (member(f"{TOP}/Model/x"), "one name where case does not count"),
        (member(f"{TOP}/run.py/x"), "a file and a folder at once"),
        (member("other/x"), "a bundle holds one folder"),
        (member("x"), "a bundle holds one folder"),
        (member(f"{TOP}/extra"), "extra in .* is not in its manifest"),
        (member(f"{TOP}/" + "n" * 70_000), "unusual size"),
    ],
)
def test_a_hostile_archive_is_refused_and_writes_nothing(make_run, tmp_path, extra, reason, sorted_first):
    archive = make_bundle(make_run().out)
    repack(archive, extra, sorted_first=sorted_first)
    (tmp_path / "target").mkdir()
    with pytest.raises(IntegrityError, match=reason):
        verify_bundle(archive)
    if "manifest" not in reason:
        with pytest.raises(IntegrityError):
            artifacts.manifest.safe_extract(archive, tmp_path / "target")
        assert not any((tmp_path / "target").iterdir())


def test_too_many_members_are_refused(tmp_path):
    archive = tmp_path / "many.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for i in range(artifacts.manifest.MAX_MEMBERS + 1):
            tar.addfile(tarfile.TarInfo(f"top/{i}"))
    with pytest.raises(IntegrityError, match="10,000 members"):
        verify_bundle(archive)


@pytest.mark.parametrize("size", [9 * 1024**3, -512])
def test_a_declared_size_beyond_reason_is_refused_before_it_is_read(tmp_path, size):
    huge = tarfile.TarInfo("top/huge")
    huge.size = size
    header = huge.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(header + header + b"\0" * 1024))
    with pytest.raises(IntegrityError):
        verify_bundle(tmp_path / "bomb.tar.gz")


def test_a_damaged_archive_is_refused_wherever_it_was_cut_or_changed(make_run):
    archive = make_bundle(make_run().out)
    whole = archive.read_bytes()
    for eighth in range(8):
        at = len(whole) * eighth // 8
        # bytes 4 to 9 of a gzip header are a date and the name of a system, which change nothing
        flip = max(at, 10)
        changed = whole[:flip] + bytes([whole[flip] ^ 0x55]) + whole[flip + 1 :]
        for data in (whole[:at], changed, whole + b"behind"):
            archive.write_bytes(data)
            with pytest.raises(IntegrityError):
                verify_bundle(archive)


def test_data_behind_the_last_member_is_refused(make_run):
    archive = make_bundle(make_run().out)
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()) + b"hidden"))
    with pytest.raises(IntegrityError, match="behind its last member"):
        verify_bundle(archive)


def test_a_repacked_archive_with_folder_members_passes(make_run):
    archive = make_bundle(make_run().out)
    repack(archive, member(TOP, b"", tarfile.DIRTYPE), sorted_first=True)
    assert verify_bundle(archive).files == 21


def test_a_bundle_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RequestError, match="there is no bundle"):
        verify_bundle(tmp_path / "none.tar.gz")


def test_no_other_code_unpacks_archives():
    rooms = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
    for path in (path for room in rooms for path in (Path(__file__).parents[3] / room).rglob("*.py")):
        assert not re.search(r"\b(extractall|unpack_archive)\(", path.read_text()), f"{path}: use safe_extract"
