"""Options of a target in the recipe: refused before any work, part of the keys, and followed by what is shipped."""

import json
import re

import pytest

from artifacts.errors import RecipeError
from artifacts.records.evidence import read_evidence
from tightship.pipeline.comparisons import first_of
from tightship.planning.plan import make_plan

BASE = "name: a\nmodel: {zoo: resnet, depth: 8, width: 8}\ndata: {zoo: digits}\ngates: {accuracy_drop: 1}\n"
INT8 = "compress: [{quantize: {calibration_samples: 32}}]\n"
GUARDED = "compress: [{quantize: {max_drop: 0.1}}]\n"


@pytest.fixture
def plan(recipe_from):
    """The plan of a recipe with these targets."""
    return lambda targets, compress=INT8: make_plan(recipe_from(f"{BASE}{compress}targets: {targets}\n"), "a machine")


def options(text, more=""):
    return f"[{{name: onnxruntime-cpu, options: {{{text}}}{more}}}]"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("{name: onnxruntime-cpu, options: {spining: false}}", ("no option 'spining'", "did you mean 'spinning'", "arena")),
        ("{name: onnxruntime-cpu, options: {graph_level: al}}", ("graph_level", "'al'", "did you mean 'all'", "extended")),
        ("{name: openvino-cpu, options: {streams: 0}}", ("option streams", "from 1")),
        ("{name: torchscript-cpu, options: {file: lyte}}", ("option file", "did you mean 'lite'", "pt")),
        ("{name: torchscript-cpu, options: {file: lite, channels_last: true}}", ("leave out channels_last or `file: lite`",)),
        ("{name: torch-cpu, options: {spinning: false}}", ("target torch-cpu has no option 'spinning'",)),
        ("{name: onnxruntime-cpu, options: 3}", ("options",)),
        ("{name: onnxruntime-cpu, label: A/B}", ("label",)),
    ],
)
def test_what_a_target_is_not_told_is_refused_as_the_recipe_is_read(recipe_from, target, words):
    with pytest.raises(RecipeError) as caught:
        recipe_from(f"{BASE}targets: [{target}]\n")
    assert all(word in str(caught.value) for word in ("targets[0]", *words)), caught.value
    assert "\n" not in str(caught.value)


def test_keys_differ_with_the_options_and_only_where_these_matter(plan):
    plain, told = plan("[onnxruntime-cpu]").keys, plan(options("spinning: false")).keys
    changed = {name for name in plain if plain[name] != told[name]}
    assert changed == {"check onnxruntime-cpu/fp32", "check onnxruntime-cpu/int8-ptq", "measure"}
    assert plan(options("spinning: false")).keys != plan(options("arena: false")).keys


def test_a_bundled_program_is_made_by_the_check_alone(plan):
    plain, told = plan("[executorch-xnnpack]", GUARDED), plan("[{name: executorch-xnnpack, options: {bundled: true}}]", GUARDED)
    changed = {name for name in plain.keys if plain.keys[name] != told.keys[name]}
    assert changed == {"check executorch-xnnpack/fp32", "check executorch-xnnpack/int8-guard"}
    assert all("bundled" not in str(step.config) for step in told.steps if step.kind != "check")


def test_options_at_their_default_leave_every_key_as_it_is(plan):
    plain = plan("[onnxruntime-cpu]")
    assert plan(options("")).keys == plain.keys
    assert plan(options("spinning: true, graph_level: all, format: onnx, inter_op_threads: 1")).keys == plain.keys
    assert not any(getattr(step.config, "options", {}) for step in plain.steps)


def test_a_file_that_is_optimized_before_it_is_shipped_is_another_step(plan):
    plain, told = plan("[onnxruntime-cpu]"), plan(options("format: ort, graph_level: extended, arena: false"))
    name = "export onnxruntime-cpu/int8-ptq"
    assert plain.keys[name] != told.keys[name]
    config, libraries = next((s.config, s.libraries) for s in told.steps if s.name == name)
    assert config.rewrite.target == "onnxruntime-cpu"
    assert config.rewrite.options == {"format": "ort", "graph_level": "extended"}
    assert config.isa is None
    assert "onnxruntime" in libraries
    bound = next(s.config for s in plan(options("format: ort")).steps if s.name == name)
    assert bound.isa, "from `layout` on the graph is one for this CPU"


@pytest.mark.parametrize(
    ("target", "remade"),
    [("onnxruntime-cpu", True), ("openvino-cpu", True), ("torchscript-cpu", False), ("executorch-xnnpack", False)],
)
def test_an_int8_file_for_other_instructions_is_another_step_where_it_depends_on_them(plan, monkeypatch, target, remade):
    keys = []
    for vnni in (True, False):
        monkeypatch.setattr("tightship.planning.deployment.has_vnni", lambda vnni=vnni: vnni)
        keys.append(plan(f"[{target}]").keys)
    changed = {name for name in keys[0] if keys[0][name] != keys[1][name] and name.startswith("export")}
    assert changed == ({f"export {target}/int8-ptq"} if remade else set())


def test_what_was_checked_on_another_cpu_is_checked_again(plan, monkeypatch):
    here = plan("[onnxruntime-cpu]").keys
    monkeypatch.setattr("tightship.planning.deployment.instructions", lambda: ("another",))
    there = plan("[onnxruntime-cpu]").keys
    assert {name for name in here if here[name] != there[name]} == {name for name in here if name.startswith("check")}


def test_a_lite_file_is_another_step_and_a_layout_is_not(plan):
    both = "precisions: [fp32, fp32-script, int8]"
    plain = plan(f"[{{name: torchscript-cpu, {both}}}]")
    said = ("file: lite", "channels_last: true")
    lite, laid = (plan(f"[{{name: torchscript-cpu, {both}, options: {{{option}}}}}]") for option in said)
    exports = [name for name in plain.keys if name.startswith("export torchscript")]
    assert len(exports) == 3
    assert all(plain.keys[name] != lite.keys[name] for name in exports)
    assert all(plain.keys[name] == laid.keys[name] for name in exports)
    assert all(plain.keys[name.replace("export", "check")] != laid.keys[name.replace("export", "check")] for name in exports)
    assert next(s.config for s in lite.steps if s.name in exports).rewrite.options == {"file": "lite"}


def test_a_labeled_row_is_held_against_the_first_row_of_its_target(plan):
    rows = "onnxruntime-cpu, torchscript-cpu, {name: torchscript-cpu, label: a, options: {channels_last: true}}"
    made = {str(a.id): a for a in plan(f"[{rows}, {{name: openvino-cpu, label: b}}]").artifacts}
    found = {name: str(first_of(a, made.values()) or "") for name, a in made.items()}
    assert {name: other for name, other in found.items() if other and other != name} == {
        f"torchscript-cpu/{precision}@a": f"torchscript-cpu/{precision}" for precision in ("fp32", "int8-ptq")
    }


def test_the_accuracy_guard_scores_files_as_they_are_opened(plan):
    name = "export onnxruntime-cpu/int8-guard"
    plain, told = plan("[onnxruntime-cpu]", GUARDED), plan(options("denormals: zero"), GUARDED)
    assert plain.keys[name] != told.keys[name]
    assert next(s.config for s in told.steps if s.name == name).options == {"denormals": "zero"}


def test_targets_that_open_the_same_file_are_measured_apart(plan):
    one, other = plan("[torch-cpu]", ""), plan("[inductor-cpu]", "")
    assert one.keys["export torch-cpu/fp32"] == other.keys["export inductor-cpu/fp32"]
    assert one.keys["measure"] != other.keys["measure"]


def test_rows_of_one_target_are_told_apart_by_their_labels(plan):
    rows = (
        "onnxruntime-cpu, {name: onnxruntime-cpu, label: basic, options: {graph_level: basic}, precisions: [int8], stock: true}"
    )
    made = plan(f"[{rows}]")
    assert [str(a.id) for a in made.artifacts[1:]] == [
        "onnxruntime-cpu/fp32",
        "onnxruntime-cpu/int8-ptq",
        "onnxruntime-cpu/int8-ptq@basic",
        "onnxruntime-cpu/int8-stock@basic",
    ]
    assert [dict(a.options) for a in made.artifacts[1:]] == [{}, {}, *[{"graph_level": "basic"}] * 2]
    assert made.keys["export onnxruntime-cpu/int8-ptq"] == made.keys["export onnxruntime-cpu/int8-ptq@basic"]
    assert made.keys["check onnxruntime-cpu/int8-ptq"] != made.keys["check onnxruntime-cpu/int8-ptq@basic"]


def test_two_rows_without_a_label_of_their_own_are_refused(recipe_from):
    same = "{name: onnxruntime-cpu, label: x}"
    for rows in ("onnxruntime-cpu, {name: onnxruntime-cpu, options: {arena: false}}", f"{same}, {same}"):
        with pytest.raises(RecipeError, match=r"is listed twice.*give each row a `label`"):
            recipe_from(f"{BASE}targets: [{rows}]\n")


RUN = f"""\
{BASE}train: {{epochs: 1}}
measure: {{processes: 2, blocks: 1, block_seconds: 0.02}}
targets:
  - onnxruntime-cpu
  - name: onnxruntime-cpu
    label: ort
    options: {{format: ort, graph_level: extended, intra_op_threads: 2}}
    gates: {{size_mb: 9}}
  - {{name: torchscript-cpu, label: lite, options: {{file: lite}}}}
  - {{name: torch-cpu}}
  - {{name: torch-cpu, label: nhwc, options: {{channels_last: true}}}}
"""


ROWS = ("torchscript-cpu/fp32@lite", "torch-cpu/fp32@nhwc")


@pytest.mark.slow
def test_a_run_follows_the_options_and_its_evidence_and_bundle_say_so(tmp_path, cli):
    recipe, out, store = tmp_path / "r.yaml", tmp_path / "out", tmp_path / "store"
    recipe.write_text(RUN)
    done = cli("run", recipe, "--store", store, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime-cpu/fp32@ort is opened with graph_level extended, intra_op_threads 2, format ort" in done.stdout
    plain, told = (read_evidence(out / "evidence.json").artifact(f"onnxruntime-cpu/fp32{end}") for end in ("", "@ort"))
    assert (dict(plain.options), plain.format, plain.latency_ms.threads) == ({}, "onnx", 1)
    assert dict(told.options) == {"graph_level": "extended", "intra_op_threads": 2, "format": "ort"}
    assert (told.format, told.latency_ms.threads) == ("ort", 2)
    assert told.main == "artifacts/onnxruntime-cpu/fp32@ort/model.ort"
    assert [g.name for g in told.gates] == ["accuracy_drop", "size_mb"]
    assert told.parity.passed
    assert told.accuracy.deployed == plain.accuracy.deployed
    lite, laid = (read_evidence(out / "evidence.json").artifact(name) for name in ROWS)
    assert (lite.format, lite.main.endswith("model.ptl"), lite.parity.passed) == ("torchscript-lite", True, True)
    assert any("end of life" in note for note in lite.notes)
    assert "aten::_convolution" in lite.placement.accelerated
    assert (laid.versus_row.baseline, laid.parity.passed) == ("torch-cpu/fp32", True)
    assert re.search(r"torch-cpu/fp32@nhwc: .*(faster|slower|no difference).* torch-cpu/fp32: ratio", done.stdout)
    row = next(r for r in json.loads(cli("report", out, "--format", "json").stdout) if r["artifact"] == told.id)
    assert row["options"] == "graph_level extended, intra_op_threads 2, format ort"
    assert "graph_level extended" in (out / "report.html").read_text()
    assert cli("bundle", out, "--artifact", told.id, "--allow-failed", "--out", tmp_path / "b.tar.gz").returncode == 0
