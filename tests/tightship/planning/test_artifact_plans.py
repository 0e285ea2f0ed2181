"""What each target is given of a recipe's scheme, and what is refused before any work."""

import pytest

import tightship as ts
from artifacts.errors import RecipeError, RequestError
from tightship.planning.plan import make_plan

BASE = "name: a\nmodel: {zoo: resnet, depth: 8, width: 8}\ndata: {zoo: digits}\ngates: {accuracy_drop: 1}\n"


@pytest.fixture
def planned(recipe_from):
    """The ids of the artifacts of a recipe with this `quantize` and these targets."""

    def make(quantize, targets):
        compress = f"compress: [{{quantize: {quantize}}}]\n" if quantize else ""
        return [str(a.id) for a in make_plan(recipe_from(f"{BASE}{compress}targets: {targets}\n"), "a machine").artifacts[1:]]

    return make


def test_a_target_gets_fp32_and_the_scheme_of_the_recipe(planned):
    assert planned("{}", "[onnxruntime-cpu]") == ["onnxruntime-cpu/fp32", "onnxruntime-cpu/int8-ptq"]
    for scheme in ("int8-dynamic", "int8-weights", "int4-weights", "fp16"):
        assert planned(f"{{scheme: {scheme}}}", "[torch-cpu, onnxruntime-cpu]") == [
            "torch-cpu/fp32",
            "onnxruntime-cpu/fp32",
            f"onnxruntime-cpu/{scheme}",
        ]


def test_a_target_gets_the_schemes_that_it_names(planned):
    found = planned("{qat_epochs: 1}", "[{name: onnxruntime-cpu, precisions: [int8, fp16, int4-weights, fp16]}]")
    assert found == [f"onnxruntime-cpu/{p}" for p in ("int8-ptq", "int8-qat", "fp16", "int4-weights")]
    assert planned("{scheme: bf16}", "[{name: onnxruntime-cpu, precisions: [fp32]}]") == ["onnxruntime-cpu/fp32"]


@pytest.mark.parametrize(
    ("quantize", "targets", "words"),
    [
        ("{scheme: bf16}", "[onnxruntime-cpu]", ("onnxruntime-cpu does not run scheme bf16", "torchscript-cpu", "[fp32]")),
        ("{scheme: int4-weights}", "[torchscript-cpu]", ("torchscript-cpu does not run scheme int4", "onnxruntime-cpu")),
        ("{}", "[{name: torch-cpu, precisions: [int8]}]", ("torch-cpu does not run scheme int8", "onnxruntime-cpu")),
        (None, "[{name: onnxruntime-cpu, precisions: [fp16]}]", ("asks for fp16", "no `quantize`")),
    ],
)
def test_a_scheme_that_a_target_does_not_run_is_refused_in_one_sentence(planned, quantize, targets, words):
    with pytest.raises(RequestError) as caught:
        planned(quantize, targets)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("quantize", "words"),
    [
        ("{scheme: fp16, qat_epochs: 2}", ("'qat_epochs' belongs to scheme int8", "fp16")),
        ("{scheme: int8-dynamic, weight_bits: 4}", ("'weight_bits' belongs to scheme int8",)),
        ("{block_size: 64}", ("'block_size' belongs to schemes int8-weights and int4-weights",)),
        ("{scheme: int4-weights, block_size: 48}", ("block_size", "48")),
        ("{scheme: int5}", ("scheme", "int5")),
    ],
)
def test_options_of_another_scheme_are_refused(planned, quantize, words):
    with pytest.raises(RecipeError) as caught:
        planned(quantize, "[onnxruntime-cpu]")
    assert all(word in str(caught.value) for word in words)


def test_every_option_that_changes_a_file_changes_its_key(recipe_from):
    def key(options):
        recipe = recipe_from(f"{BASE}compress: [{{quantize: {options}}}]\ntargets: [onnxruntime-cpu]\n")
        plan = make_plan(recipe, "a machine")
        return next(v for k, v in plan.keys.items() if k.startswith("export onnxruntime-cpu/int8"))

    changes = ["{}", "{weight_bits: 4}", "{per_channel: false}", "{calibrator: mse}", "{calibration_samples: 9}"]
    assert len({key(c) for c in [*changes, "{keep_float: [fc]}", "{percentile: 99}"]}) == 7


@pytest.mark.parametrize(
    "asked",
    [{"weight_bits": 4}, {"qat_epochs": 1}, {"max_drop": 0.1}, {"scheme": "int8-weights", "block_size": 64}],
    ids=str,
)
def test_a_target_may_ask_for_another_scheme_and_what_only_the_recipes_has_is_left_out(asked):
    recipe = {
        "name": "x",
        "model": {"zoo": "resnet", "depth": 8, "width": 8},
        "data": {"zoo": "digits"},
        "compress": [{"quantize": asked}],
        "targets": [{"name": "onnxruntime-cpu", "precisions": ["int8", "fp16"]}],
        "gates": {"accuracy_drop": 0.5},
    }
    steps = [step.step for step in ts.plan(recipe).steps]
    assert "export onnxruntime-cpu/fp16" in steps
