"""A chain that cannot work is refused before any work, naming both stages and the way out."""

import pytest

from artifacts.errors import RecipeError
from tightship.planning.stage_order import NOT_AFTER, check_chain

HEAD = "name: chain\nmodel: {zoo: resnet, depth: 8}\ndata: {zoo: digits}\n"
TAIL = "targets: [onnxruntime-cpu]\ngates: {accuracy_drop: 1}\n"
STAGES = {
    "distil": "distil: {epochs: 1}",
    "prune": "prune: {macs: 0.5}",
    "prune-channels": "prune: {macs: 0.5}",
    "prune-weights": "prune: {sparsity: 0.5}",
    "prune-n-of-m": "prune: {n_of_m: '2:4'}",
    "prune-blocks": "prune: {blocks: 2}",
    "factorize": "factorize: {rank_share: 0.5}",
    "palettize": "palettize: {bits: 4}",
    "quantize": "quantize: {}",
}
TEACHER = "distil: {epochs: 1, teacher: {zoo: resnet, depth: 14}}"
REFUSED = [(STAGES[first], STAGES[second], remedy) for (first, second), remedy in NOT_AFTER.items()]
REFUSED.append((STAGES["quantize"], STAGES["prune-weights"], NOT_AFTER["quantize", "prune"]))


def recipe_text(*stages):
    return HEAD + "compress:\n" + "".join(f"  - {stage}\n" for stage in stages) + TAIL


@pytest.mark.parametrize(("first", "second", "remedy"), REFUSED)
def test_a_wrong_order_is_refused_with_both_stages_and_the_remedy(recipe_from, first, second, remedy):
    with pytest.raises(RecipeError) as caught:
        check_chain(recipe_from(recipe_text(first, second)))
    sentence = str(caught.value)
    kinds = [stage.partition(":")[0] for stage in (first, second)]
    assert f"compress[0] {kinds[0]!r}" in sentence
    assert "compress[1]" in sentence
    assert repr(kinds[1]) in sentence
    assert remedy in sentence


@pytest.mark.parametrize(("first", "second", "remedy"), REFUSED)
def test_a_wrong_order_is_refused_with_a_good_stage_between(recipe_from, first, second, remedy):
    between = STAGES["prune-weights"] if "distil" in first else STAGES["distil"]
    with pytest.raises(RecipeError):
        check_chain(recipe_from(recipe_text(first, between, second)))


@pytest.mark.parametrize(
    "stages",
    [
        (),
        ("quantize",),
        ("distil", "prune", "quantize"),
        ("prune", "distil", "quantize"),
        ("prune", "distil", "distil", "quantize"),
        ("prune-channels", "prune-channels", "prune-weights", "prune-weights", "quantize"),
        ("prune-blocks", "prune-weights", "prune-channels", "prune-n-of-m", "quantize"),
        ("distil", "prune", "factorize", "prune-weights", "quantize"),
        ("factorize", "prune-channels", "distil", "prune-weights", "palettize"),
    ],
)
def test_a_chain_that_can_work_passes(recipe_from, stages):
    check_chain(recipe_from(recipe_text(*(STAGES[s] for s in stages))))


@pytest.mark.parametrize("stages", [(TEACHER, STAGES["prune"]), (STAGES["prune"], TEACHER)])
def test_a_teacher_may_come_first_or_later(recipe_from, stages):
    check_chain(recipe_from(recipe_text(*stages, STAGES["quantize"])))


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_wrong_chain_ends_with_2_and_leaves_nothing(cli, tmp_path, verb):
    (tmp_path / "recipe.yaml").write_text(recipe_text(STAGES["quantize"], STAGES["prune"]))
    before = sorted(tmp_path.rglob("*"))
    done = cli(verb, "recipe.yaml", "--store", "store", *(("--out", "out") if verb == "run" else ()), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert NOT_AFTER["quantize", "prune"] in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("model: {zoo: resnett, depth: 8}", "did you mean 'resnet'"),
        ("data: {zoo: digit}", "did you mean 'digits'"),
        ("model: {zoo: resnet, weights: none.safetensors}", "none.safetensors"),
        ("data: {npz: none.npz}", "none.npz"),
        ("data: {factory: 'no_such_module:load'}", "no_such_module"),
        ("compress: [{distil: {epochs: 1, teacher: {zoo: resnett}}}]", "did you mean 'resnet'"),
    ],
)
def test_what_is_not_there_is_refused_before_work_begins(cli, tmp_path, line, named):
    key = line.partition(":")[0]
    lines = [given for given in recipe_text().splitlines() if not given.startswith(f"{key}:")]
    (tmp_path / "recipe.yaml").write_text("\n".join([*lines, line]))
    done = cli("run", "recipe.yaml", "--store", "store", cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "store" / "entries").exists()
    assert not (tmp_path / "runs").exists()
