"""The store holds whole entries or none: each hit is verified, each bad one set aside and made again."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from tightship.store import META, Store, code_digest, versions


@dataclass(frozen=True)
class Made:
    """What the stages of these tests say."""

    summary: str
    accuracy: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


KEY = "ab" * 32
INPUTS = {"data": "11" * 32}


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "store")


class Maker:
    """Makes an entry of two files, and counts how often."""

    def __init__(self, content="hello"):
        self.content, self.calls = content, 0

    def __call__(self, folder, work):
        self.calls += 1
        assert list(folder.iterdir()) == []
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(self.content)
        (folder / "b.bin").write_bytes(b"\0\1")
        return Made("made")


def aside(store):
    return sorted(p for p in (store.root / "corrupt").glob("*")) if (store.root / "corrupt").is_dir() else []


def test_work_is_done_once_and_its_result_is_the_same_when_read_back(store):
    make = Maker()
    first, second = store.get(KEY, INPUTS, Made, make), store.get(KEY, INPUTS, Made, make)
    assert make.calls == 1
    assert (first.cached, second.cached) == (False, True)
    assert first.digest == second.digest
    assert second.result == first.result == Made("made")
    assert (second.folder / "deep" / "a.txt").read_text() == "hello"
    assert not store.work_folder(KEY).exists()


def test_another_content_has_another_digest(store):
    assert store.get(KEY, INPUTS, Made, Maker("a")).digest != store.get("cd" * 32, INPUTS, Made, Maker("b")).digest


def flip(folder):
    path = folder / "deep" / "a.txt"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def drop(folder):
    (folder / "b.bin").unlink()


def add(folder):
    (folder / "extra").write_text("x")


def link(folder):
    (folder / "b.bin").unlink()
    (folder / "b.bin").symlink_to("/etc/hostname")


def edit(folder):
    meta = json.loads((folder / META).read_text())
    meta["result"]["accuracy"] = 0.99
    (folder / META).write_text(json.dumps(meta))


def rewrite(text):
    def spoil(folder):
        (folder / META).write_text(text)

    return spoil


def forget(folder):
    (folder / META).unlink()


SPOILED = {
    "flipped bit": flip,
    "missing file": drop,
    "extra file": add,
    "link": link,
    "edited metric": edit,
    "no entry.json": forget,
    "cut short": rewrite('{"files": {'),
    "a list": rewrite("[]"),
    "a word": rewrite('"x"'),
    "null": rewrite("null"),
    "empty": rewrite(""),
    "wrong kinds": rewrite('{"files": 1, "inputs": 2, "seal": 3}'),
    "no text": lambda folder: (folder / META).write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_entry_is_set_aside_and_made_again(store, spoil):
    make = Maker()
    spoil(store.get(KEY, INPUTS, Made, make).folder)
    again = store.get(KEY, INPUTS, Made, make)
    assert (make.calls, again.cached) == (2, False)
    assert again.result.accuracy == 0.5
    assert (again.folder / "deep" / "a.txt").read_text() == "hello"
    assert len(aside(store)) == 1
    assert store.get(KEY, INPUTS, Made, make).cached


def test_an_entry_made_from_other_inputs_is_made_again(store):
    make = Maker()
    store.get(KEY, INPUTS, Made, make)
    assert not store.get(KEY, {"data": "22" * 32}, Made, make).cached
    assert make.calls == 2


def test_what_a_killed_run_left_half_written_is_ignored_and_swept_away(store):
    parent = store.entry_folder(KEY).parent
    half = parent / f".{KEY}.x1y2z3"
    half.mkdir(parents=True)
    (half / "a.txt").write_text("half")
    other = parent / f".{'cd' * 32}.x1y2z3"
    other.mkdir()
    assert store.find(KEY, INPUTS, Made) is None
    store.get(KEY, INPUTS, Made, Maker())
    assert not half.exists()
    assert other.exists(), "another entry's work in flight is not ours to sweep"


def test_a_stage_finds_its_own_state_after_a_crash(store):
    def dies(folder, work):
        (work / "state").write_text("step 7")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get(KEY, INPUTS, Made, dies)

    def goes_on(folder, work):
        assert (work / "state").read_text() == "step 7"
        return Made("went on")

    assert store.get(KEY, INPUTS, Made, goes_on).result.summary == "went on"
    assert not store.work_folder(KEY).exists()


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), MemoryError(), ValueError("broken")])
def test_a_failed_write_leaves_no_entry_and_no_half_of_one(store, failure):
    def fails(folder, work):
        (folder / "a.txt").write_text("half")
        raise failure

    with pytest.raises(type(failure)):
        store.get(KEY, INPUTS, Made, fails)
    assert store.find(KEY, INPUTS, Made) is None
    assert [p.name for p in store.entry_folder(KEY).parent.iterdir() if p.is_dir()] == []
    assert not store.get(KEY, INPUTS, Made, Maker()).cached


def test_a_disk_that_is_full_at_the_last_moment_leaves_no_entry(store, monkeypatch):
    from tightship import store as module

    def full(path, value):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", full)
        with pytest.raises(OSError, match="No space"):
            store.get(KEY, INPUTS, Made, Maker())
    assert not store.entry_folder(KEY).exists()
    assert not store.get(KEY, INPUTS, Made, Maker()).cached


def test_a_result_that_json_cannot_hold_is_no_entry(store):
    with pytest.raises(ValueError, match="JSON"):
        store.get(KEY, INPUTS, Made, lambda folder, work: Made("x", float("nan")))
    assert not store.entry_folder(KEY).exists()


def test_two_processes_on_one_store_do_the_work_once(tmp_path, environment):
    program = textwrap.dedent("""
        import sys, time
        from dataclasses import dataclass
        from pathlib import Path
        from tightship.store import Store

        @dataclass(frozen=True)
        class Made:
            summary: str

        def make(folder, work):
            with open(sys.argv[2], "a") as log:
                log.write("made\\n")
            (folder / "a").write_text("x")
            time.sleep(0.5)
            return Made("made")

        entry = Store(Path(sys.argv[1])).get("ab" * 32, {}, Made, make)
        print(entry.cached, entry.digest)
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "store"), str(tmp_path / "log")]
    running = [subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert (tmp_path / "log").read_text() == "made\n"
    assert sorted(cached for cached, _ in said) == ["False", "True", "True"]
    assert len({digest for _, digest in said}) == 1


def test_the_digest_of_the_code_tells_packages_apart():
    assert code_digest(("zoo",)) == code_digest(("zoo",))
    assert len({code_digest(("zoo",)), code_digest(("compress",)), code_digest(("zoo", "compress"))}) == 3


def test_a_library_that_is_missing_has_no_version():
    assert versions(("no-such-distribution", "numpy")).keys() == {"no-such-distribution", "numpy"}
    assert versions(("no-such-distribution",)) == {"no-such-distribution": None}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_store_that_cannot_be_written_is_an_error_and_not_a_result(tmp_path):
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        Store(tmp_path / "store").get(KEY, INPUTS, Maker())
