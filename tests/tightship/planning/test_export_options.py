"""The recipe's `export`: what may stand there, what is refused before any work, and which steps it makes anew."""

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from artifacts.errors import ModelError, RecipeError, RequestError
from artifacts.records.evidence import read_evidence
from artifacts.specs import DimRange, Signature, TensorSpec
from artifacts.types import ExportedFile
from benchmarks.parity.parity import at_ends
from export.onnx.export import weights_beside
from tightship.planning.export_options import check_dims, check_operators
from tightship.planning.plan import make_plan
from tightship.recipe.recipe import parse_recipe

RECIPE = """\
name: ranged
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1}
compress: [{quantize: {scheme: int8}}]
targets: [onnxruntime-cpu, torchscript-cpu]
gates: {accuracy_drop: 1.0}
"""


def test_ranges_are_read(recipe_from):
    recipe = recipe_from(RECIPE + "export: {dims: {batch: {min: 1, opt: 8, max: 64}, length: {max: 9}}}\n")
    given = Signature((TensorSpec("x", "float32", ("batch", "length")),))
    found = recipe.export.signature(given)
    assert found.ranges == (DimRange("batch", 1, 64, 8), DimRange("length", 1, 9, 1))
    assert found.inputs == given.inputs


def test_axes_of_one_size_get_a_name_and_by_default_the_size_that_they_have(recipe_from):
    recipe = recipe_from(
        RECIPE + "export: {dims: {height: {max: 16, axes: {x: 2}}, side: {min: 2, max: 9, axes: {x: 3, y: 1}}}}\n"
    )
    given = Signature((TensorSpec("x", "float32", ("batch", 1, 8, 5)), TensorSpec("y", "float32", ("batch", 5))))
    found = recipe.export.signature(given)
    assert [s.shape for s in found.inputs] == [("batch", 1, "height", "side"), ("batch", "side")]
    assert found.ranges == (DimRange("height", 1, 16, 8), DimRange("side", 2, 9, 5))
    assert found.dynamic == ("batch", "height", "side")


def test_a_recipe_of_old_has_none(recipe_from):
    recipe = recipe_from(RECIPE)
    given = Signature((TensorSpec("x", "float32", ("batch", 3)),))
    assert recipe.export.signature(given) == given
    assert dict(recipe.export.onnx.operators) == {}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("{dims: {batch: {min: 8, max: 4}}}", r"export: dims.batch: min 8 is not below max 4"),
        ("{dims: {batch: {min: 4, max: 4}}}", r"min 4 is not below max 4; a dynamic dimension needs two sizes"),
        ("{dims: {batch: {min: 1, max: 64, opt: 65}}}", r"opt 65 is outside min 1 to max 64"),
        ("{dims: {batch: {min: 0, max: 64}}}", r"dims.batch: min: .*greater than or equal to 1 \(got 0\)"),
        ("{dims: {batch: {min: true, max: 64}}}", r"dims.batch: min: .*integer \(got True\)"),
        ("{dims: {batch: {min: 1}}}", r"dims.batch: max: Field required"),
        ("{dims: {batch: {mix: 1, max: 64}}}", r"dims.batch: unknown key 'mix'; did you mean"),
        ("{dims: {h: {max: 9, axes: {x: 0}}}}", r"dims.h: axes.x: .*greater than or equal to 1 \(got 0\)"),
        ("{dims: {h: {max: 9, axes: {x: 2}}, w: {max: 9, axes: {x: 2}}}}", r"axis 2 of input 'x' is named twice, 'h' and 'w'"),
        ("{dims: {batch: 64}}", r"dims.batch must be a mapping; got 64"),
        ("{dim: {}}", r"export: unknown key 'dim'; did you mean 'dims'"),
        ("{onnx: {operator: {}}}", r"export: onnx: unknown key 'operator'; did you mean 'operators'"),
        ('{onnx: {operators: {"swish": "m:f"}}}', r"onnx: operators: 'swish' is no operator's name"),
        ('{onnx: {operators: {"a::b": "f"}}}', r"'a::b' is translated by 'f', which is not of the form module:callable"),
    ],
)
def test_what_cannot_be_is_refused_as_the_recipe_is_read(recipe_from, said, says):
    with pytest.raises(RecipeError, match=says) as caught:
        recipe_from(RECIPE + f"export: {said}\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("{bach: {max: 64}}", r"names 'bach', which no input of the data has; did you mean 'batch'"),
        ("{batch: {min: 2, max: 64}}", r"'batch' is 2 to 64, but latency is measured at batch 1; set min to 1"),
        ("{h: {max: 16}}", r"names 'h', which no input of the data has; .*or say under `axes` which axis of an input it is"),
        ("{h: {max: 16, axes: {imag: 2}}}", r"export.dims.h: the data has no input 'imag'; did you mean 'image'"),
        ("{h: {max: 16, axes: {image: 4}}}", r"axis 4 of input 'image' does not exist; its shape is \['batch', 1, 8, 8\]"),
        ("{h: {max: 16, axes: {image: 1}}, c: {max: 7, axes: {image: 2}}}", r"'c' is 8 in the data, outside 1 to 7"),
        (
            "{h: {max: 16, opt: 9, axes: {image: 2}}}",
            r"'h' has opt 9, but everything is measured at the data's 8; leave opt out",
        ),
        ("{batch: {max: 16, axes: {image: 2}}}", r"the data itself has a dimension 'batch'; leave its `axes` out"),
        ("{batch: {max: 16}}", r"'batch' is 1 to 16, but throughput is measured at batch 32; raise max, or set"),
    ],
)
def test_ranges_that_exclude_what_will_run_are_refused_before_any_work(recipe_from, said, says):
    with pytest.raises(RecipeError, match=says):
        make_plan(recipe_from(RECIPE + f"export: {{dims: {said}}}\n"), "a machine")


def test_a_smaller_throughput_batch_allows_a_smaller_range(recipe_from):
    check_dims(recipe_from(RECIPE + "export: {dims: {batch: {max: 16}}}\nmeasure: {throughput_batch: 16}\n"))


def test_other_dimensions_of_a_factory_are_held_against_the_data(tmp_path, monkeypatch):
    (tmp_path / "ragged_7.py").write_text(
        "import numpy as np\n"
        "from artifacts.specs import TensorSpec\n"
        "from zoo.splits import ArraySplit, TaskData\n"
        "def load():\n"
        "    part = ArraySplit({'x': np.zeros((4, 3, 20), np.float32)}, np.zeros(4, np.int64))\n"
        "    return TaskData('r', part, part, (TensorSpec('x', 'float32', ('batch', 3, 'length')),))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    value = {
        "name": "r", "model": {"zoo": "resnet"}, "data": {"factory": "ragged_7:load"},
        "targets": ["onnxruntime-cpu"], "gates": {"accuracy_drop": 1.0},
    }  # fmt: skip
    check_dims(parse_recipe({**value, "export": {"dims": {"length": {"min": 5, "max": 20}}}}, tmp_path))
    with pytest.raises(RecipeError, match=r"'length' is 20 in the data, outside 5 to 12; widen the range"):
        check_dims(parse_recipe({**value, "export": {"dims": {"length": {"min": 5, "max": 12}}}}, tmp_path))


def test_only_files_are_made_anew_for_other_ranges(recipe_from):
    plain, ranged, wider = (
        make_plan(recipe_from(RECIPE + said), "a machine").keys
        for said in ("", "export: {dims: {batch: {max: 64}}}\n", "export: {dims: {batch: {max: 128}}}\n")
    )
    assert plain["reference"] == ranged["reference"] == wider["reference"]
    exports = [name for name in plain if name.startswith(("export ", "check "))]
    assert len(exports) >= 8
    assert all(len({keys[name] for keys in (plain, ranged, wider)}) == 3 for name in exports)


def test_a_changed_translation_makes_onnx_files_anew_and_no_others(recipe_from, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = recipe_from(RECIPE + 'export: {onnx: {operators: {"aten::special_i1": "translated_7:f"}}}\n')
    (tmp_path / "translated_7.py").write_text("def f(x): return x\n")
    first = make_plan(recipe, "a machine").keys
    (tmp_path / "translated_7.py").write_text("def f(x): return -x\n")
    second = make_plan(recipe, "a machine").keys
    anew = {name for name in first if first[name] != second[name] and name.startswith("export ")}
    assert anew == {name for name in first if name.startswith("export onnxruntime-cpu")}
    assert first["reference"] == second["reference"]


def test_a_translation_that_is_not_there_is_refused_before_any_work(recipe_from):
    recipe = recipe_from(RECIPE + 'export: {onnx: {operators: {"aten::special_i1": "no_module_7:f"}}}\n')
    with pytest.raises(RequestError, match=r"export.onnx.operators 'aten::special_i1': cannot import 'no_module_7'"):
        check_operators(recipe)


def test_a_format_that_holds_no_operator_of_ones_own_is_refused_before_any_work(recipe_from):
    recipe = recipe_from(RECIPE + 'export: {onnx: {operators: {"mine::gate": "m:f"}}}\n')
    with pytest.raises(RecipeError, match=r"'torchscript-cpu' opens torchscript-trace files, in which 'mine::gate' cannot be"):
        make_plan(recipe, "a machine")


def test_parity_has_inputs_at_both_ends_of_each_range():
    spec = TensorSpec("x", "float32", ("batch", "length"))
    signature = Signature((spec,), (), (DimRange("batch", 1, 8, 4), DimRange("length", 2, 7, 3)))
    real = {"x": np.arange(15, dtype=np.float32).reshape(5, 3)}
    ends = dict(at_ends(real, signature))
    assert {name: fed["x"].shape for name, fed in ends.items()} == {
        "batch = 1": (1, 3), "batch = 8": (8, 3), "length = 2": (7, 2), "length = 7": (7, 7),
    }  # fmt: skip
    np.testing.assert_array_equal(ends["batch = 8"]["x"][5:], real["x"][:3])
    np.testing.assert_array_equal(ends["length = 7"]["x"][0], [0, 1, 2, 0, 1, 2, 0])
    assert at_ends(real, replace(signature, ranges=())) == []


def test_what_fails_at_the_end_of_a_range_is_shown_with_what_was_fed_there():
    from benchmarks.parity.parity import CONVERSION, Case
    from tightship.pipeline.stages.reproducer import Failed, _example

    rng = np.random.default_rng(0)
    real, fed = ({"x": rng.normal(size=(count, 4)).astype(np.float32)} for count in (16, 5))
    good = Case("real x256", True, {"y": real["x"]}, {"y": real["x"]})
    off = Case("batch = 5", False, {"y": fed["x"]}, {"y": fed["x"] + 1}, fed)
    shown = _example(Failed([good, off], CONVERSION, real, real, ("y", 1)), dynamic=True)
    assert shown.case is off
    assert shown.batch == 5
    np.testing.assert_array_equal(shown.inputs["x"], fed["x"])


SMALL = """\
name: small
model: {zoo: resnet, depth: 8, width: 8}
data: {zoo: digits}
train: {epochs: 1}
compress: [{quantize: {calibration_samples: 64}}]
targets: [onnxruntime-cpu]
gates: {accuracy_drop: 1.0}
measure: {processes: 2, blocks: 1, block_seconds: 0.02}
"""


@pytest.fixture
def small_run(tmp_path, cli):
    """The folder of a small run whose recipe has this `export`."""

    def run(export):
        recipe, out = tmp_path / "r.yaml", tmp_path / "out"
        recipe.write_text(f"{SMALL}export: {export}\n")
        done = cli("run", recipe, "--store", tmp_path / "store", "--out", out)
        assert done.returncode == 0, done.stderr
        return out

    return run


@pytest.mark.slow
def test_the_files_of_a_run_are_written_as_the_recipe_says_and_its_bundle_works(tmp_path, small_run):
    import onnxruntime  # not every test needs it

    out = small_run("{onnx: {opset: 20, sidecar: true}}")
    found = read_evidence(out / "evidence.json")
    for precision in ("fp32", "int8-ptq"):
        artifact = found.artifact(f"onnxruntime-cpu/{precision}")
        folder = out / "artifacts" / artifact.id
        assert sorted(Path(f.path).name for f in artifact.files) == ["model.onnx", "model.onnx.data"]
        assert artifact.bytes == sum(p.stat().st_size for p in folder.glob("model.onnx*"))
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        said = session.get_modelmeta().custom_metadata_map
        assert json.loads(said["tightship.labels"]) == [str(n) for n in range(10)]
        assert json.loads(said["tightship.preprocessing"])["layout"] == "NCHW"
        assert artifact.parity.passed
    (bundle,) = (out / "bundles").glob("*.tar.gz")
    with tarfile.open(bundle) as packed:
        packed.extractall(tmp_path / "device", filter="data")
    (runner,) = (tmp_path / "device").rglob("run.py")
    alone = subprocess.run([sys.executable, "-I", runner, "--selftest"], capture_output=True, text=True, check=False)
    assert alone.returncode == 0, alone.stderr


@pytest.mark.slow
def test_axes_that_the_recipe_names_are_dynamic_in_the_files_and_held_to_their_ranges(tmp_path, cli, small_run):
    import onnxruntime  # not every test needs it

    out = small_run("{dims: {height: {min: 5, max: 24, axes: {image: 2}}, width: {min: 5, max: 20, axes: {image: 3}}}}")
    for precision in ("fp32", "int8-ptq"):
        artifact = read_evidence(out / "evidence.json").artifact(f"onnxruntime-cpu/{precision}")
        assert {"height = 5", "height = 24", "width = 5", "width = 20"} <= set(artifact.parity.cases)
        assert artifact.signature["inputs"][0]["shape"] == ["batch", 1, "height", "width"]
        path = out / artifact.main
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == ["batch", 1, "height", "width"]
        (made,) = session.run(None, {"image": np.zeros((3, 1, 17, 9), np.float32)})
        assert made.shape == (3, 10)
    np.savez(tmp_path / "large.npz", image=np.zeros((1, 1, 25, 8), np.float32))
    refused = cli("bench", path, "--inputs", tmp_path / "large.npz")
    assert refused.returncode == 2
    assert "'height' (axis 2 of input 'image') is 25, outside the range 5 to 24" in refused.stderr


def test_a_file_without_weights_has_nothing_that_could_lie_beside_it(tmp_path):
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", ends[:1], ends[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"no weights that could lie in a file of their own; leave export.onnx.sidecar out"):
        weights_beside(ExportedFile("onnx", tmp_path, "model.onnx", Signature(())))
