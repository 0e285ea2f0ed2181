"""`inspect --sensitivity` and `measure: {sensitivity: true}` on a network with one layer that int8 breaks on purpose."""

import json
from dataclasses import replace

import pytest
import yaml

from artifacts.errors import RequestError
from artifacts.records.evidence import read_evidence
from tightship.planning.plan import make_plan
from tightship.planning.stage_order import check_chain
from tightship.planning.steps import MEASURE

NETS = '''
import torch
from torch import nn


def block(inputs, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, 16, 3, stride, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())


class Net(nn.Module):
    """The weights of one input channel of `spread` are 1000 times as large as the others; that channel is always zero."""

    def __init__(self, classes, channels):
        super().__init__()
        self.first = block(channels)
        self.spread = nn.Conv2d(16, 16, 3, padding=1)
        self.third = block(16, 2)
        self.fourth = block(16)
        self.linear = nn.Linear(16, classes)
        with torch.no_grad():
            self.first[1].weight[0] = 0  # no gradient passes its ReLU, so it stays shut
            self.spread.weight[:, 0] = 1000 * self.spread.weight.abs().max()

    def forward(self, image):
        x = torch.relu(self.spread(self.first(image)))
        return self.linear(self.fourth(self.third(x)).mean((2, 3)))


def build(classes, channels):
    return Net(classes, channels)
'''

RECIPE = {
    "name": "spread",
    "model": {"factory": "spread_nets:build"},
    "data": {"zoo": "digits"},
    "train": {"epochs": 3, "optimizer": "adamw", "learning_rate": 0.01},
    "compress": [{"quantize": {"per_channel": False, "calibration_samples": 64}}],
    "targets": ["onnxruntime-cpu", "ncnn-cpu", {"name": "torchscript-cpu", "precisions": ["fp32"], "optional": True}],
    "gates": {"accuracy_drop": 1.0},
    "measure": {"processes": 1, "blocks": 1, "block_seconds": 0.02, "sensitivity_samples": 300},
}
PLAIN = "model: {zoo: resnet, depth: 8, width: 4}\ndata: {zoo: digits}\ngates: {accuracy_drop: 1.0}\nname: x\n"


class Place:
    """A folder with the network, a recipe and a store, and the command line run in it."""

    def __init__(self, folder, cli):
        self.folder, self.cli = folder, cli
        (folder / "spread_nets.py").write_text(NETS)

    def call(self, recipe, *arguments, verb="inspect"):
        path = self.folder / f"recipe-{abs(hash(json.dumps(recipe)))}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return self.cli(verb, path, "--store", self.folder / "store", *arguments, cwd=self.folder, timeout=900)

    def inspect(self, recipe=RECIPE, *arguments):
        done = self.call(recipe, "--sensitivity", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory, cli):
    return Place(tmp_path_factory.mktemp("sensitivity"), cli)


@pytest.fixture(scope="module")
def asked(place):
    """What `inspect --sensitivity` says at first."""
    return place.inspect()


@pytest.mark.slow
def test_the_layer_that_int8_breaks_comes_first_and_keeping_it_float_mends_the_file(asked):
    assert asked["artifact"] == "onnxruntime-cpu/int8-ptq"
    assert asked["examples"] == 300
    names = [layer["layer"] for layer in asked["layers"]]
    assert names[0] == "spread"
    assert sorted(names) == ["first.0", "fourth.0", "linear", "spread", "third.0"]
    worst, next_one = asked["layers"][:2]
    assert worst["sqnr_db"] < next_one["sqnr_db"] - 10
    assert worst["noise_share"] > 0.9
    assert asked["keep"] == ["spread"]
    assert asked["kept"]["sqnr_db"] > asked["whole"]["sqnr_db"] + 10
    assert asked["kept"]["drop"] < asked["whole"]["drop"] - 0.1
    assert asked["advice"].startswith("`quantize: {keep_float: [spread]}`: measured")
    assert worst["macs"] == 16 * 16 * 9 * 64
    assert worst["bytes"] == 4 * (16 * 16 * 9 + 16)
    assert asked["kept"]["bytes"] > asked["whole"]["bytes"] + 2 * 16 * 16 * 9


@pytest.mark.slow
def test_the_second_time_all_is_in_the_store(place, asked):
    again = place.inspect()
    assert (asked["cached"], again["cached"]) == (False, True)
    assert {**again, "cached": False} == asked
    done = place.call(RECIPE, "--sensitivity")
    assert done.stderr.count(" cached ") == len(done.stderr.splitlines()) == 4
    assert done.stdout.splitlines()[2].split()[0] == "layer"
    assert done.stdout.splitlines()[3].split()[0] == "spread"
    assert "keep_float: [spread]" in done.stdout


@pytest.mark.slow
def test_what_it_says_to_do_gives_what_it_said(place, asked):
    recipe = {**RECIPE, "compress": [{"quantize": {**RECIPE["compress"][0]["quantize"], "keep_float": ["spread"]}}]}
    found = place.inspect(recipe)
    assert found["whole"] == asked["kept"]
    assert found["in_float"] == ["spread"]
    assert "spread" not in {layer["layer"] for layer in found["layers"]}


@pytest.mark.slow
def test_a_run_finds_it_in_the_store_and_shows_it_beside_the_time_of_each_layer(place, asked):
    recipe = {**RECIPE, "measure": {**RECIPE["measure"], "sensitivity": True}, "targets": ["onnxruntime-cpu"]}
    done = place.call(recipe, "--out", place.folder / "out", verb="run")
    assert done.returncode == 1, done.stderr  # parity has failed: the file is as broken as this layer makes it
    evidence = read_evidence(place.folder / "out" / "evidence.json")
    (stage,) = [s for s in evidence.stages if s.kind == "sensitivity"]
    assert (stage.name, stage.cached, stage.details) == ("sensitivity onnxruntime-cpu/int8-ptq", True, {})
    found = evidence.artifact("onnxruntime-cpu/int8-ptq").sensitivity
    shares = {layer.layer: layer.time_share for layer in found.layers}
    assert all(0 < share < 1 for share in shares.values())
    bare = replace(found, layers=tuple(replace(layer, time_share=None) for layer in found.layers))
    assert json.loads(json.dumps(vars(bare), default=vars)) == {k: asked[k] for k in vars(bare)}
    assert all(a.sensitivity is None for a in evidence.artifacts if not a.precision.startswith("int8"))
    page = (place.folder / "out" / "report.html").read_text()
    assert "5 layers, most sensitive spread" in page
    assert "keep_float: [spread]" in page


@pytest.mark.slow
def test_trained_and_guarded_files_are_measured_as_they_were_made(place):
    quantize = {**RECIPE["compress"][0]["quantize"], "qat_epochs": 1}
    recipe = {**RECIPE, "targets": [{"name": "onnxruntime-cpu", "precisions": ["int8"]}]}
    recipe["measure"] = {**RECIPE["measure"], "sensitivity": True}
    for more, name in (({}, "int8-qat"), ({"max_drop": 0.02}, "int8-guard")):
        recipe["compress"] = [{"quantize": quantize | more}]
        done = place.call(recipe, "--out", place.folder / name, verb="run")
        assert done.returncode in (0, 1), done.stderr
        record = read_evidence(place.folder / name / "evidence.json").artifact(f"onnxruntime-cpu/{name}")
        found = record.sensitivity
        assert len(found.layers) + len(found.in_float) == 5
        assert found.whole.bytes == record.bytes
        if name == "int8-guard":  # the candidate that was chosen, and not what the recipe asks for
            assert record.guard.chosen != "minmax"
            assert all(layer.sqnr_db > 10 for layer in found.layers)


@pytest.mark.slow
def test_of_a_guarded_recipe_the_file_by_calibration_is_asked(place, asked):
    quantize = {**RECIPE["compress"][0]["quantize"], "qat_epochs": 3, "max_drop": 0.01}
    found = place.inspect({**RECIPE, "compress": [{"quantize": quantize}]})
    assert (found["cached"], found["layers"]) == (True, asked["layers"])


@pytest.mark.parametrize(
    ("change", "arguments", "says"),
    [
        ({"compress": []}, (), "`compress` has no `quantize`; add `- quantize: {scheme: int8}`"),
        ({"compress": [{"quantize": {"scheme": "fp16"}}]}, (), "the recipe's scheme is fp16: set scheme: int8"),
        ({"targets": ["ncnn-cpu"]}, (), "no target of the recipe gets an int8 file; add one such as onnxruntime-cpu"),
        ({}, ("--target", "ncnn-cpu"), "target ncnn-cpu has no int8 of its own; ask for one that has: "),
        ({}, ("--target", "onnx"), "has no target 'onnx'; it has onnxruntime-cpu, ncnn-cpu, torchscript-cpu"),
        ({}, ("--target", "torchscript-cpu"), "add int8 to its `precisions`, or ask for onnxruntime-cpu"),
        (
            {"targets": [{"name": "onnxruntime-cpu", "label": name} for name in ("one", "two")]},
            ("--target", "onnxruntime-cpu"),
            "means several rows of the recipe's targets; say onnxruntime-cpu@one or onnxruntime-cpu@two",
        ),
        pytest.param(
            {"compress": [{"quantize": {"calibration_samples": 1230}}]},
            (),
            "27 of 1,257 are left and 50 are needed",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_with_the_way_out(place, change, arguments, says):
    done = place.call({**RECIPE, **change}, "--sensitivity", *arguments)
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("tightship: ")
    assert says in line
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_target_that_cannot_run_here_is_3(place, target_rows):
    missing = next(row["target"] for row in target_rows if not row["available"] and row["target"] == "tensorrt")
    for optional in (True, False):
        recipe = {**RECIPE, "targets": [{"name": missing, "optional": optional}]}
        done = place.call(recipe, "--sensitivity")
        assert done.returncode == 3
        assert done.stderr.startswith(f"tightship: target {missing!r} cannot run here")
        assert done.stderr.count("\n") == 1


def test_its_options_belong_to_it(place):
    done = place.cli("inspect", "none.yaml", "--sensitivity", "--examples", "10", cwd=place.folder)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    done = place.call(RECIPE, "--target", "onnxruntime-cpu")
    assert done.returncode == 2
    assert done.stderr == "tightship: --target, --examples and --store belong to --sensitivity; add it, or leave them out.\n"


def test_a_run_that_asks_for_it_without_int8_is_refused_and_one_that_does_not_keeps_its_keys(recipe_from):
    with pytest.raises(RequestError, match="has no `quantize`"):
        check_chain(recipe_from(PLAIN + "targets: [onnxruntime-cpu]\nmeasure: {sensitivity: true}\n"))
    text = PLAIN + "targets: [onnxruntime-cpu]\ncompress: [{quantize: {qat_epochs: 1}}]\n"
    plain = make_plan(recipe_from(text), "m")
    asking = make_plan(recipe_from(text + "measure: {sensitivity: true}\n"), "m")
    extra = [s.name for s in asking.steps if s.name not in plain.keys]
    assert extra == [f"sensitivity onnxruntime-cpu/{name}" for name in ("int8-ptq", "int8-qat")]
    assert {name: asking.keys[name] for name in plain.keys} == plain.keys
    assert asking.steps[-3].name == MEASURE
    cut = [s.name for s in asking.upto("sensitivity onnxruntime-cpu/int8-ptq").steps]
    assert cut == ["data", "reference", "export onnxruntime-cpu/int8-ptq", "sensitivity onnxruntime-cpu/int8-ptq"]
