"""A bundle opens its model with the options that it was measured with."""

import json
import warnings

import numpy as np
import pytest

from artifacts.files import sha256_file
from artifacts.isa import instructions
from artifacts.records.evidence import FileRecord, read_evidence
from artifacts.specs import Signature
from artifacts.types import ExportedFile
from runtimes.onnxruntime.optimized_file import NOTE
from runtimes.registry import find
from tightship.bundling.pack import make_bundle
from tightship.bundling.runner import loaders

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
        files = tuple(
            FileRecord(p.relative_to(made.out).as_posix(), sha256_file(p), p.stat().st_size) for p in sorted(folder.iterdir())
        )
        main = f"artifacts/{record.target}/{record.precision}/{file.main}"
        made.rewrite(format=file.format, main=main, files=files, options=options)
        return made

    return make


@pytest.mark.parametrize("options", [{"optimized_file": True}, {"format": "ort", "graph_level": "extended"}], ids=str)
def test_an_optimized_file_passes_its_self_test_elsewhere(optimized, tmp_path, options, unpack, start):
    folder = unpack(make_bundle(optimized(**options).out), tmp_path)
    done = start(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((folder / "manifest.json").read_text())["options"] == options
    assert (folder / "model" / f"model.{options.get('format', 'onnx')}{NOTE}").is_file()


def test_a_file_for_another_cpu_is_refused_by_the_runner(tmp_path):
    path = tmp_path / "model.onnx"
    (tmp_path / f"model.onnx{NOTE}").write_text(json.dumps({"graph_level": "all", "isa": ["avx2", "sve"]}))
    with pytest.raises(loaders.Refused, match="optimized for a CPU with other instructions") as caught:
        loaders.optimized(path)
    assert "extended" in str(caught.value)
    (tmp_path / f"model.onnx{NOTE}").write_text(json.dumps({"graph_level": "all", "isa": list(instructions())}))
    assert loaders.optimized(path)
    assert not loaders.optimized(tmp_path / "plain.onnx")


@pytest.mark.parametrize(
    "told", [{}, TOLD, {"graph_level": "disable"}, {"graph_level": "layout"}, {"graph_level": "extended"}], ids=str
)
def test_the_runner_opens_a_session_as_the_target_does(tmp_path, told):
    import onnxruntime as ort

    theirs = loaders.ort_settings(ort, tmp_path / "model.onnx", {"threads": 2, "options": told})
    ours = find("onnxruntime-cpu").read_options(told).settings(2)
    plain = [n for n in dir(ours) if n.startswith(("enable", "intra", "inter", "graph", "exec", "log_sev"))]
    assert {n: getattr(theirs, n) for n in plain} == {n: getattr(ours, n) for n in plain}
    for key in ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning", "session.set_denormal_as_zero"):
        assert entry(theirs, key) == entry(ours, key)


def entry(settings, key):
    try:
        return settings.get_session_config_entry(key)
    except RuntimeError:
        return None


def test_an_openvino_bundle_is_compiled_with_its_hint_and_streams(tmp_path, monkeypatch):
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    x = ops.parameter([1, 3], np.float32, name="x")
    ov.save_model(ov.Model([ops.relu(x)], [x]), tmp_path / "model.xml")
    seen = []
    compile_model = ov.Core.compile_model
    monkeypatch.setattr(ov.Core, "compile_model", lambda *given: seen.append(compile_model(*given)) or seen[-1])
    call = loaders.load_openvino(tmp_path / "model.xml", {"threads": 2, "options": {"hint": "throughput", "streams": 2}})
    assert call([np.array([[-1, 0, 1]], np.float32)])[0].tolist() == [[0, 0, 1]]
    assert seen[0].get_property("NUM_STREAMS") == 2
    assert str(seen[0].get_property("PERFORMANCE_HINT")).endswith("THROUGHPUT")


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
    spec = {"outputs": [{"name": "y"}]}
    manifest = {"threads": 1, "format": "torchscript-trace", "signature": spec, "options": {"channels_last": True}}
    (plain,) = loaders.load_torchscript(tmp_path / "model.pt", {**manifest, "options": {}})([x.numpy()])
    (laid,) = loaders.load_torchscript(tmp_path / "model.pt", manifest)([x.numpy()])
    np.testing.assert_allclose(laid, plain, rtol=1e-4, atol=1e-5)
    assert laid.flags.c_contiguous
    seen = []
    loaders.torch_call(lambda tensor: seen.append(tensor) or tensor, manifest)([x.numpy()])
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


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
