"""A bundle is made only of what was measured, and the same run gives the same bytes."""

import json
import os
import shutil
import tarfile
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import pytest

from artifacts.errors import IntegrityError, RequestError
from artifacts.records.evidence import (
    FileRecord,
    GateRecord,
    Verdict,
)
from artifacts.specs import Signature, TensorSpec
from benchmarks.machine import describe
from runtimes.onnxruntime.loader import OrtProgram
from runtimes.registry import find
from tightship.bundling import pack
from tightship.bundling.pack import make_bundle, verify_bundle

ROOT = Path(__file__).resolve().parents[3]


def test_the_best_artifact_is_packed_and_verifies(make_run):
    run = make_run()
    archive = make_bundle(run.out)
    assert archive == run.out / "bundles" / "zoo-digits-onnxruntime-cpu-fp32.tar.gz"
    with tarfile.open(archive) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert names == sorted(names)
    assert set(names) == {
        *(
            "model/model.onnx",
            "manifest.json",
            "evidence.json",
            "run.py",
            "requirements.txt",
            "README.md",
        ),
        *("selftest/inputs.npz", "selftest/outputs.npz"),
        *(f"code/artifacts/{name}.py" for name in ("__init__", "errors", "isa", "json", "pictures", "specs", "types")),
        *(f"code/runtimes/{name}.py" for name in ("__init__", "options")),
        *(f"code/runtimes/onnxruntime/{name}.py" for name in ("__init__", "loader", "optimized_file", "options")),
    }
    verified = verify_bundle(archive)
    assert (verified.name, verified.artifact, verified.files) == ("zoo/digits", "onnxruntime-cpu/fp32", 21)
    assert os.listdir(archive.parent) == [archive.name]


def test_the_code_that_opens_the_model_is_the_code_that_was_timed(unpacked):
    shipped = {path for path in (unpacked / "code").rglob("*.py") if path.name != "__init__.py"}
    assert len(shipped) == 10
    for path in shipped:
        assert path.read_bytes() == (ROOT / path.relative_to(unpacked / "code")).read_bytes()
    assert json.loads((unpacked / "manifest.json").read_text())["loader"] == "runtimes.onnxruntime.loader:OrtProgram"
    assert issubclass(find("onnxruntime-cpu").runtime().session, OrtProgram)
    assert find("onnxruntime-cpu").runtime().session.run is OrtProgram.run


def test_the_same_run_gives_the_same_bytes(make_run, tmp_path):
    run = make_run()
    first = make_bundle(run.out)
    for path in run.out.rglob("*"):
        os.utime(path, (1, 1))
    copied = shutil.copytree(run.out, tmp_path / "copied", copy_function=shutil.copyfile)
    second = make_bundle(copied, out=tmp_path / "other" / "name.tar.gz")
    assert second == tmp_path / "other" / "name.tar.gz"
    assert first.read_bytes() == second.read_bytes()


def test_the_requirements_pin_what_was_measured(unpacked):
    lines = (unpacked / "requirements.txt").read_text().splitlines()
    assert [line.partition(" ")[0] for line in lines] == [f"{n}=={version(n)}" for n in ("numpy", "onnxruntime")]


def test_the_manifest_and_readme_state_what_was_measured(unpacked):
    manifest = json.loads((unpacked / "manifest.json").read_text())
    assert manifest["main"] == "model/model.onnx"
    assert (manifest["runtime"]["name"], manifest["threads"]) == ("onnxruntime", 1)
    assert manifest["labels"] == ["a", "b", "c"]
    assert manifest["preprocessing"] == {"scale": 0.0625, "mean": [0.3], "std": [0.4], "layout": "NCHW"}
    assert manifest["machine"]["cpu"] == describe().cpu
    readme = (unpacked / "README.md").read_text()
    assert "| 0.8750 |" in readme
    assert "0.011 / 0.017 ms" in readme


def test_a_run_where_nothing_passed_is_refused(make_run):
    run = make_run()
    run.evidence = replace(run.evidence, verdict=Verdict(False, (), None, ("accuracy dropped",)))
    run.rewrite()
    with pytest.raises(RequestError, match=r"no artifact that passed; name one .*onnxruntime-cpu/fp32"):
        make_bundle(run.out)
    assert not (run.out / "bundles").exists()


def test_an_artifact_that_failed_is_packed_only_on_demand(make_run, unpack):
    run = make_run()
    gate = GateRecord("size_mb", 1.0, 2.0, False, "too large")
    first = replace(run.evidence.artifacts[0], verdict="fail", gates=(gate,))
    run.evidence = replace(run.evidence, artifacts=(first,))
    run.rewrite()
    with pytest.raises(RequestError, match=r"verdict 'fail' \(size_mb\)"):
        make_bundle(run.out, first.id)
    assert "| fail |" in (unpack(make_bundle(run.out, first.id, allow_failed=True), run.out) / "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "module", "target": "torch-cpu"}, "never shipped"),
        ({"format": "onnx", "target": "tensorrt"}, "cannot be packed"),
        ({"format": "tflite"}, "cannot be packed"),
        ({"main": "artifacts/onnxruntime-cpu/fp32/other.onnx"}, "not among its files"),
        ({"files": (FileRecord("../evidence.json", "0" * 64, 1),)}, "may leave it"),
        ({"files": (FileRecord("evidence.json", "0" * 64, 1),)}, "does not lie in"),
        ({"files": (FileRecord("artifacts/onnxruntime-cpu/fp32/no", "0" * 64, 1),)}, "missing or a link"),
        ({"signature": asdict(Signature((TensorSpec("x", "float32", ("batch", 3)),)))}, "holds .'image'., not .'x'."),
    ],
)
def test_what_cannot_be_packed_is_refused_and_leaves_nothing(make_run, changes, reason):
    run = make_run()
    run.rewrite(**changes)
    with pytest.raises(RequestError, match=reason):
        make_bundle(run.out)
    assert not list(run.out.glob("bundles/*"))


def test_a_file_that_is_not_the_measured_one_is_refused(make_run):
    run = make_run()
    path = run.out / run.evidence.artifacts[0].main
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match="is not the file that was measured"):
        make_bundle(run.out)


def test_a_linked_file_is_refused(make_run):
    run = make_run()
    path = run.out / run.evidence.artifacts[0].main
    path.symlink_to(path.rename(run.out / "moved"))
    with pytest.raises(IntegrityError, match="missing or a link"):
        make_bundle(run.out)


def test_a_run_without_stored_tests_is_refused(make_run):
    run = make_run()
    shutil.rmtree(run.out / "selftest")
    with pytest.raises(IntegrityError, match=r"selftest/onnxruntime-cpu/fp32/inputs\.npz .* is missing"):
        make_bundle(run.out)


def test_an_interrupted_pack_keeps_the_old_bundle(make_run, monkeypatch):
    archive = make_bundle(make_run().out)
    before = archive.read_bytes()

    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pack, "verify_bundle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(archive.parents[1])
    assert os.listdir(archive.parent) == [archive.name]
    assert archive.read_bytes() == before
