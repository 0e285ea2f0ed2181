"""Lite-interpreter files: written, opened again, repeatable; what the lite interpreter cannot hold is refused."""

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from artifacts.errors import ModelError
from artifacts.types import ExportedFile
from export.registry import FORMATS
from export.torchscript.lite import write_lite
from export.torchscript.lite_file import BYTECODE, calls_of, load

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
KINDS = ["torchscript-trace", "torchscript-script"]


def written(kind, model, folder):
    (folder / "lite").mkdir(parents=True)
    return write_lite(FORMATS[kind].load()(model, folder), folder / "lite")


@pytest.mark.parametrize("kind", KINDS)
def test_a_lite_program_computes_what_the_model_computes_at_every_batch_size(tiny, tmp_path, kind):
    file = written(kind, tiny, tmp_path)
    assert (file.format, file.main, [p.name for p in file.folder.iterdir()]) == ("torchscript-lite", "model.ptl", ["model.ptl"])
    program = load(file.path)
    for batch in (1, 2, 7):
        x = torch.randn(batch, 1, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(program(x), tiny.module(x), rtol=1e-3, atol=1e-4)


def test_the_evidence_says_that_the_format_is_at_its_end_and_what_was_left_out(tiny, tmp_path):
    said = " ".join(written(KINDS[0], tiny, tmp_path).notes)
    assert all(word in said for word in ("deprecated", "end of life", "ExecuTorch replaces it", "without optimize_for_mobile"))


AGAIN = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from artifacts.specs import Signature
from artifacts.types import ExportedFile
from export.torchscript.lite import write_lite
import torch
torch.jit.script(torch.nn.Linear(2, 2))  # the counter of class names goes on
plain, made = map(Path, sys.argv[1:])
write_lite(ExportedFile("torchscript-trace", plain, "model.pt", Signature(())), made)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_equal_models_make_equal_bytes_in_another_process_too(tiny, tmp_path, kind, environment):
    first, second = (written(kind, tiny, tmp_path / folder).path.read_bytes() for folder in "ab")
    assert first == second
    (tmp_path / "c").mkdir()
    command = [sys.executable, "-c", AGAIN, str(tmp_path / "a"), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c" / "model.ptl").read_bytes() == first


@pytest.mark.parametrize("kind", KINDS)
def test_no_source_path_is_in_a_lite_program(tiny, tmp_path, kind):
    with zipfile.ZipFile(written(kind, tiny, tmp_path).path) as archive:
        names = archive.namelist()
        contents = b"".join(map(archive.read, names))
    assert not [n for n in names if n.endswith(("debug_pkl", "serialization_id"))]
    for word in (str(Path.cwd()), str(Path(torch.__file__).parent), "site-packages", "zoo/resnet.py"):
        assert word.encode() not in contents


def test_the_calls_of_the_bytecode_are_counted(tiny, tmp_path):
    convolutions = sum(isinstance(m, nn.Conv2d) for m in tiny.module.modules())
    counted = calls_of(written(KINDS[0], tiny, tmp_path).path)
    assert counted["aten::_convolution"] == convolutions
    assert counted["aten::linear"] == 1


def test_what_the_lite_interpreter_cannot_hold_is_refused_in_one_sentence(wrap, tmp_path):
    class Forks(nn.Module):
        def forward(self, x):
            return torch.jit.wait(torch.jit.fork(torch.relu, x))

    with pytest.raises(ModelError, match="FORK is not supported in mobile module; leave out `file: lite`") as caught:
        written("torchscript-script", wrap(Forks()), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_program_without_bytecode_is_none_for_the_lite_interpreter(tiny, tmp_path):
    plain = FORMATS[KINDS[0]].load()(tiny, tmp_path)
    assert isinstance(plain, ExportedFile)
    for call, said in (
        (load, "lite interpreter of PyTorch cannot open model.pt"),
        (calls_of, "bytecode of model.pt cannot be"),
    ):
        with pytest.raises(ModelError, match=said) as caught:
            call(plain.path)
        assert "\n" not in str(caught.value)


def test_nothing_that_bytecode_names_is_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with zipfile.ZipFile(tmp_path / "evil.ptl", "w") as archive:
        archive.writestr(f"evil{BYTECODE}", pickle.dumps((8, ("f", (("operators", ()), ("instructions", ()), ("x", Runs()))))))
    assert calls_of(tmp_path / "evil.ptl") == {}
    assert not (tmp_path / "ran").exists()
