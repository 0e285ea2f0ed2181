"""A bundle opens its model with the options that it was measured with."""

import json
import shutil
import warnings
from dataclasses import asdict

import numpy as np
import pytest

from artifacts.records.evidence import read_evidence
from artifacts.specs import Signature, TensorSpec
from artifacts.types import ExportedFile
from runtimes.onnxruntime.optimized_file import NOTE
from runtimes.registry import find
from tightship.bundling.pack import make_bundle
from tightship.bundling.runner import run as runner

TOLD = {"spinning": False, "arena": False, "mem_pattern": False, "execution": "parallel", "inter_op_threads": 2,
        "denormals": "zero", "graph_level": "basic"}  # fmt: skip


@pytest.fixture
def optimized(make_run):
    """Makes a run whose artifact is the optimized form of its ONNX file."""

    def make(**options):
        made = make_run()
        record = made.evidence.artifacts[0]
        folder = made.out / "artifacts" / record.target / record.precision
        plain = ExportedFile("onnx", folder, "model.onnx", Signature.from_json(record.signature))
        (folder / "optimized").mkdir()
        file = find(record.target).read_options(options).rewrite(plain, folder / "optimized")
        plain.path.unlink()
        for path in list(file.folder.iterdir()):
            path.rename(folder / path.name)
        file.folder.rmdir()
        main = f"artifacts/{record.target}/{record.precision}/{file.main}"
        made.rewrite(format=file.format, main=main, options=options)
        made.refile()
        return made

    return make


@pytest.mark.parametrize("options", [{"optimized_file": True}, {"format": "ort", "graph_level": "extended"}], ids=str)
def test_an_optimized_file_passes_its_self_test_elsewhere(optimized, tmp_path, options, unpack, start):
    folder = unpack(make_bundle(optimized(**options).out), tmp_path)
    done = start(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((folder / "manifest.json").read_text())["options"] == options
    assert (folder / "model" / f"model.{options.get('format', 'onnx')}{NOTE}").is_file()


def test_a_file_for_another_cpu_is_refused_by_the_runner(optimized, tmp_path, unpack, start):
    made = optimized(optimized_file=True)
    (note,) = (made.out / "artifacts").rglob(f"*{NOTE}")
    note.write_text(json.dumps({"graph_level": "all", "isa": ["avx2", "sve"]}))
    made.refile()
    done = start(unpack(make_bundle(made.out), tmp_path), "--selftest")
    assert done.returncode == 1
    assert "was optimized for a CPU with avx2+sve, and this one has" in done.stderr
    assert "extended" in done.stderr


@pytest.mark.parametrize("told", [TOLD, {"graph_level": "disable"}, {"graph_level": "extended"}], ids=str)
def test_an_onnx_bundle_is_opened_as_it_was_told(make_run, tmp_path, told, unpack, start):
    made = make_run()
    made.rewrite(options=told)
    folder = unpack(make_bundle(made.out), tmp_path)
    assert json.loads((folder / "manifest.json").read_text())["options"] == told
    done = start(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    made.rewrite(options={"graph_level": "most"})
    shutil.rmtree(tmp_path / "device")
    refused = start(unpack(make_bundle(made.out), tmp_path), "--selftest")
    assert (refused.returncode, "option graph_level of target onnxruntime-cpu is 'most'" in refused.stderr) == (1, True)


def test_an_openvino_bundle_is_compiled_with_its_hint_and_streams(tmp_path):
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    x = ops.parameter([1, 3], np.float32, name="x")
    ov.save_model(ov.Model([ops.relu(x)], [x]), tmp_path / "model.xml")
    signature = asdict(Signature((TensorSpec("x", "float32", (1, 3)),), (TensorSpec("y", "float32", (1, 3)),)))
    opened = runner.open_model({
        "loader": find("openvino-cpu").loader, "target": "openvino-cpu", "main": str(tmp_path / "model.xml"), "threads": 2,
        "signature": signature, "options": {"hint": "throughput", "streams": 2},
    })  # fmt: skip
    (made,) = opened.run({"x": np.array([[-1, 0, 1]], np.float32)}).values()
    assert made.tolist() == [[0, 0, 1]]
    assert opened._program.get_property("NUM_STREAMS") == "2"
    assert opened._program.get_property("PERFORMANCE_HINT") == "THROUGHPUT"


def test_evidence_that_was_written_before_there_were_options_is_read(make_run):
    made = make_run()
    text = json.loads((made.out / "evidence.json").read_text())
    del text["artifacts"][0]["options"]
    (made.out / "evidence.json").write_text(json.dumps(text))
    assert read_evidence(made.out / "evidence.json").artifacts[0].options == {}


def test_a_torchscript_bundle_lays_out_weights_and_images_as_it_was_measured(tmp_path):
    import torch

    warnings.simplefilter("ignore")
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU()).eval()
    x = torch.randn(2, 2, 5, 5)
    torch.jit.freeze(torch.jit.trace(net, x)).save(str(tmp_path / "model.pt"))
    signature = asdict(
        Signature((TensorSpec("x", "float32", ("n", 2, 5, 5)),), (TensorSpec("output", "float32", ("n", 3, 3, 3)),))
    )
    manifest = {
        "loader": find("torchscript-cpu").loader, "target": "torchscript-cpu", "main": str(tmp_path / "model.pt"), "threads": 1,
        "signature": signature, "options": {},
    }  # fmt: skip
    (plain,) = runner.open_model(manifest).run({"x": x.numpy()}).values()
    laid_out = runner.open_model({**manifest, "options": {"channels_last": True}})
    (laid,) = laid_out.run({"x": x.numpy()}).values()
    np.testing.assert_allclose(laid, plain, rtol=1e-4, atol=1e-5)
    assert laid.flags.c_contiguous
    weights = [n.t("value") for n in laid_out._program.graph.findAllNodes("prim::Constant", True) if n.hasAttribute("value")
               and n.kindOf("value") == "t" and n.t("value").ndim == 4]  # fmt: skip
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.slow
def test_a_bundled_program_is_packed_where_it_holds_what_is_shipped(make_run, tmp_path, unpack, start):
    pytest.importorskip("executorch")
    from artifacts.errors import IntegrityError
    from runtimes.executorch.bundled_program import bundle

    made = make_run(target="executorch-xnnpack", kind="executorch", batch=1)
    record = made.evidence.artifacts[0]
    tests, program = made.out / "selftest" / record.target / record.precision, made.out / record.main
    stored = [dict(np.load(tests / f"{kind}.npz")) for kind in ("inputs", "outputs")]
    (tests / "model.bpte").write_bytes(bundle(program, *stored))
    (tests / "model.bpte.json").write_text("{}")
    folder = unpack(make_bundle(made.out), tmp_path)
    assert program.read_bytes() in (folder / "selftest" / "model.bpte").read_bytes()
    listed = [entry["path"] for entry in json.loads((folder / "manifest.json").read_text())["files"]]
    assert {"selftest/model.bpte", "selftest/model.bpte.json"} <= set(listed)
    done = start(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    (tests / "model.bpte").write_bytes(b"another program")
    with pytest.raises(IntegrityError, match="does not hold the program that is shipped"):
        make_bundle(made.out)
