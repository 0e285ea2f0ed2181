"""Numbers that callers give, held against their limits: one sentence that names the value, the limit and the way out."""

from collections.abc import Sequence

from artifacts.errors import RequestError

MOST = 65_536
"""The largest count of examples, processes or threads that is taken for one that is meant."""


def whole(name: str, value: int, least: int = 1, most: int = MOST) -> int:
    """A whole number from `least` to `most`.

    Raises:
        RequestError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RequestError(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    return value


def several(name: str, values: int | Sequence[int], least: int = 1) -> tuple[int, ...]:
    """One whole number or several, each once and in order.

    Raises:
        RequestError: one is none.
    """
    given = (values,) if isinstance(values, int) else values
    return tuple(dict.fromkeys(whole(name, value, least) for value in given))


def positive(name: str, value: float, least: float = 0.0) -> float:
    """A finite number above `least`.

    Raises:
        RequestError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least < value < float("inf"):
        raise RequestError(f"{name} must be a number above {least:g}, not {value!r}.")
    return float(value)
