"""A conversion that fails its parity names the layer, and leaves a folder whose script shows the difference."""

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from artifacts.environments import LITERT
from artifacts.ids import ArtifactId
from artifacts.types import ModelRef, TorchModel
from benchmarks.parity.parity import CONVERSION, Case
from compress import checkpoint
from compress.configs import QuantizeConfig
from compress.quantizers import QUANTIZERS, Calibration
from export.aotinductor.export import compiler_missing
from export.base import Format
from export.registry import FORMATS
from tightship.pipeline.entries import Entries
from tightship.pipeline.evidence import _parity
from tightship.pipeline.run_folder import lay_out
from tightship.pipeline.stages import export
from tightship.pipeline.stages import parity as parity_stage
from tightship.pipeline.stages.exported_network import network_to_export
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.reproducer import Failed, _example
from tightship.planning.plan import Plan, make_plan
from tightship.planning.steps import ArtifactPlan
from tightship.store import Entry
from zoo.models import build
from zoo.readers import read_digits
from zoo.signatures import trace_signature

RECIPE = """
name: broken
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1}
compress: [{quantize: {calibration_samples: 64}}]
targets: [{name: TARGET, precisions: [PRECISION]}]
gates: {accuracy_drop: 0.02}
"""


@pytest.fixture(scope="module")
def model():
    ref = ModelRef("resnet", None, {"depth": 8, "width": 8, "classes": 10, "channels": 1})
    torch.manual_seed(0)
    module = build(ref).eval()
    return TorchModel(module, ref, trace_signature(module, read_digits()))


@pytest.fixture
def checked(recipe_from, model, tmp_path):
    """Runs the real check of a file that `spoil` changed after it was exported: the result, and the step's folder."""

    def check(target, precision, spoil):
        recipe = recipe_from(RECIPE.replace("TARGET", target).replace("PRECISION", precision))
        plan = make_plan(recipe, "m")
        artifact = next(a for a in plan.artifacts if a.target == target)
        config = next(s.config for s in plan.steps if s.name == artifact.check_step)
        source, made, out, work = (tmp_path / name for name in ("source", "made", "out", "work"))
        for folder in (source, made / "files", out, work):
            folder.mkdir(parents=True)
        checkpoint.save(model, source)
        entries = {"source": Entry("", source, "", 0.0, None, False)}
        job = Job(config, entries, out, work, tmp_path, read_digits)
        file = export.written(job, config.export, network_to_export(job, config.export.export), made / "files")
        spoil(file.path)
        entries["file"] = Entry("", made, "", 0.0, replace(export.result_of(file), notes=()), False)
        return _parity(artifact, parity_stage.check(job)), out / "reproducer"

    return check


def scaled(path, weight, factor):
    """Multiply one initializer of an ONNX file."""
    proto = onnx.load(path)
    (found,) = [w for w in proto.graph.initializer if w.name == weight]
    found.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(found) * np.float32(factor), weight))
    onnx.save(proto, path)


def shown(folder, into, python=None):
    """What the script prints and how it ends, in a copy of the folder elsewhere and with nothing of ours to import."""
    shutil.copytree(folder, into)
    command = [python or sys.executable, "-I", into / "repro.py"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_float_file_is_cut_down_to_the_layer_whose_weights_changed(checked, tmp_path):
    parity, folder = checked("onnxruntime-cpu", "fp32", lambda path: scaled(path, "layer2.0.conv1.weight", 1.5))
    assert not parity.passed
    assert "first divergence at 'conv2d_3' (layer2.0.conv1)" in parity.first_bad
    assert parity.reproducer == "reproducers/onnxruntime-cpu/fp32"
    assert f"python {parity.reproducer}/repro.py" in parity.first_bad
    assert [n.op_type for n in onnx.load(folder / "cut.onnx").graph.node] == ["Conv"]
    done = shown(folder, tmp_path / "alone")
    assert done.returncode == 1, done.stderr
    part, whole = (line for line in done.stdout.splitlines() if "DIFFERS" in line)
    assert part.startswith("  conv2d_3: max 1.8")
    assert whole.startswith("  output: ")


def test_the_script_finds_nothing_once_the_file_is_mended(checked, model, tmp_path):
    _, folder = checked("onnxruntime-cpu", "fp32", lambda path: scaled(path, "layer2.0.conv1.weight", 1.5))
    scaled(folder / "cut.onnx", "layer2.0.conv1.weight", 1 / 1.5)
    scaled(folder / "model" / "model.onnx", "layer2.0.conv1.weight", 1 / 1.5)
    done = shown(folder, tmp_path / "alone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no difference shown" in done.stdout


@pytest.mark.slow
def test_a_wrong_attribute_is_found_as_well(checked):
    def dilate(path):
        proto = onnx.load(path)
        node = [n for n in proto.graph.node if n.op_type == "Conv"][4]
        for attribute in node.attribute:
            if attribute.name in ("dilations", "pads"):
                attribute.ints[:] = [2] * len(attribute.ints)
        onnx.save(proto, path)

    parity, _ = checked("onnxruntime-cpu", "fp32", dilate)
    assert "(layer2.0.conv2)" in parity.first_bad


@pytest.mark.slow
def test_of_a_quantized_file_the_layer_where_the_error_grows_most_is_named(checked, tmp_path):
    parity, folder = checked("onnxruntime-cpu", "int8", lambda path: scaled(path, "layer3.0.conv1.weight_scale", 4))
    assert not parity.passed
    assert "the error grows most at 'relu_5' (layer3.0.conv1)" in parity.first_bad
    done = shown(folder, tmp_path / "alone")
    assert done.returncode == 1, done.stderr
    assert "relu_5_DequantizeLinear_Output: max " in done.stdout
    kinds = {n.op_type for n in onnx.load(folder / "cut.onnx").graph.node}
    assert kinds == {"Conv", "QuantizeLinear", "DequantizeLinear"}


@pytest.fixture
def reexport(model):
    """Writes the file of a network like `model`, but for one layer whose weights are scaled; `layer` by its dotted name."""

    def make(format_name, layer, factor):
        def spoil(path):
            other = copy.deepcopy(model.module)
            other.get_submodule(layer).weight.data *= factor
            FORMATS[format_name].load()(replace(model, module=other), path.parent)

        return spoil

    return make


INSIDE = {
    "openvino-cpu": ("openvino", "openvino"),
    "torchscript-cpu": ("torchscript-trace", "torch"),
    "ncnn-cpu": ("ncnn", "ncnn"),
    "litert-xnnpack": ("litert", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("target", INSIDE)
def test_of_every_format_whose_runtime_shows_its_tensors_the_layer_is_named(checked, reexport, tmp_path, target):
    format_name, library = INSIDE[target]
    if library is None and LITERT.python() is None:
        pytest.skip(f"LiteRT has no environment here: {LITERT.command}")
    if library is not None:
        pytest.importorskip(library)
    parity, folder = checked(target, "fp32", reexport(format_name, "layer2.0.conv1", 1.5))
    assert not parity.passed
    assert "first divergence at 'conv2d_3' (layer2.0.conv1)" in parity.first_bad
    assert "nor anything computed from it" in parity.first_bad
    assert not (folder / "cut.onnx").exists()
    done = shown(folder, tmp_path / "alone", None if library else LITERT.python())
    assert done.returncode == 1, done.stderr
    assert "output: max" in done.stdout


@pytest.mark.slow
def test_of_a_quantized_file_of_another_format_too_the_layer_where_errors_grow_most_is_named(
    checked, model, reexport, tmp_path
):
    pytest.importorskip("nncf")

    def spoil(path):
        plain = tmp_path / "spoilt"
        plain.mkdir()
        reexport("openvino", "layer3.0.conv1", 1.5)(plain / "model.xml")
        file = replace(FORMATS["openvino"].load()(model, tmp_path), folder=plain)
        calibration = Calibration(read_digits().train, QuantizeConfig(calibration_samples=64), 0, model)
        for old in path.parent.iterdir():
            old.unlink()
        QUANTIZERS["nncf"].load()(file, path.parent, calibration)

    parity, _ = checked("openvino-cpu", "int8", spoil)
    assert not parity.passed
    assert "the error grows most at" in parity.first_bad
    assert "(layer3.0.conv1)" in parity.first_bad


SHUT = {"executorch-xnnpack": ("executorch", "executorch"), "aotinductor-cpu": ("aotinductor", "torch")}


@pytest.fixture
def broken(monkeypatch):
    """Makes a format's exporter scale the weights of a layer, as a faulty one would of every network that it is given."""

    def spoil(format_name, layer, factor):
        write, load = FORMATS[format_name].load(), Format.load

        def faulty(model, folder):
            other = copy.deepcopy(model.module)
            other.get_submodule(layer).weight.data *= factor
            return write(replace(model, module=other), folder)

        monkeypatch.setattr(Format, "load", lambda made: faulty if made.name == format_name else load(made))

    return spoil


@pytest.mark.slow
@pytest.mark.parametrize("target", SHUT)
def test_of_a_format_that_shows_nothing_inside_another_file_is_made_that_gives_its_tensors_out(checked, broken, target):
    format_name, library = SHUT[target]
    pytest.importorskip(library)
    if format_name == "aotinductor" and compiler_missing():
        pytest.skip(compiler_missing())
    broken(format_name, "layer2.0.conv1", 1.5)
    parity, folder = checked(target, "fp32", lambda path: None)
    assert not parity.passed
    assert "first divergence at 'conv2d_3' (layer2.0.conv1)" in parity.first_bad
    assert "seen in a file made again with the tensors inside it as outputs" in parity.first_bad
    assert not (folder / "cut.onnx").exists()


@pytest.mark.slow
def test_of_a_quantized_file_of_such_a_format_the_layer_where_errors_grow_most_is_named(checked, monkeypatch):
    pytest.importorskip("executorch")
    quantize = QUANTIZERS["pt2e-xnnpack"].load()

    def faulty(calibration):
        other = copy.deepcopy(calibration.model.module)
        other.get_submodule("layer3.0.conv1").weight.data *= 1.5
        return quantize(replace(calibration, model=replace(calibration.model, module=other)))

    monkeypatch.setattr(sys.modules[quantize.__module__], quantize.__name__, faulty)
    parity, _ = checked("executorch-xnnpack", "int8", lambda path: None)
    assert not parity.passed
    assert "the error grows most at" in parity.first_bad
    assert "(layer3.0.conv1)" in parity.first_bad
    assert "seen in a file made again" in parity.first_bad


@pytest.mark.slow
def test_a_fault_that_a_second_file_does_not_have_is_not_blamed_on_a_layer(checked, reexport):
    pytest.importorskip("executorch")
    parity, _ = checked("executorch-xnnpack", "fp32", reexport("executorch", "layer2.0.conv1", 1.5))
    assert not parity.passed
    assert "every tensor agrees in a file made again with the tensors inside it as outputs" in parity.first_bad


def test_a_faithful_file_leaves_no_folder(checked):
    parity, folder = checked("onnxruntime-cpu", "fp32", lambda path: None)
    assert parity.passed
    assert (parity.first_bad, parity.reproducer) == (None, None)
    assert not folder.exists()


def test_a_case_that_fails_by_its_batch_is_kept_whole_and_others_by_their_worst_examples():
    real = {"x": np.arange(300, dtype=np.float32)[:256, None]}
    good = {"y": np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)}
    some = {"y": good["y"][:21]}
    bad = {"y": some["y"] + np.float32(1)}
    cases = [Case("real x256", True, good, good), Case("real, batch 7", True, some, bad), Case("noise", False, some, some)]
    kept = _example(Failed(cases, CONVERSION, real, real, ("y", 1)), True)
    assert (kept.batch, len(kept.inputs["x"])) == (7, 21)
    spoilt = {"y": good["y"].copy()}
    spoilt["y"][[5, 90, 17, 200]] += 3
    kept = _example(Failed([Case("real x256", True, good, spoilt), *cases[1:]], CONVERSION, real, real, ("y", 1)), True)
    assert kept.inputs["x"][:, 0].tolist() == [5, 17, 90, 200]
    assert np.array_equal(kept.case.reference["y"], good["y"][[5, 17, 90, 200]])
    assert json.dumps(kept.spreads)


def test_a_run_lays_the_reproducers_out_and_takes_those_of_an_earlier_run_away(tmp_path):
    def laid_out(broken):
        entry = tmp_path / ("broken" if broken else "sound")
        (entry / "files").mkdir(parents=True)
        if broken:
            (entry / "reproducer" / "model").mkdir(parents=True)
            (entry / "reproducer" / "repro.py").write_text("print()")
        planned = ArtifactPlan(ArtifactId("onnxruntime-cpu", "fp32"), "onnx", "compressed", "reference")
        plan, entries = Plan(None, (), {}, (planned,)), Entries()
        for step in ("data", planned.export_step, planned.check_step):
            entries.add(step, Entry("", entry, "", 0.0, None, False))
        lay_out(plan, entries, tmp_path / "out")
        return tmp_path / "out" / "reproducers"

    place = laid_out(True)
    assert (place / "onnxruntime-cpu" / "fp32" / "repro.py").is_file()
    assert (place / "onnxruntime-cpu" / "fp32" / "model").is_dir()
    assert not laid_out(False).exists()
