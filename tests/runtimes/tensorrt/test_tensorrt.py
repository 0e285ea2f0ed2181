"""The TensorRT runtime up to the library's edge: keys, profiles, commands, refusals, and the calls in their order.

The stand-in library below only records calls and answers; what TensorRT itself does is tested in tests/gpu.
"""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from artifacts.errors import IntegrityError, ModelError, TargetUnavailable
from artifacts.files import sha256_file
from artifacts.types import Engine
from runtimes.tensorrt import runtime
from runtimes.tensorrt.engine_key import (
    EngineKey,
    Machine,
    timing_cache_path,
)
from runtimes.tensorrt.messages import parser_refusal
from runtimes.tensorrt.runtime import TensorRt, main

HERE = Machine("10.16.1", "NVIDIA H200", "9.0", "580.1")


def test_the_probe_says_what_is_missing_here():
    answer = TensorRt().probe()
    if runtime.find_spec("tensorrt") is None:
        assert not answer.available
        assert answer.reason.startswith("the library 'tensorrt' is not installed; run `pip install 'tightship[gpu]'`")
    assert "\n" not in answer.reason


def test_building_without_the_library_is_refused(monkeypatch, onnx_file, tmp_path):
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'tightship\[gpu\]'"):
        TensorRt().build(onnx_file, tmp_path)


def test_parser_errors_name_the_node():
    error = SimpleNamespace(
        node_operator=lambda: "Einsum", node_name=lambda: "attn", node=lambda: 7, desc=lambda: "not\n supported."
    )
    assert parser_refusal(Path("m.onnx"), [error, error]) == (
        "TensorRT cannot read Einsum 'attn' and 1 more of m.onnx (not supported); replace that layer, or use another target."
    )
    nameless = SimpleNamespace(**{**vars(error), "node_name": lambda: ""})
    assert "Einsum 'number 7' of" in parser_refusal(Path("m.onnx"), [nameless])
    assert "onnx.checker" in parser_refusal(Path("m.onnx"), [])


class StandIn:
    """A `tensorrt` module that records what it is asked, with the one engine x[batch, 4] -> y[batch, 3]."""

    def __init__(self, version="10.16.1", parses=True, builds=True):
        self.asked: list = []
        self.__version__ = version
        self.__spec__ = ModuleSpec("tensorrt", None)
        self.parses, self.builds = parses, builds
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")

        class ILogger:
            Severity = SimpleNamespace(INTERNAL_ERROR="internal", ERROR="error")

        self.ILogger = ILogger

    def note(self, name, answer=None):
        return lambda *args, **kwargs: (self.asked.append((name, *args)), answer)[1]

    def Builder(self, logger):
        def build(network, config):
            logger.log("error", "Could not find any implementation\nfor node conv1")
            return b"plan" if self.builds else None

        cache = SimpleNamespace(serialize=lambda: b"timings")
        config = SimpleNamespace(
            set_memory_pool_limit=self.note("pool"),
            add_optimization_profile=self.note("profile"),
            create_timing_cache=lambda data: data,
            set_timing_cache=lambda data, ignore_mismatch: self.note("timings", data in (b"", b"timings"))(data),
            get_timing_cache=lambda: cache,
        )
        return SimpleNamespace(
            create_network=self.note("network"),
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=self.note("shape")),
            build_serialized_network=build,
        )

    def OnnxParser(self, network, logger):
        error = SimpleNamespace(node_operator=lambda: "MatMul", node_name=lambda: "mm", node=lambda: 0, desc=lambda: "no")
        return SimpleNamespace(parse_from_file=self.note("parse", self.parses), num_errors=1, get_error=lambda index: error)


@pytest.fixture
def library(monkeypatch):
    """Puts a stand-in in the place of TensorRT and of the GPU."""

    def install(**options) -> StandIn:
        module = StandIn(**options)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
        return module

    return install


def test_a_build_writes_the_engine_its_key_and_the_timings(library, onnx_file, tmp_path):
    module = library()
    engine = TensorRt({"batch": (1, 8, 32)}, workspace_mib=64).build(onnx_file, tmp_path / "entry")
    assert ("network", 2) in module.asked
    assert ("pool", "workspace", 64 << 20) in module.asked
    assert ("shape", "x", (1, 4), (8, 4), (32, 4)) in module.asked
    assert ("parse", str(onnx_file.path)) in module.asked
    assert engine.path.read_bytes() == b"plan"
    key = EngineKey.read(engine.path)
    assert key.onnx == {"model.onnx": sha256_file(onnx_file.path)} == engine.options["hashes"]
    assert key.sizes == {"batch": (1, 8, 32)}
    assert timing_cache_path(tmp_path / "entry", HERE).read_bytes() == b"timings"
    assert any("trtexec --onnx=" in note for note in engine.options["notes"])
    json.dumps(dict(engine.options))


def test_timings_that_do_not_fit_are_dropped(library, onnx_file, tmp_path):
    module = library()
    timing_cache_path(tmp_path / "entry", HERE).write_bytes(b"of another version")
    TensorRt().build(onnx_file, tmp_path / "entry")
    assert [call for call in module.asked if call[0] == "timings"] == [
        ("timings", b"of another version"),
        ("timings", b""),
    ]


def test_a_file_that_cannot_be_parsed_or_built_is_refused_with_the_reason(library, onnx_file, tmp_path):
    library(parses=False)
    with pytest.raises(ModelError, match=r"cannot read MatMul 'mm' of model.onnx \(no\)"):
        TensorRt().build(onnx_file, tmp_path)
    library(builds=False)
    with pytest.raises(ModelError, match=r"\(Could not find any implementation for node conv1\); keep the layer"):
        TensorRt().build(onnx_file, tmp_path)
    assert not list(tmp_path.glob("*.engine"))


def test_an_asymmetric_file_is_refused_before_anything_is_built(library, onnx_file, tmp_path):
    module = library()
    model = onnx.load(onnx_file.path)
    model.graph.initializer.extend([numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.uint8(128), "z")])
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "Q"))
    onnx.save(model, onnx_file.path)
    with pytest.raises(ModelError, match=r"cannot run model.onnx: QuantizeLinear 'Q' uses uint8.*\(1 more like it\)"):
        TensorRt().build(onnx_file, tmp_path)
    assert module.asked == []


def test_opening_a_foreign_engine_is_refused_before_it_is_loaded(library, onnx_file, tmp_path):
    library()
    engine = TensorRt().build(onnx_file, tmp_path / "entry")
    library(version="11.4.0").Runtime = None
    with pytest.raises(IntegrityError, match=r"this is TensorRT 11.4.0 .*`python -m runtimes.tensorrt.runtime .*model.onnx"):
        TensorRt().open(engine, 1)
    library().Runtime = None
    external = Engine("tensorrt", engine.path, engine.signature, {**engine.options, "hashes": {"model.onnx": "0" * 64}})
    with pytest.raises(IntegrityError, match="and this one has 000000000000"):
        TensorRt().open(external, 1)


def test_an_old_library_is_named_with_the_upgrade_command(library):
    library(version="8.6.1")
    assert TensorRt().probe().reason == ("tensorrt 8.6.1 is older than 10; run `pip install --upgrade 'tightship[gpu]'`.")


def test_a_build_of_torch_without_cuda_and_a_machine_without_gpu_are_told_apart(library, monkeypatch):
    library()
    assert TensorRt().probe().available
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device is visible" in TensorRt().probe().reason
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built without CUDA" in TensorRt().probe().reason


def test_the_module_builds_from_the_command_line(library, onnx_file, tmp_path):
    library()
    main([str(onnx_file.path), str(tmp_path / "out"), "batch=1,2,4"])
    assert EngineKey.read(tmp_path / "out" / "model.engine").profiles == {"x": ((1, 4), (2, 4), (4, 4))}


def test_the_command_line_answers_in_one_line(library, tmp_path, capsys):
    library()
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "no.onnx"), str(tmp_path)])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"there is no file {tmp_path / 'no.onnx'}; give the path of an ONNX file.\n"
    with pytest.raises(SystemExit, match=r"usage: python -m runtimes.tensorrt.runtime ONNX FOLDER"):
        main([])
