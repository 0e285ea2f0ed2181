"""What is tried on one open file, in a process of its own: a runtime may crash, or live in another environment.

    python -m tightship.testing.examine TARGET FILE.json

FILE holds the engine, its inputs and what its network makes of them. Each finding is a line of its own. Imports numpy,
`artifacts` and `runtimes` alone.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from artifacts.arrays import joined, load_arrays
from artifacts.errors import TightshipError
from artifacts.specs import Signature
from artifacts.types import Arrays, Engine, Session
from runtimes.base import Closes, Placed, ShowsTensors, TimesLayers
from runtimes.registry import find

FOUND = "tightship-found: "
NEAR = 1e-3
"""How far a value may be from the network's, in units of the output's spread."""

Check = Callable[[], str | None]
"""What is wrong; none if nothing is."""


@dataclass(frozen=True)
class Case:
    """An open file, and what it should make of some examples."""

    session: Session
    signature: Signature
    inputs: Arrays
    expected: Arrays

    def run(self, count: int, batch: int) -> Arrays:
        """The outputs for the first `count` examples, `batch` at a time, each copied at once."""
        parts = []
        for start in range(0, count, batch):
            made = self.session.run({name: value[start : start + batch].copy() for name, value in self.inputs.items()})
            parts.append({name: np.array(value) for name, value in made.items()})
        return joined(parts, self.signature.outputs)


def checks(case: Case) -> list[tuple[str, Check]]:
    """Everything that is tried on an open file, in order."""
    one, session = case.signature.most(1), case.session
    sizes = dict.fromkeys(map(case.signature.most, (1, 2, 7)))
    listed: list[tuple[str, Check]] = [("outputs go by the names of the signature", partial(_names, case))]
    listed += [(f"batch {n}: shapes, types and values are the network's", partial(_values, case, n)) for n in sizes]
    listed += [
        ("the same inputs give the same outputs", partial(_repeats, case, one)),
        ("inputs go by name, in whatever order they come", partial(_order, case, one)),
        ("inputs stay as they are", partial(_inputs_stay, case, one)),
        ("outputs stay as they are at the next call", partial(_outputs_stay, case, one)),
    ]
    if isinstance(session, Placed):
        listed.append(("the placement says how it was read", partial(_placed, session)))
    if isinstance(session, TimesLayers):
        listed.append(("layers and their times are told", partial(_layers, session, _first(case, one))))
    if isinstance(session, ShowsTensors):
        listed.append(("tensors inside are shown", partial(_tensors, session, _first(case, one))))
    listed.append(("afterwards outputs are what they were", partial(_values, case, one)))
    if isinstance(session, Closes):
        listed.append(("it closes", session.close))
    return listed


def _first(case: Case, batch: int) -> Arrays:
    return {name: value[:batch].copy() for name, value in case.inputs.items()}


def _placed(session: Placed) -> str | None:
    return None if session.placement().how else "its `how` is empty"


def _layers(session: TimesLayers, inputs: Arrays) -> str | None:
    times = session.layer_times(inputs)
    return None if times.layers and times.how else f"none is: {times.how!r}"


def _tensors(session: ShowsTensors, inputs: Arrays) -> str | None:
    return None if session.tensors(inputs) else "none is shown"


def _names(case: Case) -> str | None:
    made, wanted = list(case.run(1, 1)), [spec.name for spec in case.signature.outputs]
    return None if set(made) == set(wanted) else f"they are {made}, not {wanted}"


def _values(case: Case, batch: int) -> str | None:
    count = batch * (len(next(iter(case.inputs.values()))) // batch)
    made = case.run(count, batch)
    for spec in case.signature.outputs:
        found, wanted = made[spec.name], case.expected[spec.name][:count]
        if found.shape != wanted.shape or str(found.dtype) != spec.dtype:
            return f"{spec.name!r} is {found.dtype} {list(found.shape)}, not {spec.dtype} {list(wanted.shape)}"
        apart = float(np.abs(np.subtract(found, wanted)).max()) / float(wanted.std())
        if not apart <= NEAR:
            return f"{spec.name!r} is {apart:.3g} spreads away from the network's, more than {NEAR:g}"
    return None


def _repeats(case: Case, batch: int) -> str | None:
    first, second = case.run(batch, batch), case.run(batch, batch)
    other = [name for name in first if not np.array_equal(first[name], second[name])]
    return f"{other[0]!r} is another at the second call" if other else None


def _order(case: Case, batch: int) -> str | None:
    fed = _first(case, batch)
    made = case.session.run(dict(reversed(fed.items())))
    other = [name for name, value in case.run(batch, batch).items() if not np.array_equal(value, made[name])]
    return f"{other[0]!r} is another when the inputs come in reverse" if other else None


def _inputs_stay(case: Case, batch: int) -> str | None:
    fed = _first(case, batch)
    case.session.run(fed)
    other = [name for name, value in _first(case, batch).items() if not np.array_equal(value, fed[name])]
    return f"the call wrote into {other[0]!r}" if other else None


def _outputs_stay(case: Case, batch: int) -> str | None:
    kept = case.session.run(_first(case, batch))
    copies = {name: np.array(value) for name, value in kept.items()}
    case.session.run({name: 1 - value[:batch] for name, value in case.inputs.items()})
    other = [name for name, value in copies.items() if not np.array_equal(value, kept[name])]
    return f"the next call wrote into {other[0]!r}; return a copy" if other else None


def refusal(target: str, path: Path, signature: Signature) -> str | None:
    """What is wrong with how a file that is none is refused."""
    try:
        find(target).runtime().open(Engine(target, path, signature), 1)
    except TightshipError as error:
        return None if str(error) and "\n" not in str(error).strip() else f"it is not one sentence: {str(error)[:200]!r}"
    except Exception as error:
        return f"{type(error).__name__} came through ({str(error)[:200]!r}); raise a ModelError that says it in one sentence"
    return "it was opened"


def main(target: str, said: Path) -> None:
    """Print what was found, a line for each check."""
    told = json.loads(said.read_text())
    path, signature = Path(told["path"]), Signature.from_json(told["signature"])
    if told["bad"]:
        _found(told["bad"], refusal(target, path, signature))
        return
    fed, expected = (load_arrays(Path(told[key])) for key in ("inputs", "expected"))
    session = find(target).runtime().open(Engine(target, path, signature, told["options"]), 1)
    for name, look in checks(Case(session, signature, fed, expected)):
        try:
            wrong = look()
        except Exception as error:
            wrong = f"{type(error).__name__}: {' '.join(str(error).split())}"
        _found(name, wrong)


def _found(check: str, wrong: str | None) -> None:
    sys.stdout.write("\n" + FOUND + json.dumps([check, wrong]) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
