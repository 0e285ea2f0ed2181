"""Artifacts: a network as the file that one target opens, to be run, timed and held against the network."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.errors import RequestError, TargetUnavailable
from artifacts.json import JsonValue
from artifacts.types import Arrays, Engine, ExportedFile
from tightship.api.checks import whole
from tightship.api.networks.measurements import Measurement
from tightship.api.networks.sessions import Session as Session
from tightship.api.networks.sessions import open_apart, open_here
from tightship.api.recipes import PathLike

if TYPE_CHECKING:
    from artifacts.records.measured import ParityRecord
    from artifacts.types import TorchModel
    from benchmarks.parity.parity import Case
    from benchmarks.parity.reference import Reference
    from compress.configs import QuantizeConfig

REAL = 256
"""Examples that parity is judged by, where there are so many."""


@dataclass(frozen=True)
class Made:
    """What an artifact was made from, for its parity."""

    model: "TorchModel"
    quantizer: str | None = None
    config: "QuantizeConfig | None" = None
    """How it was quantized, if it is."""


@dataclass(frozen=True, repr=False, eq=False)
class Artifact:
    """A network as the file that one target opens; made by `export` and `quantize`, or taken from a run.

    Attributes:
        target: the target's name.
        file: the file with its format, signature and notes.
        options: how the target opens it, where that is not the default.
        examples: inputs that it is known to take.

    >>> import tightship as ts, torch
    >>> artifact = ts.export(torch.nn.Linear(4, 2), torch.zeros(1, 4))
    >>> artifact.target, artifact.path.name, artifact.bytes > 0
    ('onnxruntime-cpu', 'model.onnx', True)
    """

    target: str
    file: ExportedFile
    options: Mapping[str, JsonValue]
    examples: Arrays
    made: Made | None = None
    stored: Arrays | None = None
    """What a run recorded of `examples`."""
    keep: object = None
    """The temporary folder that holds the file, which goes with the last artifact that needs it."""

    @property
    def path(self) -> Path:
        """The file that the target opens."""
        return self.file.path

    @property
    def precision(self) -> str:
        """`fp32`, or the scheme of quantization."""
        return self.file.precision

    @property
    def bytes(self) -> int:
        """Of the file with all its sidecars."""
        from artifacts.files import walk

        return sum(path.stat().st_size for _, path in walk(self.file.folder))

    @property
    def takes(self) -> tuple[tuple[object, ...], ...]:
        """Names, types and shapes of one example; equal for artifacts that run the same inputs."""
        return tuple((spec.name, spec.dtype, self.examples[spec.name].shape[1:]) for spec in self.file.signature.inputs)

    def session(self, threads: int = 1) -> Session:
        """Open the file, to run inputs of one's own; in this process, or in one in the target's own environment.

        Args:
            threads: CPU threads.

        Raises:
            TargetUnavailable: the target cannot run here.

        >>> import numpy as np, tightship as ts, torch
        >>> artifact = ts.export(torch.nn.Linear(4, 2), torch.zeros(1, 4))
        >>> artifact.session()(np.zeros((5, 4), np.float32))["output"].shape
        (5, 2)
        """
        from runtimes.registry import find

        target = find(self.target)
        engine = self._engine(self.file.folder.parent / "engine")
        return (open_apart if target.environment else open_here)(engine, whole("threads", threads))

    def measure(self, *, processes: int = 3, seconds: float = 0.6, threads: int = 1, batch: int | None = None) -> Measurement:
        """Time calls, in fresh processes of their own, by the code that `tightship bench` runs.

        Args:
            processes: fresh processes, one after the other; the interval is over these.
            seconds: of timing per process.
            threads: CPU threads.
            batch: examples per call; by default what the file takes, else 1.

        Raises:
            TargetUnavailable: the target cannot run here.
            StageCrashed: the process that ran it died; names its log.

        >>> import tightship as ts, torch
        >>> found = ts.export(torch.nn.Linear(4, 2), torch.zeros(1, 4)).measure(processes=2, seconds=0.05)
        >>> low, high = found.interval
        >>> 0 < low < high
        True
        """
        from tightship.api.files import bench

        return Measurement(
            bench([self], processes=processes, seconds=seconds, threads=threads, batch=() if batch is None else batch)[0]
        )

    def check(self) -> "ParityRecord":
        """Hold the file's outputs against those of the network that it was made from, by the limits of a run's parity gate.

        Quantized weights are held against the network with its weights rounded the same way, trained ranges against their
        simulation. An artifact of a run is held against what the run recorded.

        Returns:
            `.passed`, `.rms_error` and `.max_error` in units of the outputs' standard deviation, and what was tried.

        Raises:
            TargetUnavailable: the target cannot run here.
            RequestError: neither the network nor recorded outputs are known.

        >>> import tightship as ts, torch
        >>> ts.export(torch.nn.Linear(4, 2), torch.randn(32, 4)).check().passed
        True
        """
        from benchmarks.parity.parity import SIMULATED, Case, evaluate
        from tightship.api.networks.options import quiet

        with self.session() as session, quiet():
            if self.stored is not None:
                found = {name: np.asarray(value) for name, value in session(self.examples).items()}
                return evaluate([Case("recorded examples", True, self.stored, found)], SIMULATED, "recorded", False)
            if self.made is None:
                raise RequestError(
                    f"{self.path} comes with neither its network nor recorded outputs, so nothing can be checked."
                )
            from benchmarks.parity.reference import reference_of

            against = reference_of(self.made.model, self.made.quantizer, self.made.config)
            cases = [_case(name, inputs, against, session) for name, inputs in self._inputs()]
        return evaluate(cases, against.tolerance, against.name, False)

    def save(self, folder: PathLike) -> "Artifact":
        """Copy the file with all its sidecars into a new folder, and give the artifact that lies there.

        Raises:
            RequestError: the folder is there and holds something.

        >>> import tightship as ts, torch
        >>> ts.export(torch.nn.Linear(4, 2), torch.zeros(1, 4)).save("exported").path.as_posix()
        'exported/model.onnx'
        """
        place = Path(folder)
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise RequestError(f"{place} is there already and is not an empty folder; name a new one.")
        shutil.copytree(self.file.folder, place, dirs_exist_ok=True)
        return replace(self, file=replace(self.file, folder=place), keep=None)

    def write_inputs(self, path: Path, count: int) -> Path:
        """Write the examples as an NPZ of `count` rows; of a file whose sizes are all fixed as they are."""
        from tightship.api.networks.models import rows

        fixed = not self.file.signature.dynamic
        save_arrays(path, self.examples if fixed else {name: rows(array, count) for name, array in self.examples.items()})
        return path

    def _engine(self, folder: Path) -> Engine:
        """What the target's runtime opens; built in `folder` where it builds anything.

        Raises:
            TargetUnavailable: its library is missing, or its files run on another system only.
        """
        from runtimes.probe import missing_library
        from runtimes.registry import find

        target = find(self.target)
        if missing := missing_library(target):
            raise TargetUnavailable(
                f"target {self.target!r} needs {missing}, which is not installed: {target.install_hint(missing)}."
            )
        if target.runs_elsewhere:
            raise TargetUnavailable(f"the files of target {self.target!r} run on another system only.")
        folder.mkdir(parents=True, exist_ok=True)
        engine = target.runtime().build(self.file, folder)
        return replace(engine, options={**engine.options, **self.options})

    def _inputs(self) -> Sequence[tuple[str, Arrays]]:
        """The examples at several batch sizes, and one more of noise for a file in float."""
        from tightship.api.networks.models import rows

        signature = self.file.signature
        if not signature.dynamic:
            return [("examples", self.examples)]
        count = min(REAL, len(next(iter(self.examples.values()))))
        sizes = dict.fromkeys(map(signature.most, (count, 1, 2, 7)))
        return [(f"examples, batch {size}", {n: rows(a, size) for n, a in self.examples.items()}) for size in sizes]

    def __repr__(self) -> str:
        return f"<Artifact {self.target} {self.precision}: {self.path}>"


def _case(name: str, inputs: Arrays, against: "Reference", session: Session) -> "Case":
    """What the network and the file make of some inputs."""
    import torch

    from artifacts.arrays import examples_first
    from benchmarks.parity.parity import Case
    from zoo.calling import call
    from zoo.outputs import named_outputs

    with torch.no_grad():
        outputs = named_outputs(call(against.module, inputs))
    wanted = {key: tensor.numpy() for key, tensor in outputs.items()}
    found = {key: np.asarray(value) for key, value in session(inputs).items()}
    specs = session.signature.outputs
    return Case(name, True, examples_first(wanted, specs), examples_first(found, specs))
