"""Libraries that cannot share an environment with ours: they live in one of their own, and run as child processes of it.

Nothing is ever installed here. A child finds its libraries in its own environment and, where it needs them, our packages
by name only, so that nothing else of our environment reaches it.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from artifacts.errors import StageCrashed, TargetUnavailable

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds our packages."""
OURS = ("artifacts", "zoo", "compress", "export", "runtimes", "benchmarks", "tightship")

REFUSED = "refused: "

BOOT = """\
import importlib.machinery as m, runpy, sys
class Ours:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {ours!r}:
            return m.PathFinder.find_spec(name, path or [{root!r}], target)
sys.meta_path.insert(0, Ours)
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Environment:
    """A Python environment beside ours."""

    name: str
    variable: str
    """The environment variable that may name its Python executable."""
    folder: str
    """Where it is looked for otherwise: in the working directory, beside our own environment, beside our packages."""
    requirements: tuple[str, ...]
    """What it holds, as pip is told."""

    def python(self) -> Path | None:
        """Its Python executable; none if there is none."""
        named = os.environ.get(self.variable)
        if named:
            # not resolved: a link to an interpreter is what makes a virtual environment
            return Path(named).absolute() if Path(named).is_file() else None
        for place in (Path.cwd(), Path(sys.prefix).parent, ROOT):
            for inside in ("bin/python", "Scripts/python.exe"):
                if (place / self.folder / inside).is_file():
                    return (place / self.folder / inside).absolute()
        return None

    def version(self, library: str) -> str | None:
        """The version of a distribution in it, read from its files; none if it is missing."""
        python = self.python()
        if python is None:
            return None
        prefix = python.parent.parent
        for packages in (*sorted(prefix.glob("lib/python3*/site-packages")), prefix / "Lib" / "site-packages"):
            for found in distributions(name=library, path=[str(packages)]):
                return found.version
        return None

    @property
    def command(self) -> str:
        """The one command that makes it."""
        held = " ".join(self.requirements)
        return f"python3.11 -m venv {self.folder} && {self.folder}/bin/python -m pip install {held}"

    def require(self) -> Path:
        """Its Python executable.

        Raises:
            TargetUnavailable: there is none; the message holds the command that makes it.
        """
        found = self.python()
        if found is None:
            named = os.environ.get(self.variable)
            where = f"{self.variable} is {named!r}, which is no file" if named else f"there is no {self.folder}"
            raise TargetUnavailable(f"{self.name} needs an environment of its own, and {where}: {self.command}")
        return found

    def module(self, name: str, *arguments: str) -> list[str]:
        """The command line that runs one of our modules in it.

        Raises:
            TargetUnavailable: there is no such environment.
        """
        return [str(self.require()), "-P", "-c", BOOT.format(ours=OURS, root=str(ROOT), module=name), *arguments]

    def run(self, script: Path, *arguments: str, timeout: float = 900.0) -> str | None:
        """Run a script that imports nothing of ours; the sentence with which it refused, or none if it is done.

        A script refuses by `sys.exit("refused: sentence")`.

        Raises:
            TargetUnavailable: there is no such environment.
            StageCrashed: the script died, or took longer than `timeout` seconds.
        """
        command = [str(self.require()), "-P", str(script), *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, env=child_environment(), check=False
            )
        except subprocess.TimeoutExpired:
            raise StageCrashed(f"{script.name} in the {self.name} environment did not end within {timeout:.0f} s.") from None
        if not done.returncode:
            return None
        lines = done.stderr.strip().splitlines() or ["no message"]
        refusals = [line.removeprefix(REFUSED) for line in lines if line.startswith(REFUSED)]
        if done.returncode == 1 and refusals:
            return refusals[-1]
        last = lines[-1]
        raise StageCrashed(f"{script.name} in the {self.name} environment died (exit code {done.returncode}): {last}")


def child_environment() -> dict[str, str]:
    """The variables of this process without those that would lead a child back into our environment."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


@dataclass(frozen=True)
class NodePackage:
    """A package from npm in a folder of its own."""

    name: str
    pinned: str
    """The version that is asked for."""
    variable: str
    """The environment variable that may name the package's folder."""
    folder: str
    """Where it is looked for otherwise: in the working directory, beside our own environment, beside our packages."""

    def place(self) -> Path | None:
        """The package's folder; none if there is none."""
        named = os.environ.get(self.variable)
        if named:
            return Path(named).absolute() if (Path(named) / "package.json").is_file() else None
        for beside in (Path.cwd(), Path(sys.prefix).parent, ROOT):
            if (beside / self.folder / "node_modules" / self.name / "package.json").is_file():
                return (beside / self.folder / "node_modules" / self.name).absolute()
        return None

    def version(self, library: str) -> str | None:
        """Its version, read from its files; none if it is missing."""
        place = self.place()
        if place is None or library != self.name:
            return None
        return str(json.loads((place / "package.json").read_text("utf-8"))["version"])

    @property
    def command(self) -> str:
        """The one command that brings it."""
        return f"npm install --ignore-scripts --prefix {self.folder} {self.name}@{self.pinned}"

    def require(self) -> Path:
        """The package's folder.

        Raises:
            TargetUnavailable: there is none; the message holds the command that brings it.
        """
        found = self.place()
        if found is None:
            named = os.environ.get(self.variable)
            where = f"{self.variable} is {named!r}, which holds no package" if named else f"there is no {self.folder}"
            raise TargetUnavailable(f"{self.name} is needed, and {where}: {self.command}")
        return found


LITERT = Environment(
    "LiteRT", "TIGHTSHIP_LITERT", ".venv-litert", ("torch==2.13.0", "litert-torch==0.10.0", "ai-edge-litert==2.3.0")
)
"""LiteRT's converter downgrades pydantic and typing-extensions."""

WEB = NodePackage("onnxruntime-web", "1.30.0", "TIGHTSHIP_WEB", ".venv-web")
"""ONNX Runtime for browsers."""

ELSEWHERE: dict[str, Environment | NodePackage] = {
    **dict.fromkeys(("ai-edge-litert", "litert-torch", "ai-edge-quantizer"), LITERT),
    WEB.name: WEB,
}
"""Distributions that are looked for in an environment of their own."""


def installed_version(name: str) -> str | None:
    """The version of a distribution, here or in the environment of its own; none if it is missing."""
    if name in ELSEWHERE:
        return ELSEWHERE[name].version(name)
    try:
        return version(name)
    except PackageNotFoundError:
        return None
