"""What a recipe may say, and that whatever else it says is refused in one sentence, before anything runs."""

import math

import pytest

from artifacts.errors import RecipeError, RequestError

GOOD = {
    "name": "ok",
    "model": "{zoo: resnet, depth: 8}",
    "data": "{zoo: digits}",
    "compress": "[{prune: {macs: 0.5}}]",
    "targets": "[onnxruntime-cpu]",
    "gates": "{accuracy_drop: 0.01}",
}


def text(**changes):
    return "".join(f"{key}: {value}\n" for key, value in {**GOOD, **changes}.items() if value is not None)


@pytest.fixture
def refusal(recipe_from):
    """The one sentence with which a recipe is refused."""

    def read(recipe):
        with pytest.raises(RequestError) as caught:
            recipe_from(recipe)
        sentence = str(caught.value)
        assert caught.value.exit_code == 2
        assert "\n" not in sentence
        assert sentence.endswith((".", "?", "?."))
        return sentence

    return read


def test_reads_a_good_recipe_with_its_defaults(recipe_from):
    recipe = recipe_from(text())
    assert (recipe.name, recipe.seed, [s.kind for s in recipe.compress]) == ("ok", 0, ["prune"])
    assert recipe.gates.limits() == {"accuracy_drop": 0.01}
    assert recipe.model.options == {"depth": 8}


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (text(gatse="{}"), ["'gatse'", "did you mean 'gates'"]),
        (text(compress="[{prune: {mac: 0.5}}]"), ["'mac'", "did you mean 'macs'", "compress[0]"]),
        (text(compress="[{prun: {macs: 0.5}}]"), ["'prun'", "did you mean 'prune'"]),
        (text(gates="{accuracy_dorp: 0.1}"), ["did you mean 'accuracy_drop'"]),
        (text(measure="{process: 2}"), ["did you mean 'processes'"]),
        (text(train="{epoch: 2}"), ["did you mean 'epochs'"]),
        (text(data="{zo: digits}"), ["did you mean 'zoo'"]),
        (text(targets="[onnxruntime-cpuu]"), ["did you mean 'onnxruntime-cpu'"]),
        (text(targets="[{name: tensorrt, optinal: true}]"), ["targets[0]", "did you mean 'optional'"]),
        (text(targets="[{name: tensorrt, gates: {speedupp: 1}}]"), ["targets[0]", "did you mean 'speedup'"]),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest_known_one(refusal, recipe, named):
    sentence = refusal(recipe)
    assert all(part in sentence for part in named), sentence


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("- name: x\n", "must hold a mapping"),
        ("", "must hold a mapping"),
        (text(compress="{prune: {macs: 0.5}}"), "compress must be a list"),
        (text(compress="[prune]"), "must be one stage"),
        (text(compress="[{prune: {macs: 0.5}, quantize: {}}]"), "must be one stage"),
        (text(compress="[{prune: 3}]"), "must be a mapping"),
        (text(compress="[{prune: {macs: 0.5, sparsity: 0.5}}]"), "exactly one of 'macs'"),
        (text(targets="onnxruntime-cpu"), "targets must be a list"),
        (text(targets="[]"), "targets"),
        (text(targets="[3]"), "targets[0]"),
        (text(targets="[onnxruntime-cpu, {name: onnxruntime-cpu}]"), "'onnxruntime-cpu' is listed twice"),
        (text(gates="{}"), "gates is empty"),
        (text(gates=None), "gates"),
        (text(model="resnet"), "model must be a mapping"),
        (text(model="{zoo: resnet, factory: 'a:b'}"), "exactly one of 'zoo' and 'factory'"),
        (text(data="{zoo: digits, npz: x.npz}"), "exactly one of"),
        (text(data="{}"), "exactly one of"),
        (text(name="'../../etc'"), "name"),
        (text(name="2024-01-01"), "name"),
        (text(seed="-1"), "seed"),
        (text(measure="{processes: 0}"), "processes"),
        (text(measure="{block_seconds: .inf}"), "block_seconds"),
    ],
)
def test_a_wrong_value_is_refused_by_name(refusal, recipe, named):
    assert named in refusal(recipe)


@pytest.mark.parametrize("gate", ["accuracy_drop", "latency_p90_ms", "size_mb", "speedup", "fallback_share"])
@pytest.mark.parametrize("limit", ["-0.01", ".nan", "-.inf", ".inf", "low", "true"])
def test_a_limit_that_decides_nothing_is_refused(refusal, gate, limit):
    sentence = refusal(text(gates=f"{{{gate}: {limit}}}"))
    assert gate in sentence
    assert gate in refusal(text(targets=f"[{{name: onnxruntime-cpu, gates: {{{gate}: {limit}}}}}]"))


@pytest.mark.parametrize("limit", [".nan", ".inf", "-.inf"])
def test_the_least_accuracy_is_a_number(refusal, limit):
    assert "accuracy_min" in refusal(text(gates=f"{{accuracy_min: {limit}}}"))


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (text() + "name: twice\n", "'name' stands twice"),
        (text(gates="{speedup: 1, speedup: 2}"), "'speedup' stands twice"),
        (text(gates="&g {speedup: 1}", measure="*g"), "aliases are not allowed"),
        (text(train="{<<: *x}"), "aliases are not allowed"),
        (text(model="{zoo: resnet, 3: x}"), "3 is not text"),
        (text(name="'unfinished"), ""),
        (text(name="2024-13-45"), "recipe"),
        (text(seed="!!int x"), "recipe"),
        (text(seed="!!bool perhaps"), "recipe"),
        ("a: b\n---\nc: d\n", "document"),
        ("name: \x00\n", "not YAML"),
        ("[" * 100_000, "not YAML"),
        ("#" * 1_000_001, "limit"),
    ],
)
def test_yaml_that_two_readers_could_understand_differently_is_refused(refusal, recipe, named):
    assert named in refusal(recipe)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!python/object/new:os.system", "!!python/name:os.system"])
def test_a_tag_that_would_run_code_is_refused_and_nothing_runs(refusal, tmp_path, tag):
    proof = tmp_path / "ran"
    assert "python" in refusal(text(train=f"{tag} ['touch {proof}']"))
    assert not proof.exists()


def test_billions_of_laughs_are_refused_before_they_unfold(refusal):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "aliases" in refusal("\n".join(lines))


def test_a_variable_that_is_not_set_is_named(refusal, monkeypatch):
    monkeypatch.delenv("NO_SUCH_FOLDER", raising=False)
    sentence = refusal(text(model="{zoo: resnet, weights: $NO_SUCH_FOLDER/a.pt}"))
    assert "environment variable NO_SUCH_FOLDER" in sentence


def test_a_variable_and_a_relative_path_are_filled_in(recipe_from, monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_FOLDER", "/some/folder")
    recipe = recipe_from(text(model="{zoo: resnet, weights: '${SOME_FOLDER}/a.pt'}", data="{npz: x.npz}"))
    assert str(recipe.model.weights) == "/some/folder/a.pt"
    assert recipe.data.npz == tmp_path / "x.npz"


def test_a_recipe_that_is_missing_or_no_text_is_refused(tmp_path, refusal):
    from tightship.recipe.recipe import load_recipe

    with pytest.raises(RecipeError, match="cannot read recipe"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="cannot read recipe"):
        load_recipe(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot read recipe"):
        load_recipe(tmp_path / "bytes.yaml")


def test_every_limit_has_a_gate_and_every_gate_a_limit():
    from tightship.gating.gates import GATES
    from tightship.recipe.sections import GatesConfig

    assert set(GATES) == set(GatesConfig.model_fields)
    assert math.isfinite(GatesConfig(speedup=1.5).limits()["speedup"])
