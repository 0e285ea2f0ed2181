"""What a target is: the record that each runtime's folder or file declares, and what it names. Cheap to import."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from artifacts.environments import Environment, child_environment
from artifacts.plugins import named
from artifacts.types import Engine, Session
from runtimes.base import Runtime
from runtimes.options import Options, read_options

API = 1
"""The version of this interface and those of `runtimes.base`; a record that was written for another one is refused."""

FileCheck = Callable[[Path, Options], None]
"""(file made elsewhere, how it will be opened) -> refuses, with one sentence, what the runtime lacks for it."""

Loader = Callable[[Engine, int], Session]
"""(what to open, CPU threads) -> the session that was timed, opened by numpy and the one runtime alone."""


@dataclass(frozen=True)
class Target:
    """A runtime on a device, the files it opens and how int8 is made for it. What is named `module:name` is imported when it
    is used.
    """

    name: str
    entry_point: str
    """The class of the runtime."""
    formats: tuple[str, ...]
    """The formats that are written for it (names of `export.registry`); the first is the usual one."""
    quantizer: str | None
    """How int8 is made for it (a name of `compress.quantizers`); none if it has no int8 of its own."""
    libraries: tuple[str, ...]
    """The distributions whose versions decide what it computes and how fast; a plug-in names its own among them."""
    runs_with: tuple[str, ...] | None = None
    """The distributions that a device needs; none where they are `libraries`, of which some may only make files."""
    extra: str | None = None
    """The extra of this distribution that brings its libraries."""
    install: str | None = None
    """The one command that brings its libraries, where that is not pip's."""
    instead: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Distributions that bring the same module as one of its libraries: library -> the other."""
    reference: bool = False
    """A yardstick, not a thing to ship: its artifacts are measured but not gated."""
    qat: bool = False
    """Whether its int8 file can carry the ranges learned in quantization-aware training."""
    device: Literal["cpu", "cuda"] = "cpu"
    stock: tuple[str, str] | None = None
    """Format and quantizer of the int8 file that the runtime's own tools make: what a user has without us."""
    environment: Environment | None = None
    """Where it is probed, opened and measured, if not in this environment."""
    schemes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The quantizers of the schemes that it runs besides int8: scheme -> name in `compress.quantizers`."""
    options: str | None = None
    """The class of the options that its runtime takes, an `Options`; none if it takes none."""
    also_opens: tuple[str, ...] = ()
    """Further formats that it opens: what its options make of its files."""
    unpacks_palettes: bool = False
    """Whether it unpacks packed palettes as it opens a file, so that they may be shipped packed."""
    loader: str | None = None
    """The `Loader`, whose module is what a bundle ships and what the runtime's session runs; none if no bundle can hold it."""
    file_check: str | None = None
    """The `FileCheck`."""
    only_on: str | None = None
    """The one `sys.platform` on which its files run; on others they are converted and checked, and not run."""
    api: int = API

    @property
    def runs_elsewhere(self) -> bool:
        """Whether its files run on another system only."""
        return self.only_on is not None and sys.platform != self.only_on

    @property
    def on_device(self) -> tuple[str, ...]:
        """The distributions that a device needs to run its files."""
        return self.libraries if self.runs_with is None else self.runs_with

    def opens(self, format_name: str) -> bool:
        """Whether it opens files of a format."""
        return format_name in (*self.formats, *self.also_opens)

    @property
    def float_formats(self) -> dict[str, str]:
        """The formats in float by the precision that a recipe asks for them with: `fp32` for the usual one, `fp32-script`."""
        return {"fp32" if at == 0 else f"fp32-{name.rpartition('-')[2]}": name for at, name in enumerate(self.formats)}

    def quantizer_for(self, scheme: str) -> str | None:
        """The quantizer that makes a scheme's files for this target; none if it does not run the scheme."""
        return self.quantizer if scheme == "int8" else self.schemes.get(scheme)

    def install_hint(self, missing: str) -> str:
        """The one command that brings a distribution that is missing."""
        if self.environment is not None:
            return self.environment.command
        if self.install is not None:
            return self.install
        return f"pip install 'tightship[{self.extra}]'" if self.extra else f"pip install {missing}"

    def command(self, module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The command line that runs one of our modules where the target lives, and its environment variables.

        Raises:
            TargetUnavailable: its environment is not there.
        """
        if self.environment is not None:
            return self.environment.module(module, *arguments), child_environment()
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
        return [sys.executable, "-m", module, *arguments], {**os.environ, "PYTHONPATH": paths}

    def runtime(self) -> Runtime:
        """The runtime of this target."""
        made: Runtime = named(self.entry_point)()
        return made

    def load(self, engine: Engine, threads: int) -> Session:
        """The engine as a bundle opens it."""
        assert self.loader, f"{self.name} has no loader"
        load: Loader = named(self.loader)
        return load(engine, threads)

    def refuse_file(self, path: Path, options: Options) -> None:
        """Refuse a file from elsewhere that needs what the runtime lacks.

        Raises:
            ModelError: says what is lacking, and the way out.
        """
        if self.file_check:
            check: FileCheck = named(self.file_check)
            check(path, options)

    def options_kind(self) -> type[Options]:
        """What its options are."""
        kind: type[Options] = named(self.options) if self.options else Options
        return kind

    def read_options(self, given: Mapping[str, object]) -> Options:
        """Its options from plain values, such as those of a recipe.

        Raises:
            RequestError: one is unknown, or has a value that it cannot have.
        """
        return read_options(self.options_kind(), given, self.name)
