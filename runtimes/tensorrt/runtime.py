"""TensorRT: builds an engine for the GPU of this machine from an ONNX file, and runs it.

Precision is explicit: networks are strongly typed, so int8 runs where the file has quantize/dequantize pairs and
nowhere else. `python -m runtimes.tensorrt.runtime ONNX FOLDER [DIMENSION=SMALLEST,USUAL,LARGEST ...]` builds an engine alone.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artifacts.errors import ModelError, RequestError, TargetUnavailable, TightshipError
from artifacts.files import sha256_file, write_atomic
from artifacts.json import JsonValue
from artifacts.types import Availability, Engine, ExportedFile
from runtimes.base import Runtime
from runtimes.tensorrt.engine_key import (
    EngineKey,
    Machine,
    Profile,
    Sizes,
    onnx_hashes,
    profiles_of,
    rebuild_command,
    refuse_foreign,
    signature_of,
    sizes_of,
    timing_cache_path,
    trtexec_command,
)
from runtimes.tensorrt.messages import error_logger, last_error, parser_refusal
from runtimes.tensorrt.qdq_rules import check_placement, check_symmetric
from runtimes.tensorrt.session import TensorRtSession

OLDEST = 10
"""The first major version with strongly typed networks and the calls used here."""
TF32 = "Layers left in float32 may run in TF32 (10 bits of mantissa), TensorRT's default on Ampere and later GPUs."


class TensorRt(Runtime):
    """The TensorRT runtime; `sizes` gives dynamic dimensions other sizes than their ranges in the signature, or 1 to 256."""

    target = "tensorrt"
    session = TensorRtSession

    def __init__(self, sizes: Mapping[str, Sizes] | None = None, workspace_mib: int = 4096) -> None:
        self.sizes = dict(sizes or {})
        self.workspace_mib = workspace_mib

    def probe(self) -> Availability:
        """Whether TensorRT and a CUDA device work here, and if not, the one command that would mend it."""
        reason = _unavailable_reason()
        if reason is not None:
            return Availability(False, reason)
        machine = _machine(*_libraries())
        return Availability(True, f"TensorRT {machine.tensorrt} on {machine.gpu} ({machine.compute_capability})")

    def build(self, file: ExportedFile, folder: Path) -> Engine:
        """Build an engine and its key in `folder`; its placement notes and a `trtexec` line are in the options.

        Raises:
            TargetUnavailable: the library or the GPU is missing.
            ModelError: TensorRT cannot run the file; the message names the node.
        """
        trt, torch = _libraries()
        _refuse_asymmetric(file.path)
        machine = _machine(trt, torch)
        sizes = sizes_of(file.signature, self.sizes)
        profiles = profiles_of(file.signature, sizes)
        plan = self._plan(trt, file.path, profiles, timing_cache_path(folder, machine))
        path = folder / f"{Path(file.main).stem}.engine"
        write_atomic(path, plan)
        hashes = onnx_hashes(file.path)
        EngineKey(replace(machine, driver=_driver()), hashes, sizes, profiles, sha256_file(path)).write(path)
        command = trtexec_command(file.path, path, profiles, self.workspace_mib)
        notes = (*check_placement(file.path), TF32, f"The same engine with NVIDIA's tool: `{command}`")
        options: dict[str, JsonValue] = {"onnx": str(file.path), "hashes": hashes, "precision": file.precision}
        return Engine("tensorrt", path, file.signature, {**options, "notes": list(notes)})

    def open(self, engine: Engine, threads: int) -> TensorRtSession:
        """Load an engine on the GPU; `threads` changes nothing, the CPU only launches kernels.

        Raises:
            TargetUnavailable: the library or the GPU is missing, or the GPU has no memory left.
            IntegrityError: the engine was built for another GPU, TensorRT or ONNX file.
        """
        trt, torch = _libraries()
        key = EngineKey.read(engine.path)
        onnx = Path(str(engine.options.get("onnx", next(iter(key.onnx), "model.onnx"))))
        rebuild = rebuild_command(onnx, engine.path.parent, key.sizes)
        built_from = engine.options.get("hashes")
        hashes = {name: str(digest) for name, digest in built_from.items()} if isinstance(built_from, Mapping) else None
        refuse_foreign(engine.path, key, _machine(trt, torch), hashes, rebuild)
        logger = error_logger(trt)
        runtime = trt.Runtime(logger)
        loaded = runtime.deserialize_cuda_engine(engine.path.read_bytes())
        if loaded is None:
            raise ModelError(f"TensorRT cannot load {engine.path} ({last_error(logger)}); rebuild it: `{rebuild}`.")
        context = loaded.create_execution_context()
        if context is None:
            raise TargetUnavailable(
                f"the {key.machine.gpu} cannot hold {engine.path} ({last_error(logger)}); free GPU memory and try again."
            )
        quantized = engine.options.get("precision") == "int8"
        told = [spec.name for spec in engine.signature.outputs]
        return TensorRtSession(loaded, context, key.profiles, rebuild, quantized, (logger, runtime), told)

    def _plan(self, trt: Any, onnx: Path, profiles: Mapping[str, Profile], cache: Path) -> bytes:
        """The serialized engine."""
        logger = error_logger(trt)
        builder = trt.Builder(logger)
        # required on TensorRT 10, where networks are weakly typed otherwise; a no-op on 11
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(onnx)):
            raise ModelError(parser_refusal(onnx, [parser.get_error(i) for i in range(parser.num_errors)]))
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, self.workspace_mib << 20)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if profiles:
            profile = builder.create_optimization_profile()
            for name, (smallest, usual, largest) in profiles.items():
                profile.set_shape(name, smallest, usual, largest)
            config.add_optimization_profile(profile)
        _load_timings(config, cache)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ModelError(
                f"TensorRT cannot build {onnx.name} ({last_error(logger)}); keep the layer it names in float, "
                f"or give it more memory than {self.workspace_mib} MiB."
            )
        write_atomic(cache, bytes(config.get_timing_cache().serialize()))
        return bytes(plan)


def _refuse_asymmetric(onnx: Path) -> None:
    findings = check_symmetric(onnx)
    if findings:
        more = f" ({len(findings) - 1} more like it)" if len(findings) > 1 else ""
        raise ModelError(f"TensorRT cannot run {onnx.name}: {findings[0].rstrip('.')}{more}.")


def _unavailable_reason() -> str | None:
    """Why TensorRT cannot run here, with the command that would mend it; None if nothing stands in the way."""
    if find_spec("tensorrt") is None:
        return "the library 'tensorrt' is not installed; run `pip install 'tightship[gpu]'` in its own environment."
    try:
        import tensorrt as trt
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        return f"the library 'tensorrt' does not load ({reason}); run `pip install --force-reinstall tensorrt`."
    if int(trt.__version__.split(".")[0]) < OLDEST:
        return f"tensorrt {trt.__version__} is older than {OLDEST}; run `pip install --upgrade 'tightship[gpu]'`."
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; run `pip install --force-reinstall torch` from PyPI."
    if not torch.cuda.is_available():
        return "no CUDA device is visible; run `nvidia-smi` to see whether the GPU and its driver are there."
    return None


def _libraries() -> tuple[Any, Any]:
    """TensorRT and PyTorch, or TargetUnavailable."""
    reason = _unavailable_reason()
    if reason is not None:
        raise TargetUnavailable(f"tensorrt cannot run here: {reason}")
    import tensorrt as trt
    import torch

    return trt, torch


def _machine(trt: Any, torch: Any) -> Machine:
    major, minor = torch.cuda.get_device_capability()
    return Machine(trt.__version__, torch.cuda.get_device_name(), f"{major}.{minor}")


def _driver() -> str:
    """The version of the NVIDIA driver; read only when building, because nvidia-smi takes a good part of a second."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def _load_timings(config: Any, cache: Path) -> None:
    """Start from the kernel timings of earlier builds; timings that do not fit are dropped."""
    kept = cache.read_bytes() if cache.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(kept), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _precision(onnx: Path) -> str:
    import onnx as library

    nodes = library.load(onnx, load_external_data=False).graph.node
    return "int8" if any(node.op_type == "QuantizeLinear" for node in nodes) else "fp32"


def main(arguments: Sequence[str]) -> None:
    """Build an engine and its key from an ONNX file: ONNX FOLDER [DIMENSION=SMALLEST,USUAL,LARGEST ...]."""
    try:
        onnx, folder, *ranges = arguments
        sizes = {name: tuple(map(int, triple.split(","))) for name, _, triple in (r.partition("=") for r in ranges)}
    except ValueError:
        raise SystemExit(f"usage: {rebuild_command(Path('ONNX'), Path('FOLDER'))} [batch=1,8,32 ...]") from None
    path = Path(onnx)
    try:
        if not path.is_file():
            raise RequestError(f"there is no file {path}; give the path of an ONNX file.")
        file = ExportedFile("onnx", path.parent, path.name, signature_of(path), _precision(path))
        TensorRt({n: (t[0], t[1], t[2]) for n, t in sizes.items()}).build(file, Path(folder))
    except TightshipError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main(sys.argv[1:])
