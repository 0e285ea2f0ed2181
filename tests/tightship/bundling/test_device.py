"""What a device does with a bundle: it tests itself, times itself and runs inputs, by the script that lies in it."""

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import artifacts.manifest
from artifacts import pictures
from artifacts.isa import same_cpu
from benchmarks.machine import describe
from runtimes.registry import TARGETS
from runtimes.shipping import closure, imported
from tightship.bundling.pack import make_bundle, verify_bundle
from tightship.bundling.runner import run as runner


def test_an_onnx_bundle_passes_its_self_test_elsewhere(unpacked, start):
    done = start(unpacked, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "self-test passed" in done.stdout
    assert re.search(r"here p50 \d+\.\d+ ms, p90 .*200 calls, this machine", done.stdout)
    assert "then p50 0.011 ms, p90 0.017 ms; batch 1, threads 1, 500 calls" in done.stdout
    assert verify_bundle(unpacked).artifact == "onnxruntime-cpu/fp32"


@pytest.mark.parametrize("kind", ["torchscript-script", "torchscript-lite"])
def test_a_torchscript_bundle_passes_its_self_test(make_run, tmp_path, start, unpack, kind):
    run = make_run("torchscript-cpu", kind=kind)
    done = start(unpack(make_bundle(run.out), tmp_path), "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_an_executorch_program_with_a_fixed_batch_passes_its_self_test(make_run, tmp_path, start, unpack):
    pytest.importorskip("executorch")
    run = make_run("executorch-xnnpack", kind="executorch", batch=1)
    folder = unpack(make_bundle(run.out), tmp_path)
    assert "torch==" in (folder / "requirements.txt").read_text()
    done = start(folder, "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on 5 rows" in done.stdout


@pytest.mark.parametrize("batch", [1, 2])
def test_a_fixed_batch_is_fed_in_its_own_steps(make_run, tmp_path, batch, start, unpack):
    run = make_run(batch=batch)
    done = start(unpack(make_bundle(run.out), tmp_path), "--selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"batch {batch}, threads 1, 200 calls" in done.stdout


@pytest.mark.parametrize(
    ("precision", "cpu", "shift", "status"),
    [
        ("fp32", None, 0.01, 1),
        ("fp32", "another CPU", 0.01, 1),
        ("int8-qat", None, 0.01, 1),
        ("int8-qat", "another CPU", 0.01, 0),
        ("int8-qat", "another CPU", 100.0, 1),
        ("int8-qat", "another CPU", float("nan"), 1),
    ],
)
def test_only_int8_on_another_cpu_may_round_otherwise(
    make_run, tmp_path, precision, cpu, shift, status, start, unpack, images, weights
):
    run = make_run(precision=precision)
    run.rewrite(machine={"cpu": cpu} if cpu else None)
    logits = images.reshape(5, 16) @ weights
    logits[np.arange(5), logits.argmin(axis=1)] += shift
    run.store_outputs(logits)
    done = start(unpack(make_bundle(run.out), tmp_path), "--selftest")
    assert done.returncode == status, done.stdout + done.stderr
    assert ("not the one measured" in done.stdout) == (precision != "fp32" and cpu is not None and shift == shift)


def test_an_instruction_set_that_is_missing_here_makes_another_cpu():
    here = describe()
    assert same_cpu(here.cpu, here.isa)
    assert not same_cpu(here.cpu, [*here.isa, "avx9"])


def test_inputs_of_ones_own_are_run_and_written(unpacked, tmp_path, start, images, weights):
    np.savez(tmp_path / "x.npz", image=images[:2])
    done = start(unpacked, "--input", tmp_path / "x.npz", "--output", tmp_path / "y.npz")
    assert done.returncode == 0, done.stderr
    assert "logits: float32 [2, 3]" in done.stdout
    np.testing.assert_allclose(np.load(tmp_path / "y.npz")["logits"], images[:2].reshape(2, 16) @ weights, rtol=1e-4)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (lambda x: {"picture": x}, "the model takes ['image']"),
        (lambda x: {"image": x.astype(np.float64)}, "is float64 [5, 1, 4, 4]"),
        (lambda x: {"image": x[:, :, :3]}, "is float32 [5, 1, 3, 4]"),
        (lambda x: {"image": x[0]}, "is float32 [1, 4, 4]"),
        (lambda x: {"image": x[:0]}, "the inputs have [0] rows"),
        (lambda x: {"image": np.array([object()])}, "cannot be read as an .npz file of plain arrays"),
    ],
)
def test_wrong_inputs_are_refused_in_one_sentence(unpacked, tmp_path, arrays, sentence, start, images):
    np.savez(tmp_path / "x.npz", **arrays(images))
    done = start(unpacked, "--input", tmp_path / "x.npz")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_outputs_are_not_written_into_the_bundle(unpacked, tmp_path, start, images):
    np.savez(tmp_path / "x.npz", image=images)
    done = start(unpacked, "--input", tmp_path / "x.npz", "--output", unpacked / "y.npz")
    assert (done.returncode, "lies inside the bundle" in done.stderr) == (2, True)
    verify_bundle(unpacked)


def test_a_picture_gets_its_three_likeliest_labels(unpacked, tmp_path, start, weights):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(2).integers(0, 17, (4, 4))
    image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(tmp_path / "p.png")
    done = start(unpacked, "--image", tmp_path / "p.png")
    assert done.returncode == 0, done.stderr
    logits = ((pixels / 16 - 0.3) / 0.4).reshape(1, 16) @ weights
    assert [line[0] for line in done.stdout.splitlines()] == ["abc"[i] for i in np.argsort(-logits[0])]
    assert start(unpacked, "--image", tmp_path / "p.png").stdout == done.stdout, "the first run left the bundle as it was"
    verify_bundle(unpacked)


def test_the_runner_has_the_code_that_the_model_was_measured_with(unpacked):
    assert (unpacked / "code" / "artifacts" / "pictures.py").read_text() == Path(pictures.__file__).read_text()
    tree = ast.parse(Path(pictures.__file__).read_text())
    imported = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"numpy"}


def test_without_a_description_of_pictures_none_is_read(make_run, tmp_path, start, unpack):
    run = make_run()
    run.evidence = replace(run.evidence, data={**run.evidence.data, "preprocessing": None, "labels": None})
    run.rewrite()
    done = start(unpack(make_bundle(run.out), tmp_path), "--image", "/nowhere.png")
    assert (done.returncode, "does not describe pictures" in done.stderr) == (2, True)


SHIPPING = [target for target in TARGETS.own().values() if target.loader]
MODULES = {"ai-edge-litert": "ai_edge_litert", "onnxruntime-gpu": "onnxruntime"}


@pytest.mark.parametrize("target", SHIPPING, ids=lambda target: target.name)
def test_what_is_shipped_imports_its_runtime_and_nothing_of_ours_that_is_not_shipped(target):
    code = closure([target.loader, *runner.NEEDS])
    ours = {name.partition(".")[0] for name in code}
    needs = {MODULES.get(name, name) for name in target.on_device}
    for path in code.values():
        assert not set(imported(path)) - set(code) - {name for name in imported(path) if name.partition(".")[0] not in ours}
        others = {name.partition(".")[0] for name in imported(path)} - ours
        assert others - set(sys.stdlib_module_names) <= {"numpy", *needs}
    assert not {name for name in imported(Path(runner.__file__)) if name.startswith("artifacts")} - set(code)


def test_the_runner_reads_what_is_written():
    assert runner.SCHEMA == artifacts.manifest.SCHEMA
