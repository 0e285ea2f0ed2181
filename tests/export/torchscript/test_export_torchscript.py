"""TorchScript and ExecuTorch files, and the plain stored network: right when loaded back, clean, and repeatable."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.errors import ModelError, TargetUnavailable
from export.executorch.export import export as export_executorch
from export.registry import FORMATS
from runtimes.registry import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
KINDS = ["torchscript-trace", "torchscript-script"]


def write(name, model, folder):
    folder.mkdir()
    return FORMATS[name].load()(model, folder)


def opened(target, file):
    runtime = TARGETS[target].runtime()
    return runtime.open(runtime.build(file, file.folder), 1)


@pytest.mark.parametrize("name", KINDS)
def test_a_program_loaded_back_equals_the_model_at_every_batch_size(tiny, tmp_path, name):
    session = opened("torchscript-cpu", write(name, tiny, tmp_path / "x"))
    for batch in (1, 2, 7):
        x = torch.randn(batch, 1, 8, 8)
        with torch.no_grad():
            wanted = tiny.module(x).numpy()
        np.testing.assert_allclose(session.run({"image": x.numpy()})["output"], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_exporting_twice_writes_the_same_bytes(tiny, tmp_path, name):
    first, second = (write(name, tiny, tmp_path / folder).path.read_bytes() for folder in "ab")
    assert first == second


@pytest.mark.parametrize("name", KINDS)
def test_no_source_path_is_in_a_program(tiny, tmp_path, name):
    file = write(name, tiny, tmp_path / "x")
    with zipfile.ZipFile(file.path) as archive:
        contents = b"".join(archive.read(n) for n in archive.namelist())
        assert not [n for n in archive.namelist() if n.endswith("debug_pkl")]
    for word in (str(Path.cwd()), str(Path(torch.__file__).parent), "site-packages", "zoo/resnet.py"):
        assert word.encode() not in contents


@pytest.mark.parametrize("name", KINDS)
def test_a_program_is_frozen(tiny, tmp_path, name):
    program = torch.jit.load(str(write(name, tiny, tmp_path / "x").path))
    assert not list(program.parameters())
    assert "batch_norm" not in str(program.inlined_graph)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, first, second):
        y = self.left(first)
        return y * self.right(second), y


def test_two_inputs_and_two_outputs_keep_their_order(wrap, tmp_path):
    model = wrap(TwoInputs(), {"zebra": (4,), "ant": (5,)}, ("output_0", "output_1"))
    x = {"ant": np.ones((3, 5), np.float32), "zebra": np.full((3, 4), 2, np.float32)}
    with torch.no_grad():
        wanted = model.module(torch.from_numpy(x["zebra"]), torch.from_numpy(x["ant"]))
    for target, name in (("torchscript-cpu", KINDS[0]), ("torchscript-cpu", KINDS[1])):
        found = opened(target, write(name, model, tmp_path / name)).run(x)
        for key, tensor in zip(("output_0", "output_1"), wanted, strict=True):
            np.testing.assert_allclose(found[key], tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_the_stored_network_is_opened_by_the_reference_target(tiny, tmp_path):
    file = write("module", tiny, tmp_path / "x")
    assert sorted(p.name for p in file.folder.iterdir()) == ["model.json", "weights.safetensors"]
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert np.array_equal(opened("torch-cpu", file).run({"image": x.numpy()})["output"], tiny.module(x).numpy())


@pytest.mark.slow
def test_an_executorch_program_equals_the_model_example_by_example(tiny, tmp_path):
    pytest.importorskip("executorch")
    file = write("executorch", tiny, tmp_path / "x")
    assert file.signature.inputs[0].shape == (1, 1, 8, 8)
    session = opened("executorch-xnnpack", file)
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        wanted = tiny.module(x).numpy()
    np.testing.assert_allclose(session.run({"image": x.numpy()})["output"], wanted, rtol=1e-3, atol=1e-3)
    assert str(Path.cwd()).encode() not in file.path.read_bytes()


def test_executorch_refuses_what_it_cannot_lower(wrap, tmp_path):
    pytest.importorskip("executorch")

    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="cannot be lowered to ExecuTorch") as caught:
        write("executorch", wrap(Branch()), tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_a_missing_executorch_names_the_command_that_brings_it(tiny, tmp_path, monkeypatch):
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == "executorch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'tightship\[mobile\]'"):
        export_executorch(tiny, tmp_path)


def test_every_format_of_the_list_can_be_loaded():
    for name, row in FORMATS.items():
        assert row.name == name
        assert row.entry_point is None or callable(row.load())
    assert all(FORMATS[f].entry_point for target in TARGETS.values() for f in target.formats)
    made_of_others = {name for name, row in FORMATS.items() if row.entry_point is None}
    assert made_of_others == {f for target in TARGETS.values() for f in target.also_opens}
