"""A run's output folder with one small artifact, and its bundle on a device."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import artifacts.manifest
from artifacts.files import sha256_file
from artifacts.records.evidence import (
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
from artifacts.specs import Signature, TensorSpec
from benchmarks.machine import describe
from tightship.bundling.pack import make_bundle

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

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(16, 3, bias=False)
            self.linear.weight.data = torch.from_numpy(WEIGHTS.T.copy())

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.linear(image.flatten(1))}

    return Net().eval()


def write_torchscript(path: Path) -> None:
    import torch

    torch.jit.script(torch_net()).save(str(path))


def write_lite(path: Path) -> None:
    import torch

    torch.jit.script(torch_net())._save_for_lite_interpreter(str(path))


def write_executorch(path: Path) -> None:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(torch_net(), (torch.from_numpy(IMAGES[:1]),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


WRITERS = {
    "onnx": write_onnx,
    "torchscript-script": write_torchscript,
    "executorch": write_executorch,
    "torchscript-lite": write_lite,
}


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

    def refile(self) -> None:
        """Record the artifact's files as they are."""
        first = self.evidence.artifacts[0]
        folder = self.out / "artifacts" / first.target / first.precision
        paths = sorted(folder.iterdir())
        self.rewrite(
            files=tuple(FileRecord(p.relative_to(self.out).as_posix(), sha256_file(p), p.stat().st_size) for p in paths)
        )

    def store_outputs(self, logits: np.ndarray) -> None:
        first = self.evidence.artifacts[0]
        np.savez(self.out / "selftest" / first.target / first.precision / "outputs.npz", logits=logits)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    def make(
        target: str = "onnxruntime-cpu",
        precision: str = "fp32",
        kind: str = "onnx",
        batch: object = "batch",
    ) -> Run:
        out = tmp_path / "out"
        main = out / "artifacts" / target / precision / f"model.{kind}"
        tests = out / "selftest" / target / precision
        main.parent.mkdir(parents=True)
        tests.mkdir(parents=True)
        WRITERS[kind](main)
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
    return _unpack(make_bundle(make_run().out), tmp_path)


def _unpack(archive: Path, folder: Path) -> Path:
    return artifacts.manifest.safe_extract(archive, folder / "device")


@pytest.fixture
def unpack() -> Callable[[Path, Path], Path]:
    """Unpacks an archive into a folder as a device does."""
    return _unpack


def _start(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`run.py` of a bundle in an isolated child, started from elsewhere."""
    command = [sys.executable, "-I", str(folder / "run.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def start() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Starts `run.py` of a bundle in an isolated child, from elsewhere."""
    return _start


@pytest.fixture
def images() -> np.ndarray:
    """Five inputs, (5, 1, 4, 4)."""
    return IMAGES


@pytest.fixture
def weights() -> np.ndarray:
    """Of the network's only layer, (16, 3)."""
    return WEIGHTS
