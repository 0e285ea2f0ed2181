"""A bundle is made only of what was measured, proves itself elsewhere, and gives itself away when tampered with."""

import ast
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import artifacts.manifest
from artifacts.errors import IntegrityError, RequestError
from artifacts.evidence import (
    AccuracyRecord,
    ArtifactRecord,
    Evidence,
    FileRecord,
    GateRecord,
    LatencyRecord,
    ParityRecord,
    PlacementRecord,
    Verdict,
)
from artifacts.files import sha256_file
from artifacts.specs import Signature, TensorSpec
from benchmarks.machine import describe
from compress.quantizers.isa import INTERESTING
from tightship import bundle
from tightship.bundle import make_bundle, verify_bundle
from tightship.runner import run as runner

ROOT = Path(__file__).parents[1]
WEIGHTS = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
IMAGES = np.random.default_rng(1).normal(size=(5, 1, 4, 4)).astype(np.float32)
PREPROCESSING = {"scale": 0.0625, "mean": [0.3], "std": [0.4], "layout": "NCHW"}


def write_onnx(path: Path) -> None:
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "net", [image], [logits], [numpy_helper.from_array(WEIGHTS, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    save(model, str(path))


def torch_net():
    import torch

    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3, bias=False)).eval()
    net[1].weight.data = torch.from_numpy(WEIGHTS.T.copy())
    return net


def write_torchscript(path: Path) -> None:
    import torch

    torch.jit.script(torch_net()).save(str(path))


def write_executorch(path: Path) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(torch_net(), (torch.from_numpy(IMAGES[:1]),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def run_onnx(path: Path) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": IMAGES})[0]


def record(target: str, precision: str, kind: str, main: Path, out: Path, batch: object) -> ArtifactRecord:
    signature = Signature((TensorSpec("image", "float32", (batch, 1, 4, 4)),), (TensorSpec("logits", "float32", (batch, 3)),))
    path, size = main.relative_to(out).as_posix(), main.stat().st_size
    return ArtifactRecord(
        id=f"{target}/{precision}",
        target=target,
        precision=precision,
        role="compressed",
        format=kind,
        main=path,
        files=(FileRecord(path, sha256_file(main), size),),
        bytes=size,
        signature=asdict(signature),
        parity=ParityRecord(True, "float", 0.0, 0.0, 1.0, "1e-3 of the spread", ("real, batch 5",)),
        accuracy=AccuracyRecord("top1", 0.9, None, 0.875, 5, "0" * 64),
        latency_ms=LatencyRecord(0.011, 0.017, None, (0.010, 0.012), 500, 5, 1, 1, (0.01,) * 101),
        throughput_per_s=90_000.0,
        throughput_batch=1,
        cold_start_ms=30.0,
        cold_start_parts_ms={"load": 30.0},
        peak_rss_mb=60.0,
        placement=PlacementRecord({"MatMul": 1}, {}, 0.0, "graph"),
        speedup=None,
        gates=(GateRecord("accuracy_drop", 0.01, 0.025, True, "within the limit"),),
        verdict="ship",
    )


class Run:
    """A run's output folder whose evidence can be rewritten."""

    def __init__(self, out: Path, evidence: Evidence) -> None:
        self.out, self.evidence = out, evidence
        evidence.write(out / "evidence.json")

    def rewrite(self, machine: dict | None = None, verdict: Verdict | None = None, **artifact: object) -> None:
        self.evidence = replace(
            self.evidence,
            machine=replace(self.evidence.machine, **(machine or {})),
            verdict=verdict or self.evidence.verdict,
            artifacts=(replace(self.evidence.artifacts[0], **artifact),),
        )
        self.evidence.write(self.out / "evidence.json")

    def store_outputs(self, logits: np.ndarray) -> None:
        first = self.evidence.artifacts[0]
        np.savez(self.out / "selftest" / first.target / first.precision / "outputs.npz", logits=logits)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    def make(
        target: str = "onnxruntime-cpu",
        precision: str = "fp32",
        kind: str = "onnx",
        write: Callable[[Path], None] = write_onnx,
        batch: object = "batch",
    ) -> Run:
        out = tmp_path / "out"
        main = out / "artifacts" / target / precision / f"model.{kind}"
        tests = out / "selftest" / target / precision
        main.parent.mkdir(parents=True)
        tests.mkdir(parents=True)
        write(main)
        np.savez(tests / "inputs.npz", image=IMAGES)
        logits = run_onnx(main) if kind == "onnx" else IMAGES.reshape(5, 16) @ WEIGHTS
        np.savez(tests / "outputs.npz", logits=logits)
        data = {"name": "digits", "labels": ["a", "b", "c"], "preprocessing": PREPROCESSING, "examples": 5}
        made = record(target, precision, kind, main, out, batch)
        verdict = Verdict(True, (made.id,), made.id, ("all gates passed",))
        return Run(out, Evidence("zoo/digits", "run", {"name": "x"}, "0" * 64, describe(), data, (), (made,), (), verdict))

    return make


@pytest.fixture
def unpacked(make_run, tmp_path: Path) -> Path:
    """The unpacked folder of a good ONNX bundle."""
    return unpack(make_bundle(make_run().out), tmp_path)


def unpack(archive: Path, folder: Path) -> Path:
    return artifacts.manifest.safe_extract(archive, folder / "device")


def start(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`run.py` of a bundle in an isolated child, started from elsewhere."""
    command = [sys.executable, "-I", str(folder / "run.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_the_best_artifact_is_packed_and_verifies(make_run):
    run = make_run()
    archive = make_bundle(run.out)
    assert archive == run.out / "bundles" / "zoo-digits-onnxruntime-cpu-fp32.tar.gz"
    with tarfile.open(archive) as tar:
        names = [name.partition("/")[2] for name in tar.getnames()]
    assert names == sorted(names)
    assert set(names) == {
        *("model/model.onnx", "manifest.json", "evidence.json", "run.py", "requirements.txt", "README.md"),
        *("selftest/inputs.npz", "selftest/outputs.npz"),
    }
    verified = verify_bundle(archive)
    assert (verified.name, verified.artifact, verified.files) == ("zoo/digits", "onnxruntime-cpu/fp32", 8)
    assert os.listdir(archive.parent) == [archive.name]


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
    assert (manifest["labels"], manifest["preprocessing"]) == (["a", "b", "c"], PREPROCESSING)
    assert manifest["machine"]["cpu"] == describe().cpu
    readme = (unpacked / "README.md").read_text()
    assert "| 0.8750 |" in readme
    assert "0.011 / 0.017 ms" in readme


def test_an_onnx_bundle_passes_its_self_test_elsewhere(unpacked):
    done = start(unpacked, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-test passed" in done.stdout
    assert re.search(r"here p50 \d+\.\d+ ms, p90 .*200 calls, this machine", done.stdout)
    assert "then p50 0.011 ms, p90 0.017 ms; batch 1, threads 1, 500 calls" in done.stdout
    assert verify_bundle(unpacked).artifact == "onnxruntime-cpu/fp32"


def test_a_torchscript_bundle_passes_its_self_test(make_run, tmp_path):
    run = make_run("torchscript-cpu", kind="torchscript-script", write=write_torchscript)
    done = start(unpack(make_bundle(run.out), tmp_path), "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_an_executorch_program_with_a_fixed_batch_passes_its_self_test(make_run, tmp_path):
    pytest.importorskip("executorch")
    run = make_run("executorch-xnnpack", kind="executorch", write=write_executorch, batch=1)
    folder = unpack(make_bundle(run.out), tmp_path)
    assert "torch==" in (folder / "requirements.txt").read_text()
    done = start(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 5 rows" in done.stdout


@pytest.mark.parametrize("batch", [1, 2])
def test_a_fixed_batch_is_fed_in_its_own_steps(make_run, tmp_path, batch):
    run = make_run(batch=batch)
    done = start(unpack(make_bundle(run.out), tmp_path), "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"batch {batch}, threads 1, 200 calls" in done.stdout


@pytest.mark.parametrize(
    ("precision", "cpu", "shift", "status"),
    [
        ("fp32", None, 0.01, 1),
        ("fp32", "another CPU", 0.01, 1),
        ("int8-qat", None, 0.01, 1),
        ("int8-qat", "another CPU", 0.01, 0),
        ("int8-qat", "another CPU", 100.0, 1),
        ("int8-qat", "another CPU", float("nan"), 1),
    ],
)
def test_only_int8_on_another_cpu_may_round_otherwise(make_run, tmp_path, precision, cpu, shift, status):
    run = make_run(precision=precision)
    run.rewrite(machine={"cpu": cpu} if cpu else None)
    logits = IMAGES.reshape(5, 16) @ WEIGHTS
    logits[np.arange(5), logits.argmin(axis=1)] += shift
    run.store_outputs(logits)
    done = start(unpack(make_bundle(run.out), tmp_path), "--selftest")
    assert done.returncode == status, done.stdout + done.stderr
    assert ("not the one measured" in done.stdout) == (precision != "fp32" and cpu is not None and shift == shift)


def test_an_instruction_set_that_is_missing_here_makes_another_cpu():
    here = asdict(describe())
    assert runner.same_cpu(here)
    assert not runner.same_cpu({**here, "isa": [*here["isa"], "avx9"]})
    assert runner.ISA == INTERESTING


def test_inputs_of_ones_own_are_run_and_written(unpacked, tmp_path):
    np.savez(tmp_path / "x.npz", image=IMAGES[:2])
    done = start(unpacked, "--input", tmp_path / "x.npz", "--output", tmp_path / "y.npz")
    assert done.returncode == 0, done.stderr
    assert "logits: float32 [2, 3]" in done.stdout
    np.testing.assert_allclose(np.load(tmp_path / "y.npz")["logits"], IMAGES[:2].reshape(2, 16) @ WEIGHTS, rtol=1e-4)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"picture": IMAGES}, "the model takes ['image']"),
        ({"image": IMAGES.astype(np.float64)}, "is float64 [5, 1, 4, 4]"),
        ({"image": IMAGES[:, :, :3]}, "is float32 [5, 1, 3, 4]"),
        ({"image": IMAGES[0]}, "is float32 [1, 4, 4]"),
        ({"image": IMAGES[:0]}, "the inputs have [0] rows"),
        ({"image": np.array([object()])}, "cannot be read as an .npz file of plain arrays"),
    ],
)
def test_wrong_inputs_are_refused_in_one_sentence(unpacked, tmp_path, arrays, sentence):
    np.savez(tmp_path / "x.npz", **arrays)
    done = start(unpacked, "--input", tmp_path / "x.npz")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_outputs_are_not_written_into_the_bundle(unpacked, tmp_path):
    np.savez(tmp_path / "x.npz", image=IMAGES)
    done = start(unpacked, "--input", tmp_path / "x.npz", "--output", unpacked / "y.npz")
    assert (done.returncode, "lies inside the bundle" in done.stderr) == (2, True)
    verify_bundle(unpacked)


def test_a_picture_gets_its_three_likeliest_labels(unpacked, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(2).integers(0, 17, (4, 4))
    image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(tmp_path / "p.png")
    done = start(unpacked, "--image", tmp_path / "p.png")
    assert done.returncode == 0, done.stderr
    logits = ((pixels / 16 - 0.3) / 0.4).reshape(1, 16) @ WEIGHTS
    assert [line[0] for line in done.stdout.splitlines()] == ["abc"[i] for i in np.argsort(-logits[0])]


def test_without_a_description_of_pictures_none_is_read(make_run, tmp_path):
    run = make_run()
    run.evidence = replace(run.evidence, data={**run.evidence.data, "preprocessing": None, "labels": None})
    run.rewrite()
    done = start(unpack(make_bundle(run.out), tmp_path), "--image", "/nowhere.png")
    assert (done.returncode, "does not describe pictures" in done.stderr) == (2, True)


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
def test_a_tampered_folder_is_refused_here_and_on_the_device(unpacked, tamper, named):
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
    assert verify_bundle(archive).files == 8


def test_a_bundle_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RequestError, match="there is no bundle"):
        verify_bundle(tmp_path / "none.tar.gz")


def test_a_run_where_nothing_passed_is_refused(make_run):
    run = make_run()
    run.evidence = replace(run.evidence, verdict=Verdict(False, (), None, ("accuracy dropped",)))
    run.rewrite()
    with pytest.raises(RequestError, match=r"no artifact that passed; name one .*onnxruntime-cpu/fp32"):
        make_bundle(run.out)
    assert not (run.out / "bundles").exists()


def test_an_artifact_that_failed_is_packed_only_on_demand(make_run):
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
        ({"signature": {"inputs": [{"name": "x"}], "outputs": [{"name": "logits"}]}}, "holds .'image'., not .'x'."),
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

    monkeypatch.setattr(bundle, "verify_bundle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_bundle(archive.parents[1])
    assert os.listdir(archive.parent) == [archive.name]
    assert archive.read_bytes() == before


def test_the_stand_alone_script_imports_nothing_of_ours():
    tree = ast.parse((ROOT / "tightship" / "runner" / "run.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"numpy"}
    assert runner.SCHEMA == artifacts.manifest.SCHEMA


def test_no_other_code_unpacks_archives():
    rooms = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
    for path in (path for room in rooms for path in (ROOT / room).rglob("*.py")):
        assert not re.search(r"\b(extractall|unpack_archive)\(", path.read_text()), f"{path}: use safe_extract"
