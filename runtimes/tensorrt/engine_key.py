"""What a TensorRT engine belongs to, and how to build it again: plain data, without TensorRT and without a GPU.

An engine runs only under the TensorRT and on the GPU that built it, and loading a external one crashes or computes
something else. So a key file lies beside every engine, and is compared before the engine is read.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import IntegrityError, RequestError, nearest
from artifacts.files import sha256_file, write_json
from artifacts.specs import Signature, TensorSpec
from export.onnx.metadata import read_ranges

if TYPE_CHECKING:
    import onnx

Sizes = tuple[int, int, int]
"""The smallest, the usual and the largest size of a dynamic dimension."""
Shape = tuple[int, ...]
Profile = tuple[Shape, Shape, Shape]
"""The smallest, the usual and the largest shape of an input."""

USUAL_SIZES: Sizes = (1, 1, 256)
"""Kernels are chosen for the second: latency is gated at batch 1."""


@dataclass(frozen=True)
class Machine:
    """What decides whether an engine can be loaded."""

    tensorrt: str
    gpu: str
    compute_capability: str
    driver: str = "unknown"
    """Recorded, not compared: NVIDIA promises that an engine survives a new driver."""


@dataclass(frozen=True)
class EngineKey:
    """The machine, the ONNX file and the shapes that an engine was built for."""

    machine: Machine
    onnx: Mapping[str, str]
    """The SHA-256 of the ONNX file and of each sidecar, by file name; the ONNX file comes first."""
    sizes: Mapping[str, Sizes]
    """The sizes that were asked for, by dynamic dimension."""
    profiles: Mapping[str, Profile]
    engine: str
    """The SHA-256 of the engine itself, so that a key cannot vouch for another engine."""

    def write(self, engine: Path) -> None:
        """Write the key beside its engine."""
        write_json(key_path(engine), asdict(self))

    @classmethod
    def read(cls, engine: Path) -> "EngineKey":
        """Read the key that lies beside an engine.

        Raises:
            IntegrityError: there is none, or it is not one.
        """
        path = key_path(engine)
        try:
            value = json.loads(path.read_text())
            return cls(
                Machine(**value["machine"]),
                dict(value["onnx"]),
                {name: _sizes(sizes) for name, sizes in value["sizes"].items()},
                {name: _profile(shapes) for name, shapes in value["profiles"].items()},
                str(value["engine"]),
            )
        except OSError:
            message = f"{engine} has no key file {path.name}, so nothing says which GPU and ONNX file it was built for"
        except (ValueError, KeyError, TypeError, AttributeError):
            message = f"{path} is not the key of a TensorRT engine"
        raise IntegrityError(f"{message}; build it here: `{rebuild_command(Path('model.onnx'), engine.parent)}`.")


def key_path(engine: Path) -> Path:
    """Where the key of an engine lies."""
    return engine.with_name(f"{engine.name}.key.json")


def _sizes(value: list[int]) -> Sizes:
    smallest, usual, largest = value
    return smallest, usual, largest


def _profile(value: list[list[int]]) -> Profile:
    smallest, usual, largest = (tuple(shape) for shape in value)
    return smallest, usual, largest


def refuse_foreign(engine: Path, key: EngineKey, machine: Machine, onnx: Mapping[str, str] | None, rebuild: str) -> None:
    """Raise IntegrityError unless the engine was built on this kind of machine, from this ONNX file.

    >>> refuse_foreign(path, EngineKey.read(path), machine, {"model.onnx": "e3b0..."}, "tightship run recipe.yaml")
    """
    was = f"TensorRT {key.machine.tensorrt} on {key.machine.gpu} ({key.machine.compute_capability})"
    here = f"TensorRT {machine.tensorrt} on {machine.gpu} ({machine.compute_capability})"
    if was != here:
        raise IntegrityError(f"{engine} was built for {was}, and this is {here}; rebuild it here: `{rebuild}`.")
    if onnx is not None and dict(onnx) != dict(key.onnx):
        name = next(name for name in {**onnx, **key.onnx} if onnx.get(name) != key.onnx.get(name))
        raise IntegrityError(
            f"{engine} was built from a {name} with SHA-256 {key.onnx.get(name, 'none')[:12]}, "
            f"and this one has {onnx.get(name, 'none')[:12]}; rebuild it: `{rebuild}`."
        )
    if not engine.is_file():
        raise IntegrityError(f"{engine} is missing, though its key is there; build it again: `{rebuild}`.")
    if (found := sha256_file(engine)) != key.engine:
        raise IntegrityError(f"{engine} has SHA-256 {found[:12]}, and its key says {key.engine[:12]}; rebuild it: `{rebuild}`.")


def profiles_of(signature: Signature, sizes: Mapping[str, Sizes]) -> dict[str, Profile]:
    """The shapes that every input with a dynamic dimension may take; dimensions that `sizes` leaves out are 1 to 256.

    `sizes_of` adds the ranges of the signature to what is asked for.

    Raises:
        RequestError: a size is not one of a rising triple, or its dimension does not exist.
    """
    for name, triple in sizes.items():
        if name not in signature.dynamic:
            raise RequestError(f"the model has no dynamic dimension {name!r}; {nearest(name, signature.dynamic)}.")
        if list(triple) != sorted(triple) or triple[0] < 1:
            raise RequestError(f"the sizes {triple} of {name!r} must rise from at least 1: smallest, usual, largest.")
    ranges = {name: sizes.get(name, USUAL_SIZES) for name in signature.dynamic}
    steps = [{name: triple[i] for name, triple in ranges.items()} for i in range(3)]
    moving = [spec for spec in signature.inputs if any(isinstance(size, str) for size in spec.shape)]
    return {spec.name: (spec.concrete(steps[0]), spec.concrete(steps[1]), spec.concrete(steps[2])) for spec in moving}


def sizes_of(signature: Signature, asked: Mapping[str, Sizes]) -> dict[str, Sizes]:
    """The sizes of dynamic dimensions: those asked for, then those of the signature's ranges.

    >>> spec = TensorSpec("x", "float32", ("batch", 3))
    >>> sizes_of(Signature((spec,), (), (DimRange("batch", 1, 64, 8),)), {})
    {'batch': (1, 8, 64)}
    """
    return {r.name: (r.min, r.opt, r.max) for r in signature.ranges} | dict(asked)


def onnx_hashes(path: Path) -> dict[str, str]:
    """The SHA-256 of an ONNX file and of each file that holds its weights, by file name."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    graph = onnx.load(path, load_external_data=False).graph
    outside = [tensor for tensor in graph.initializer if uses_external_data(tensor)]
    names = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
    return {path.name: sha256_file(path)} | {name: sha256_file(path.parent / name) for name in sorted(names)}


def signature_of(path: Path) -> Signature:
    """The inputs and outputs that an ONNX file declares, with the ranges that it notes; a nameless dimension gets a name."""
    import onnx

    proto = onnx.load(path, load_external_data=False)
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = tuple(_spec(value) for value in graph.input if value.name not in weights)
    return Signature(inputs, tuple(_spec(value) for value in graph.output), read_ranges(proto))


def _spec(value: "onnx.ValueInfoProto") -> TensorSpec:
    from onnx.helper import tensor_dtype_to_np_dtype

    tensor = value.type.tensor_type
    dims = enumerate(tensor.shape.dim)
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or f"{value.name}_{i}" for i, d in dims)
    return TensorSpec(value.name, tensor_dtype_to_np_dtype(tensor.elem_type).name, shape)


def timing_cache_path(folder: Path, machine: Machine) -> Path:
    """Where kernel timings are kept: next to the engine's folder, one file for each GPU and TensorRT version."""
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{machine.gpu} {machine.tensorrt}".lower())
    return folder.parent / f"tensorrt-timing-{slug}.cache"


def rebuild_command(onnx: Path, folder: Path, sizes: Mapping[str, Sizes] | None = None) -> str:
    """The command that builds an engine and its key from an ONNX file.

    >>> rebuild_command(Path("net.onnx"), Path("out"), {"batch": (1, 8, 32)})
    'python -m runtimes.tensorrt.runtime net.onnx out batch=1,8,32'
    """
    ranges = [f"{name}={','.join(map(str, triple))}" for name, triple in (sizes or {}).items()]
    return shlex.join(["python", "-m", "runtimes.tensorrt.runtime", str(onnx), str(folder), *ranges])


def trtexec_command(onnx: Path, engine: Path, profiles: Mapping[str, Profile], workspace_mib: int) -> str:
    """The command line of NVIDIA's own tool that builds the same engine, to reproduce a result without tightship."""
    parts = ["trtexec", f"--onnx={onnx}", f"--saveEngine={engine}", "--stronglyTyped"]
    for i, flag in enumerate(("--minShapes", "--optShapes", "--maxShapes")):
        # trtexec splits at colons, and takes a name that holds one in single quotes
        shapes = [(f"'{name}'" if ":" in name else name, steps[i]) for name, steps in profiles.items()]
        if shapes:
            parts.append(f"{flag}={','.join(f'{name}:' + 'x'.join(map(str, shape)) for name, shape in shapes)}")
    return shlex.join([*parts, f"--memPoolSize=workspace:{workspace_mib}", "--profilingVerbosity=detailed"])
