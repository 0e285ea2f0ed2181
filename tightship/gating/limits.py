"""Limits as people write them, on the command line or in a YAML file: names and finite numbers, nothing else."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from artifacts.errors import RequestError, nearest
from artifacts.yaml_loader import read_yaml
from tightship.gating.baseline_limits import BASELINE_LIMITS
from tightship.gating.gates import GATES


def gather(texts: Sequence[str], file: Path | None) -> dict[str, float] | None:
    """The limits of a file, and over them those of the command line; none if neither was given.

    Raises:
        RequestError: a limit is malformed or unknown, or the file cannot be read.
    """
    if not texts and file is None:
        return None
    return {**(read_limits(file) if file else {}), **dict(parse_limit(text) for text in texts)}


def parse_limit(text: str) -> tuple[str, float]:
    """`latency_p90_ms=5` as a name and a number."""
    name, equals, value = text.partition("=")
    _known(name, "")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number):
        raise RequestError(f"limit {text!r} is not NAME=NUMBER.")
    return name, number


def read_limits(path: Path) -> dict[str, float]:
    """The limits in a YAML file, `NAME: NUMBER` on each line; an empty file holds none."""
    try:
        empty = not path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"cannot read the limits {path}: {error}.") from None
    if empty:
        return {}
    return checked(read_yaml(path, "limits", "one `NAME: NUMBER` for each limit"), f"{path}: ")


def checked(limits: Mapping[str, object], where: str = "") -> dict[str, float]:
    """Limits by name, each known and a finite number; `where` begins the message.

    Raises:
        RequestError: one is not.
    """
    found: dict[str, float] = {}
    for name, limit in limits.items():
        _known(name, where)
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
            raise RequestError(f"{where}limit {name} is {limit!r}; write a finite number.")
        found[name] = float(limit)
    return found


def split(limits: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The absolute limits, and those relative to a baseline."""
    absolute = {name: limit for name, limit in limits.items() if name in GATES}
    return absolute, {name: limit for name, limit in limits.items() if name in BASELINE_LIMITS}


def _known(name: str, where: str) -> None:
    for registry in (GATES, BASELINE_LIMITS):
        if name not in registry and any(failure.name == name for failure in registry.failures()):
            registry.find(name)
    if name not in GATES and name not in BASELINE_LIMITS:
        raise RequestError(f"{where}unknown limit {name!r}; {nearest(name, {*GATES, *BASELINE_LIMITS})}.")
