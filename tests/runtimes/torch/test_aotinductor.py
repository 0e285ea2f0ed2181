"""AOTInductor: the right kernels are counted, a package for another machine is refused, threads are the caller's."""

import json
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import IntegrityError, ModelError
from artifacts.specs import Signature, TensorSpec
from artifacts.types import Engine, ModelRef, TorchModel
from export.aotinductor.export import compiler_missing, export
from export.aotinductor.package import CPU_FLAGS, metadata_of, signature_of, vector_flags
from runtimes.torch.aotinductor import AotInductorCpu, count_calls, placement_of
from runtimes.torch.aotinductor_loader import check_machine, needed_flags

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


class Two(nn.Module):
    """Two inputs, two outputs by name, a convolution with a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.side = nn.Linear(5, 64)

    def forward(self, image: torch.Tensor, side: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.stem(image)
        return {"sum": features + self.side(side), "features": features}


SIGNATURE = Signature(
    (TensorSpec("image", "float32", ("batch", 3, 6, 6)), TensorSpec("side", "float32", ("batch", 5))),
    (TensorSpec("sum", "float32", ("batch", 64)), TensorSpec("features", "float32", ("batch", 64))),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The network, and its package; compiled once, which takes most of this file's time."""
    if missing := compiler_missing():
        pytest.skip(missing)
    torch.manual_seed(0)
    model = TorchModel(Two().eval(), ModelRef(), SIGNATURE)
    return model, export(model, tmp_path_factory.mktemp("package"))


@pytest.fixture
def inputs():
    rng = np.random.default_rng(1)
    return lambda n: {
        "side": rng.normal(size=(n, 5)).astype(np.float32),
        "image": rng.normal(size=(n, 3, 6, 6)).astype(np.float32),
    }


def rewritten(source, target, change):
    """A copy of a package with its metadata changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, json.dumps(change(json.loads(data))) if name.endswith("_metadata.json") else data)
    return target


def test_every_batch_size_runs_and_outputs_keep_their_names(package, inputs):
    model, file = package
    runtime = AotInductorCpu()
    for threads in (2, 1):
        session = runtime.open(runtime.build(file, file.folder), threads)
        assert torch.get_num_threads() == threads
        for batch in (1, 2, 7):
            fed = inputs(batch)
            with torch.no_grad():
                wanted = model.module(torch.from_numpy(fed["image"]), torch.from_numpy(fed["side"]))
            found = session.run(fed)
            assert set(found) == {"sum", "features"}
            for name, tensor in wanted.items():
                np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_what_the_package_cannot_run_is_one_sentence(package, inputs):
    session = AotInductorCpu().open(AotInductorCpu().build(package[1], package[1].path.parent), 1)
    with pytest.raises(ModelError, match=r"^AOTInductor cannot run model\.pt2 here: .") as caught:
        session.run({**inputs(2), "side": np.zeros((2, 7), np.float32)})
    assert "\n" not in str(caught.value)


def test_the_number_of_threads_is_not_baked_in(package):
    with zipfile.ZipFile(package[1].path) as archive:
        source = b"".join(archive.read(n) for n in archive.namelist() if n.endswith(".cpp"))
    assert b"num_threads(" not in source


def test_a_package_says_what_it_takes_and_what_it_needs(package):
    said = metadata_of(package[1].path)
    assert signature_of(package[1].path) == SIGNATURE
    assert said["AOTI_DEVICE_KEY"] == "cpu"
    assert tuple(said[CPU_FLAGS].split()) == vector_flags()
    assert package[1].notes[0].startswith("machine code for this CPU")


def test_no_folder_of_this_machine_is_named_in_the_sources(package):
    with zipfile.ZipFile(package[1].path) as archive:
        sources = [archive.read(n).decode() for n in archive.namelist() if n.endswith(".cpp")]
    assert sources
    assert not [line for text in sources for line in text.splitlines() if line.startswith("//") and "site-packages" in line]


def test_the_norm_is_folded_and_library_calls_are_outside(package):
    runtime = AotInductorCpu()
    placed = runtime.open(runtime.build(package[1], package[1].folder), 1).placement()
    assert placed.accelerated["generated kernels"] >= 1
    assert placed.fallback["convolution"] == 1
    assert not any("norm" in name for name in placed.fallback)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({CPU_FLAGS: "avx2 avx1024f"}, "a CPU with avx1024f, which this one lacks"),
        ({"AOTI_MACHINE": "riscv64"}, "compiled for riscv64"),
        ({"AOTI_DEVICE_KEY": "cuda"}, "compiled for cuda"),
    ],
)
def test_a_package_for_another_machine_is_refused_with_the_command(package, tmp_path, change, words):
    made = rewritten(package[1].path, tmp_path / "other.pt2", lambda said: said | change)
    with pytest.raises(IntegrityError, match=words) as caught:
        AotInductorCpu().open(Engine("aotinductor-cpu", made, SIGNATURE), 1)
    assert "tightship run" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_not_ours_is_held_against_its_vector_instructions(package, tmp_path):
    def external(said):
        return {k: v for k, v in said.items() if k.startswith("AOTI")}

    made = rewritten(package[1].path, tmp_path / "external.pt2", external)
    check_machine(made)
    assert signature_of(made) is None
    assert needed_flags({"AOTI_CPU_ISA": "AVX512 AVX512_VNNI AMX_TILE"}) == ["avx512f", "avx512_vnni", "amx_tile"]


def test_what_is_no_package_is_one_sentence(tmp_path):
    (tmp_path / "noise.pt2").write_bytes(b"nothing" * 100)
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), tmp_path / "exported.pt2")
    for name, words in (("noise", "is no .pt2 package"), ("exported", "an exported program that is not compiled")):
        with pytest.raises(ModelError, match=words) as caught:
            AotInductorCpu().open(Engine("aotinductor-cpu", tmp_path / f"{name}.pt2", SIGNATURE), 1)
        assert "\n" not in str(caught.value)


def test_calls_are_counted_by_where_they_run():
    calls = ["cpp_fused_relu_0", "mkldnn__convolution_pointwise", "convolution", "custom operator"]
    placed = count_calls(calls, "")
    assert placed.accelerated == {"generated kernels": 1, "mkldnn__convolution_pointwise": 1}
    assert placed.fallback == {"convolution": 1, "custom operator": 1}
    # among integer layers, one that was left in float is outside
    mixed = count_calls(["_qconv_pointwise_tensor", "_qlinear_pointwise_tensor", "mkldnn__convolution_pointwise"], "")
    assert mixed.fallback == {"mkldnn__convolution_pointwise": 1}
    assert placement_of("no source").how == "the package carries no source"


def test_a_missing_compiler_is_named_with_what_mends_it(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = AotInductorCpu().probe()
    assert not found.available
    assert "no-such-compiler is not on the PATH" in found.reason
