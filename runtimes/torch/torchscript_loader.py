"""TorchScript as it is timed: programs optimized for inference as they are opened, and those of the lite interpreter.

Bundles ship this module.
"""

import warnings
from pathlib import Path
from typing import Any

from artifacts.errors import ModelError, RequestError
from artifacts.types import Arrays, Engine
from export.torchscript.lite_file import SUFFIX, load
from runtimes.options import read_options
from runtimes.torch.memory_format import Caller, lay_out_program
from runtimes.torch.options import TorchScriptOptions


class TorchScriptProgram:
    """A loaded program.

    Raises:
        ModelError: the file is no TorchScript program.
        RequestError: the engine's options are not those of this target.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        told = _told(engine, threads)
        self._names = tuple(s.name for s in engine.signature.inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._program = _program(engine.path, told.channels_last)
        self._call = Caller(self._program, self._names, told.channels_last)

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: the program needs its tensors in the plain layout.
        """
        return self._call(inputs)


class LiteProgram:
    """A program that the lite interpreter has loaded.

    Raises:
        ModelError: the file cannot be opened.
        RequestError: the engine's options are not those of this target, or the file cannot follow them.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        if _told(engine, threads).channels_last:
            raise RequestError(f"{engine.path.name} is a lite-interpreter file, whose weights no channels_last lays out.")
        self._path = engine.path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._call = Caller(load(engine.path), tuple(s.name for s in engine.signature.inputs))

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`."""
        return self._call(inputs)


def _told(engine: Engine, threads: int) -> TorchScriptOptions:
    """Give PyTorch its threads; the options of an engine."""
    import torch

    torch.set_num_threads(threads)
    return read_options(TorchScriptOptions, engine.options, engine.target)


def is_lite(path: Path) -> bool:
    """Whether a file is one of the lite interpreter."""
    return path.suffix == SUFFIX


def open_program(engine: Engine, threads: int) -> TorchScriptProgram | LiteProgram:
    """A program of either kind."""
    return LiteProgram(engine, threads) if is_lite(engine.path) else TorchScriptProgram(engine, threads)


def _program(path: Path, channels_last: bool) -> Any:
    import torch

    try:
        program = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"TorchScript cannot open {path.name}: {first}") from error
    if channels_last:
        # what the optimization makes lies in blocks of channels, whatever layout it was given
        return lay_out_program(program)
    return program if "quantized::" in str(program.inlined_graph) else torch.jit.optimize_for_inference(program)
