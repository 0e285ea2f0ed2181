"""How many threads a training step of the plan gets: asked for, or timed once and remembered in the store.

Another number of threads sums in another order, and the weights differ in their last bits, so it is a part of the step's key.
The plan knows the number if the user gave it (`OMP_NUM_THREADS`). Otherwise a few steps are timed when the training begins. An
answer that depends on who else is at work must be given only once, or the next run would train again, and a killed run would
go on with other arithmetic. So there is a key of the question, as many of so many cores as are quickest; under it the answer is
written into the store before the training begins. The entry, and the work that leads to it, lie under the key with the number,
which is the same whether the number was chosen or asked for; so are the keys of all steps that build on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from artifacts.files import write_json
from artifacts.openmp import threads_asked, usable_cores
from tightship.planning.step_configs import StartStep
from tightship.planning.steps import TRAINED, Step
from tightship.store import Store


@dataclass(frozen=True)
class Choice:
    """The number of threads of one training, and why."""

    threads: int
    seconds: Mapping[int, float]
    """Of a step, by number of threads; empty where nothing was timed."""

    @property
    def short(self) -> str:
        """The number with its unit."""
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}"

    def __str__(self) -> str:
        others = [f"{1e3 * seconds:.3g} ms with {n}" for n, seconds in self.seconds.items() if n != self.threads]
        if not others:
            return self.short
        return f"{self.short}: a step takes {1e3 * self.seconds[self.threads]:.3g} ms, {', '.join(others)}"


def question(step: Step) -> int | dict[str, int] | None:
    """What the key of a step says of its threads; None if it does not train."""
    if step.kind not in TRAINED:
        return None
    return {"quickest of": usable_cores()} if is_open(step) else threads_asked() or usable_cores()


def is_open(step: Step) -> bool:
    """Whether the number has yet to be chosen: the step trains, there is a choice, and the user left it open."""
    trains = not isinstance(step.config, StartStep) or step.config.train is not None
    return step.kind in TRAINED and trains and threads_asked() is None and usable_cores() > 1


def remembered(key: str, store: Store) -> Choice | None:
    """What was chosen for this question before; none if nothing was."""
    try:
        found = json.loads(_file(key, store).read_text())
        return Choice(int(found["threads"]), {int(n): float(s) for n, s in found["seconds"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(key: str, store: Store, choice: Choice) -> None:
    """Write a choice down."""
    write_json(_file(key, store), {"threads": choice.threads, "seconds": {str(n): s for n, s in choice.seconds.items()}})


def _file(key: str, store: Store) -> Path:
    return store.root / "threads" / f"{key}.json"
