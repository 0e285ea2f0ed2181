"""Opens a model file of any format with its runtime alone: what a bundle's `run.py` and a reproducer's `repro.py` share.

It lies beside them, stands alone, and needs numpy and the one runtime.
"""

import importlib
import json
import platform
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
PROVIDERS = {"onnxruntime-cpu": "CPUExecutionProvider", "onnxruntime-cuda": "CUDAExecutionProvider"}

ISA = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
       "asimd", "asimddp", "i8mm", "sve")  # fmt: skip
"""The instruction sets that decide how 8-bit products are formed, and how tensors are laid out."""

LEVELS = {"disable": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "layout": "ENABLE_LAYOUT"}

Array = NDArray[Any]
Arrays = dict[str, Array]
Json = dict[str, Any]
Call = Callable[[list[Array]], list[Array]]
"""One call of the runtime: inputs in the order of the signature in, outputs in its order out."""


class Refused(Exception):
    """What was asked cannot be done; the message is one sentence for the user."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def require(module: str) -> Any:
    """Import a library, or say what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = "pillow" if module == "PIL.Image" else f"-r {HERE / 'requirements.txt'}"
        raise Refused(f"{module} cannot be imported ({first_line(error)}); pip install {package}.") from None


def instructions() -> set[str]:
    """The instruction sets of this CPU, of those that matter."""
    flags = cpu_facts()
    unlisted = "asimd" if platform.machine() == "arm64" else ""
    return {isa for isa in ISA if isa in (flags.get("flags") or flags.get("Features") or unlisted).split()}


def cpu_facts() -> dict[str, str]:
    """What the system tells of its CPU."""
    listing = Path("/proc/cpuinfo")
    return dict(re.findall(r"(?m)^(.+?)\s*:[ \t]*(.*)$", listing.read_text() if listing.exists() else ""))


def optimized(path: Path) -> bool:
    """Whether the graph was optimized before it was packed, which a note beside it says; on this kind of CPU it may run."""
    note = path.with_name(f"{path.name}.optimized.json")
    if not note.exists():
        return False
    said = json.loads(note.read_text("utf-8"))
    apart = sorted(set(said["isa"]) ^ instructions())
    if said["graph_level"] in ("layout", "all") and apart:
        raise Refused(
            f"{path.name} was optimized for a CPU with other instructions than this one ({', '.join(apart)}); "
            "make it again on this kind of CPU, or with graph_level: extended."
        )
    return True


def ort_settings(ort: Any, path: Path, manifest: Json) -> Any:
    """The session's options as they were when it was measured."""
    told, made = manifest.get("options", {}), ort.SessionOptions()
    made.intra_op_num_threads, made.inter_op_num_threads = manifest["threads"], told.get("inter_op_threads", 1)
    made.log_severity_level = 3
    level = "DISABLE_ALL" if optimized(path) else LEVELS.get(told.get("graph_level", "all"), "ENABLE_ALL")
    made.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}")
    made.enable_cpu_mem_arena, made.enable_mem_pattern = told.get("arena", True), told.get("mem_pattern", True)
    if told.get("execution") == "parallel":
        made.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    if not told.get("spinning", True):
        for pool in ("intra_op", "inter_op"):
            made.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    if told.get("denormals") == "zero":
        made.add_session_config_entry("session.set_denormal_as_zero", "1")
    return made


def load_onnx(path: Path, manifest: Json) -> Call:
    """Open an ONNX or .ort file on the one provider that its target names."""
    ort, wanted = require("onnxruntime"), PROVIDERS[manifest["target"]]
    options = ort_settings(ort, path, manifest)
    providers = [name for name in ort.get_available_providers() if name == wanted]
    session = ort.InferenceSession(str(path), options, providers=providers)
    active = session.get_providers()[0]
    # a provider that fails to load is replaced by the CPU without an error
    if active != wanted:
        raise Refused(f"{wanted} did not start and {active} took its place; install the driver and libraries it needs.")
    inputs, outputs = ([spec["name"] for spec in manifest["signature"][kind]] for kind in ("inputs", "outputs"))
    return lambda arrays: list(session.run(outputs, dict(zip(inputs, arrays, strict=True))))


def load_torchscript(path: Path, manifest: Json) -> Call:
    """Open a TorchScript file on the CPU."""
    torch = require("torch")
    torch.set_num_threads(manifest["threads"])
    warnings.simplefilter("ignore")
    if manifest["format"] == "torchscript-lite":
        return torch_call(require("torch.jit.mobile")._load_for_lite_interpreter(str(path)), manifest)
    module = torch.jit.load(str(path), map_location="cpu").eval()
    # what was measured was opened this way; a quantized program is as fast as it gets
    if channels_last(manifest):
        for node in module.graph.findAllNodes("prim::Constant", True):
            if node.hasAttribute("value") and node.kindOf("value") == "t":
                node.t_("value", laid_out(node.t("value")))
    elif "quantized::" not in str(module.inlined_graph):
        module = torch.jit.optimize_for_inference(module)
    return torch_call(module, manifest)


def channels_last(manifest: Json) -> bool:
    """Whether 4-D tensors lay (N, H, W, C) in memory when it was measured."""
    return bool(manifest.get("options", {}).get("channels_last"))


def laid_out(tensor: Any) -> Any:
    """A 4-D tensor of PyTorch as (N, H, W, C) in memory."""
    return tensor.contiguous(memory_format=require("torch").channels_last) if tensor.ndim == 4 else tensor


def torch_call(program: Any, manifest: Json) -> Call:
    """Tensors into a program of PyTorch, and its results, named or in order, out of it."""
    torch, names = require("torch"), [spec["name"] for spec in manifest["signature"]["outputs"]]
    other_layout = channels_last(manifest)

    def call(arrays: list[Array]) -> list[Array]:
        with torch.inference_mode():
            given = map(torch.from_numpy, arrays)
            made = program(*(map(laid_out, given) if other_layout else given))
        made = [made[name] for name in names] if isinstance(made, dict) else made
        return [tensor.contiguous().numpy() for tensor in (made if isinstance(made, (tuple, list)) else [made])]

    return call


def load_aotinductor(path: Path, manifest: Json) -> Call:
    """Open an AOTInductor package, on a CPU that has every instruction it was compiled with: another would end the process."""
    with zipfile.ZipFile(path) as archive:
        told = next(name for name in archive.namelist() if name.endswith("wrapper_metadata.json"))
        needed = json.loads(archive.read(told)).get("tightship_cpu_flags", "").split()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    present = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
    missing = [flag for flag in needed if flag not in present]
    if missing:
        raise Refused(
            f"{path.name} was compiled for a CPU with {missing[0]}, which this one lacks; export it on this kind of CPU."
        )
    require("torch").set_num_threads(manifest["threads"])
    return torch_call(require("torch._inductor").aoti_load_package(str(path)), manifest)


def load_executorch(path: Path, manifest: Json) -> Call:
    """Open an ExecuTorch program."""
    torch, runtime = require("torch"), require("executorch.runtime")
    # there is no public call for this, and the pool takes every core without it
    require("executorch.extension.pybindings.portable_lib")._unsafe_reset_threadpool(manifest["threads"])
    method = runtime.Runtime.get().load_program(path).load_method("forward")
    # the program writes its next results over these
    return lambda arrays: [tensor.numpy().copy() for tensor in method.execute([*map(torch.from_numpy, arrays)])]


def load_litert(path: Path, manifest: Json) -> Call:
    """Open a LiteRT file; its signature has the names of the manifest's."""
    made = require("ai_edge_litert.interpreter").Interpreter(model_path=str(path), num_threads=manifest["threads"])
    made.allocate_tensors()
    signature = made.get_signature_runner()
    inputs, outputs = ([spec["name"] for spec in manifest["signature"][kind]] for kind in ("inputs", "outputs"))
    kinds = [np.dtype(spec["dtype"]) for spec in manifest["signature"]["outputs"]]
    takes = {name: detail["dtype"] for name, detail in signature.get_input_details().items()}

    def call(arrays: list[Array]) -> list[Array]:
        # 64-bit tensors became 32-bit ones in conversion
        given = {name: array.astype(takes[name], copy=False) for name, array in zip(inputs, arrays, strict=True)}
        results = signature(**given)
        return [results[name].astype(kind, copy=False) for name, kind in zip(outputs, kinds, strict=True)]

    return call


def load_ncnn(path: Path, manifest: Json) -> Call:
    """Open an ncnn network, whose inputs and outputs are numbered, and which has no batch."""
    ncnn, shapes = require("ncnn"), [spec["shape"] for spec in manifest["signature"]["outputs"]]
    net = ncnn.Net()
    net.opt.num_threads = manifest["threads"]
    # fp16 arithmetic would round a float32 file to 16 bits unasked
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(net.opt, option, manifest["precision"] == "fp16")
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        raise Refused(f"ncnn cannot open {path.name}; install the version that requirements.txt names.")

    def call(arrays: list[Array]) -> list[Array]:
        rows = [np.ascontiguousarray(a[0], np.float32 if a.dtype.kind == "f" else np.int32) for a in arrays]
        with net.create_extractor() as extractor:
            for index, row in enumerate(rows):
                extractor.input(f"in{index}", ncnn.Mat(row))
            return [np.array(extractor.extract(f"out{i}")[1]).reshape(shape) for i, shape in enumerate(shapes)]

    return call


def load_openvino(path: Path, manifest: Json) -> Call:
    """Open an OpenVINO file in the precision that it was measured in."""
    core = require("openvino").Core()
    model, key = core.read_model(path), ["tightship", "inference_precision"]
    told = manifest.get("options", {})
    hint = told.get("hint", "latency")
    streams = told.get("streams", 1 if hint == "latency" else None)
    settings = {
        "PERFORMANCE_HINT": hint.upper(),
        **({} if streams is None else {"NUM_STREAMS": streams}),
        "INFERENCE_NUM_THREADS": manifest["threads"],
        "INFERENCE_PRECISION_HINT": model.get_rt_info(key).astype(str) if model.has_rt_info(key) else "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda arrays: [value.copy() for value in request.infer(arrays, share_outputs=True).values()]


LOADERS = {"onnx": load_onnx, "ort": load_onnx, "executorch": load_executorch, "litert": load_litert, "ncnn": load_ncnn}
LOADERS |= {"openvino": load_openvino, "aotinductor": load_aotinductor}
LOADERS |= dict.fromkeys(("torchscript-trace", "torchscript-script", "torchscript-lite"), load_torchscript)
