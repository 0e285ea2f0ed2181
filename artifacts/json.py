"""JSON as Python holds it, and dataclasses read back from what `dataclasses.asdict` wrote.

Standard library only: a measured child reads with it too, and what it imports is part of the cold start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
else:
    # pydantic cannot follow an alias that names itself, and what it parsed from JSON is JSON
    JsonValue = object

JsonObject = Mapping[str, JsonValue]

Row = dict[str, Any]
"""Figures by name, units in the names, of one file, layer or load; None where nothing was measured."""

T = TypeVar("T")


def read(kind: type[T], value: JsonValue) -> T:
    """A dataclass from the JSON of `dataclasses.asdict`; nested dataclasses, tuples and optional fields come back as such.

    Fields that the value lacks take their default; keys that are no fields are left out, so that a newer writer can be read.

    >>> from artifacts.specs import TensorSpec
    >>> read(TensorSpec, {"name": "x", "dtype": "float32", "shape": ["batch", 3]})
    TensorSpec(name='x', dtype='float32', shape=('batch', 3))

    Raises:
        ValueError: a field is missing, or a value is not of its type; the message names it.
    """
    return cast(T, _read(kind, value, kind.__name__))


def _read(hint: object, value: JsonValue, where: str) -> object:
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if hint is object:
        return value
    if kind in (Union, UnionType):
        return _either(arguments, value, where)
    if kind is Literal and value in arguments:
        return value
    if isinstance(kind, type):
        if is_dataclass(kind) and isinstance(value, Mapping):
            return _record(kind, value, where)
        if issubclass(kind, Mapping) and isinstance(value, Mapping):
            whole = arguments[0] is int  # JSON has no other keys than text
            return {int(key) if whole else key: _read(arguments[1], part, f"{where}[{key!r}]") for key, part in value.items()}
        if issubclass(kind, Sequence) and not issubclass(kind, str) and isinstance(value, list | tuple):
            return _several(kind, arguments, value, where)
        if _plain(kind, value):
            return value
    raise ValueError(f"{where} is {value!r}, not {getattr(hint, '__name__', hint)}")


def _plain(kind: type, value: JsonValue) -> bool:
    """Whether a value is of this type as JSON has it: 1 is a float too, true is no number."""
    if kind is float:
        return type(value) in (int, float)
    return type(value) is int if kind is int else isinstance(value, kind)


def _either(alternatives: tuple[object, ...], value: JsonValue, where: str) -> object:
    if value is None and NoneType in alternatives:
        return None
    wanted = [hint for hint in alternatives if hint is not NoneType]
    for hint in wanted[:-1]:
        try:
            return _read(hint, value, where)
        except ValueError:
            continue
    return _read(wanted[-1], value, where)


def _several(kind: type, arguments: tuple[object, ...], value: Sequence[JsonValue], where: str) -> object:
    if kind is tuple and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise ValueError(f"{where} has {len(value)} values, not {len(arguments)}")
        return tuple(_read(hint, part, where) for hint, part in zip(arguments, value, strict=True))
    # thousands of times need no look at each
    alike = set(map(type, value)) <= {arguments[0]}
    parts = value if alike else [_read(arguments[0], part, f"{where}[{at}]") for at, part in enumerate(value)]
    return tuple(parts) if kind is tuple else list(parts)


def _record(kind: type, value: JsonObject, where: str) -> object:
    given: dict[str, object] = {}
    for name, (hint, needed) in _fields(kind).items():
        if name in value:
            given[name] = _read(hint, value[name], f"{where}.{name}")
        elif needed:
            raise ValueError(f"{where} has no {name!r}")
    return kind(**given)


@lru_cache
def _fields(kind: type) -> dict[str, tuple[object, bool]]:
    """The fields of a dataclass with their types, and whether they must be given."""
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    return {f.name: (hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(kind) if f.init}
