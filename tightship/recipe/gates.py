"""A recipe's `gates`: one key for each gate that there is, made from the list of them."""

import math
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model, field_validator, model_validator
from pydantic.config import JsonDict

from compress.configs import Config
from tightship.gating.gates import GATES, Gate

Limit = float | None


def _kind(gate: Gate) -> Any:
    """The type of a gate's limit: a number within its bounds, or none."""
    return Annotated[Limit, Field(gt=gate.above, ge=gate.least, le=gate.most, description=gate.description)]


def _of_others(schema: JsonDict) -> None:
    """Gates of other distributions are keys like ours."""
    schema["additionalProperties"] = False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    for name, gate in GATES.items():
        properties.setdefault(name, {**TypeAdapter(_kind(gate)).json_schema(), "default": None, "examples": [gate.example]})


class _Gates(Config):
    """What the keys have in common."""

    # a key that is none of ours may be another distribution's
    model_config = ConfigDict(extra="allow", json_schema_extra=_of_others)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, limit: object) -> object:
        if isinstance(limit, bool):
            raise ValueError(f"a limit is a number, not {str(limit).lower()}")
        return limit

    @model_validator(mode="before")
    @classmethod
    def _gates_of_others(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {name: limit if name in cls.model_fields else _limit(GATES.find(name), limit) for name, limit in given.items()}


def _limit(gate: Gate, limit: object) -> Limit:
    """The limit of a gate of another distribution.

    Raises:
        ValueError: it is no number within the gate's bounds.
    """
    if isinstance(limit, bool) or (isinstance(limit, float) and not math.isfinite(limit)):
        raise ValueError(f"{gate.name}: a limit is a finite number (got {limit!r})")
    try:
        kind: TypeAdapter[Limit] = TypeAdapter(_kind(gate))
        return kind.validate_python(limit)
    except ValidationError as error:
        raise ValueError(f"{gate.name}: {error.errors()[0]['msg']} (got {limit!r})") from None


_Keys = create_model(
    "_Keys",
    __base__=_Gates,
    **{name: (_kind(gate), Field(None, examples=[gate.example])) for name, gate in GATES.own().items()},  # type: ignore[call-overload]
)


class GatesConfig(_Keys):
    """Limits that each shipped artifact must meet, as measured on the deployed file."""

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}
