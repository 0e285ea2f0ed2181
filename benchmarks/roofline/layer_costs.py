"""What each layer of a deployed file takes, asked of its runtime in another process."""

from collections.abc import Mapping
from pathlib import Path

from artifacts.errors import TightshipError
from artifacts.json import JsonObject
from artifacts.json import read as read_json
from artifacts.records.roofline import LayerTimes
from artifacts.types import Engine
from benchmarks.process.child import Child
from runtimes.base import TimesLayers
from runtimes.registry import find

SILENT = "this runtime does not say what each layer takes"


def layer_times(engines: Mapping[str, Engine], first: Path, threads: int, logs: Path) -> dict[str, LayerTimes]:
    """The layers of files with their times; none, and why, where the runtime does not say or could not.

    Latency is not timed here: a profile slows the calls that it watches. The files of one target share a process.

    Args:
        engines: by artifact id.
        first: the inputs of one call.
        threads: CPU threads.
        logs: the folder for the logs of the processes.
    """
    found = {name: LayerTimes((), 0, SILENT) for name in engines}
    for target in dict.fromkeys(engine.target for engine in engines.values()):
        if issubclass(find(target).runtime().session, TimesLayers):
            mine = {name: engine for name, engine in engines.items() if engine.target == target}
            found |= _of_target(mine, first, threads, logs / f"layers-{target}.log")
    return found


def _of_target(engines: Mapping[str, Engine], first: Path, threads: int, log: Path) -> dict[str, LayerTimes]:
    found: dict[str, LayerTimes] = {}
    child: Child | None = None
    for name, engine in engines.items():
        try:
            child = child or Child(engine, log, threads)
            child.engine = engine
            child.open(first)
            found[name] = child.layers(first)
        except TightshipError as error:  # what is missing here says nothing against the file
            found[name] = LayerTimes((), 0, f"the layers could not be timed: {error}")
            if child:
                child.close()  # it may have died
            child = None
    if child:
        child.close()
    return found


def read(value: JsonObject) -> LayerTimes:
    """Read what `asdict` wrote."""
    return read_json(LayerTimes, value)
