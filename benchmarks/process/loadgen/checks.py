"""Hold what LoadGen logged of the outputs against plain runs, so that nothing that was timed was left out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.errors import ParityFailed
from artifacts.types import Arrays
from benchmarks.process.loadgen.logs import logged_outputs
from benchmarks.process.loadgen.samples import Samples, like
from benchmarks.process.outputs import copied, near


def check_logged(folder: Path, samples: Samples, run: Callable[[Arrays], Arrays], every: bool) -> int:
    """Compare the outputs in LoadGen's log with a run of each sample by itself.

    Args:
        folder: with LoadGen's logs.
        samples: what LoadGen picked from.
        run: the engine.
        every: accuracy mode: each sample must be there (some are twice where LoadGen fills up a query), and `outputs.npz`
            is written beside the logs.

    Returns:
        How many samples were compared.

    Raises:
        ParityFailed: a sample is missing, or has other outputs than in a plain run.
    """
    logged = logged_outputs(folder)
    seen = {index for index, _ in logged}
    if every and seen != set(range(samples.count)):
        raise ParityFailed(f"LoadGen logged outputs of {len(seen)} samples instead of all {samples.count}; see {folder}.")
    made: dict[int, Arrays] = {}
    for index, data in logged:
        plain = copied(run(samples.single[index]))
        found = like(data, plain)
        wrong = "outputs of another size" if found is None else _differing(plain, found)
        if found is None or wrong:
            raise ParityFailed(f"under load, sample {index} gave {wrong} than in a plain run; see {folder}.")
        made[index] = found
    if every:
        _write(folder / "outputs.npz", [made[index] for index in range(samples.count)], samples.per)
    return len(seen)


def _differing(plain: Arrays, found: Arrays) -> str | None:
    return next((f"another {name!r}" for name, value in plain.items() if not near(value, found[name])), None)


def _write(path: Path, made: list[Arrays], per: int) -> None:
    """Side by side where outputs are one row per example, else one array per sample, such as `boxes.3`."""
    names = list(made[0])
    rows = all(v.ndim and len(v) == per and v.shape == made[0][n].shape for one in made for n, v in one.items())
    if rows:
        save_arrays(path, {name: np.concatenate([one[name] for one in made]) for name in names})
    else:
        save_arrays(path, {f"{name}.{i}": one[name] for i, one in enumerate(made) for name in names})
