"""What an engine belongs to: keys, refusals, profiles and commands, without TensorRT and without a GPU."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from artifacts.errors import IntegrityError, RequestError
from artifacts.files import sha256_file
from artifacts.specs import Signature, TensorSpec
from runtimes.tensorrt.engine_key import (
    EngineKey,
    Machine,
    key_path,
    onnx_hashes,
    profiles_of,
    rebuild_command,
    refuse_foreign,
    timing_cache_path,
    trtexec_command,
)

HERE = Machine("10.16.1", "NVIDIA H200", "9.0", "580.1")
TWO_INPUTS = Signature(
    (
        TensorSpec("image", "float32", ("batch", 3, "height", 32)),
        TensorSpec("mask", "bool", ("batch", 4)),
        TensorSpec("prior", "float32", (1, 4)),
    ),
    (TensorSpec("y", "float32", ("batch", 10)),),
)


@pytest.fixture
def key(tmp_path) -> tuple[Path, EngineKey]:
    """An engine file with its key."""
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"plan")
    made = EngineKey(
        HERE, {"model.onnx": "a" * 64}, {"batch": (1, 8, 32)}, {"x": ((1, 4), (8, 4), (32, 4))}, sha256_file(engine)
    )
    made.write(engine)
    return engine, made


def test_a_profile_covers_every_dynamic_dimension_and_leaves_fixed_inputs_out():
    assert profiles_of(TWO_INPUTS, {"height": (16, 32, 64)}) == {
        "image": ((1, 3, 16, 32), (1, 3, 32, 32), (256, 3, 64, 32)),
        "mask": ((1, 4), (1, 4), (256, 4)),
    }


def test_a_fixed_signature_needs_no_profile():
    assert profiles_of(Signature((TensorSpec("x", "float32", (1, 3)),)), {}) == {}


@pytest.mark.parametrize("sizes", [(4, 2, 8), (0, 1, 2)])
def test_sizes_that_do_not_rise_from_one_are_refused(sizes):
    with pytest.raises(RequestError, match=r"the sizes \(.*\) of 'batch' must rise from at least 1"):
        profiles_of(TWO_INPUTS, {"batch": sizes})


def test_an_unknown_dimension_is_refused_with_the_nearest():
    with pytest.raises(RequestError, match="no dynamic dimension 'bach'; did you mean 'batch'"):
        profiles_of(TWO_INPUTS, {"bach": (1, 2, 3)})


def test_a_key_is_read_back_as_it_was_written(key):
    engine, made = key
    assert EngineKey.read(engine) == made


def test_an_engine_without_a_key_is_refused_with_the_command_that_builds_one(tmp_path):
    with pytest.raises(IntegrityError, match=r"has no key file model.engine.key.json.*`python -m runtimes.tensorrt.runtime"):
        EngineKey.read(tmp_path / "model.engine")


@pytest.mark.parametrize("text", ["", "[]", '{"machine": {}}'])
def test_a_damaged_key_is_refused(tmp_path, text):
    engine = tmp_path / "model.engine"
    key_path(engine).write_text(text)
    with pytest.raises(IntegrityError, match="is not the key of a TensorRT engine"):
        EngineKey.read(engine)


@pytest.mark.parametrize(
    "machine",
    [replace(HERE, gpu="NVIDIA A100"), replace(HERE, tensorrt="11.4.0"), replace(HERE, compute_capability="8.0")],
)
def test_an_engine_of_another_gpu_or_version_is_refused_with_the_rebuild_command(key, machine):
    engine, made = key
    with pytest.raises(IntegrityError) as caught:
        refuse_foreign(engine, made, machine, None, "REBUILD")
    assert f"built for TensorRT 10.16.1 on NVIDIA H200 (9.0), and this is TensorRT {machine.tensorrt}" in str(caught.value)
    assert str(caught.value).endswith("rebuild it here: `REBUILD`.")


def test_another_driver_is_not_foreign(key):
    engine, made = key
    refuse_foreign(engine, made, replace(HERE, driver="999"), {"model.onnx": "a" * 64}, "REBUILD")


def test_an_engine_of_another_onnx_file_is_refused(key):
    engine, made = key
    with pytest.raises(IntegrityError, match=r"model.onnx with SHA-256 aaaaaaaaaaaa, and this one has bbbbbbbbbbbb"):
        refuse_foreign(engine, made, HERE, {"model.onnx": "b" * 64}, "REBUILD")
    with pytest.raises(IntegrityError, match=r"from a model.onnx.data with SHA-256 none"):
        refuse_foreign(engine, made, HERE, {"model.onnx": "a" * 64, "model.onnx.data": "c" * 64}, "REBUILD")


def test_a_key_does_not_vouch_for_another_engine(key):
    engine, made = key
    engine.write_bytes(b"another plan")
    with pytest.raises(IntegrityError, match="and its key says"):
        refuse_foreign(engine, made, HERE, None, "REBUILD")


def test_the_hashes_cover_the_weights_in_a_sidecar(onnx_file):
    onnx.save(onnx.load(onnx_file.path), onnx_file.path, save_as_external_data=True, location="w.data", size_threshold=0)
    before = onnx_hashes(onnx_file.path)
    assert list(before) == ["model.onnx", "w.data"]
    (onnx_file.folder / "w.data").write_bytes(b"\0" * 48)
    assert onnx_hashes(onnx_file.path)["w.data"] != before["w.data"]


def test_the_signature_of_a_file_names_its_dynamic_dimensions(onnx_file):
    assert onnx_file.signature == Signature(
        (TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 3)),)
    )


def test_the_trtexec_command_builds_the_same_engine():
    profiles = {"x:0": ((1, 3), (8, 3), (32, 3)), "m": ((1, 4), (8, 4), (32, 4))}
    command = trtexec_command(Path("a b.onnx"), Path("m.engine"), profiles, 1024)
    assert command == (
        "trtexec '--onnx=a b.onnx' --saveEngine=m.engine --stronglyTyped "
        """'--minShapes='"'"'x:0'"'"':1x3,m:1x4' '--optShapes='"'"'x:0'"'"':8x3,m:8x4' """
        """'--maxShapes='"'"'x:0'"'"':32x3,m:32x4' --memPoolSize=workspace:1024 --profilingVerbosity=detailed"""
    )
    assert "Shapes" not in trtexec_command(Path("m.onnx"), Path("m.engine"), {}, 1024)


def test_the_rebuild_command_repeats_the_sizes():
    command = rebuild_command(Path("my net.onnx"), Path("out"), {"batch": (1, 8, 32)})
    assert command == "python -m runtimes.tensorrt.runtime 'my net.onnx' out batch=1,8,32"


def test_timings_are_kept_by_gpu_and_version_next_to_the_folder(tmp_path):
    path = timing_cache_path(tmp_path / "entry", HERE)
    assert path == tmp_path / "tensorrt-timing-nvidia-h200-10.16.1.cache"
