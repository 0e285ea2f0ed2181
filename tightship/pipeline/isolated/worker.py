"""The process in which files are made: it does what its parent orders, until there is no parent."""

import contextlib
import traceback
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import TightshipError
from tightship.pipeline.execute import STAGES, captured
from tightship.pipeline.isolated.messages import Answer, Done, Failed, Order, Said
from tightship.pipeline.rehearsal import computing
from tightship.pipeline.stages.job import Job
from zoo.data import DataRef, load_data
from zoo.splits import TaskData

if TYPE_CHECKING:
    Line = Connection[Answer, Order]

FIRST_TO_GO = "500"
"""Of 1000: where memory runs out, rather this process than the one that has all the others' results."""


def main(line: int) -> None:
    """Do what is ordered through this end of a `multiprocessing.connection.Pipe`, given by its descriptor."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    with Connection(line) as connection:
        connection.send(Said(0.0, "loading PyTorch"))
        import torch  # noqa: F401

        connection.send(Said(0.0, ""))
        with contextlib.suppress(EOFError):
            while True:
                connection.send(_do(connection.recv(), connection))


def _do(order: Order, line: "Line") -> Answer:
    def tell(share: float, message: str) -> None:
        line.send(Said(share, message))

    data = partial(_data, order.data)
    job = Job(order.config, order.inputs, order.out, order.work, order.memory, data, tell)
    try:
        with captured(order.log, order.step):
            _compute_like_the_parent(order.torch_threads)
            with computing(order.threads):
                return Done(STAGES[order.kind].run(job))
    except TightshipError as error:
        return Failed.of(error, traceback.format_exc())


_LOADED: list[tuple[DataRef, TaskData]] = []
"""The data of the last order; those of a run are the same."""


def _data(ref: DataRef) -> TaskData:
    if not _LOADED or _LOADED[0][0] != ref:
        _LOADED[:] = [(ref, load_data(ref))]
    return _LOADED[0][1]


def _compute_like_the_parent(threads: int | None) -> None:
    import torch

    if threads is not None and threads != torch.get_num_threads():
        torch.set_num_threads(threads)
