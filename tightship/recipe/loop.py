"""What a recipe says of a loop in which its files are called."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from compress.configs import Config


class LoopMeasure(Config):
    """A loop whose every step is fed what the step before gave."""

    steps: Annotated[int, Field(ge=2, le=10_000)] = 32
    """How often the network is called."""
    feed: Mapping[str, str] = Field(default_factory=dict, examples=[{"state": "next_state"}])
    """Input -> the output that it is fed, such as recurrent state or a cache of keys and values."""
    next: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", examples=["sampling:next_inputs"])
    """`"module:callable"` of yours: (inputs, outputs, number of the step) -> the inputs that change, by name; NumPy arrays."""
    unit: str = Field("step", min_length=1, max_length=20, examples=["token"])
    """What a step makes."""
    watch: str | None = Field(None, examples=["scores"])
    """The output that is held against the reference's; by default the first."""
    examples: Annotated[int, Field(ge=1)] = 16
    """Test examples that loops of the reference and of each file begin with."""

    @model_validator(mode="after")
    def _feeds_something(self) -> "LoopMeasure":
        if not self.feed and self.next is None:
            raise ValueError("a loop that feeds nothing back is the same call again: give 'feed' or 'next'")
        return self
