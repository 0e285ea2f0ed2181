"""Every exception raised on purpose by tightship.

    TightshipError                     exit code 4
    ├── GateFailed                     exit code 1: a gate or a parity check failed
    │   └── ParityFailed
    ├── RequestError (ValueError)      exit code 2: the request is wrong
    │   ├── RecipeError
    │   ├── ModelError
    │   ├── DataError
    │   └── IntegrityError             a file is not what its manifest says
    ├── TargetUnavailable              exit code 3: a target or dependency is missing
    └── StageCrashed                   exit code 4: a stage or its child process died; names the log

A message is one sentence that names the value, the limit and the way out.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar, Self


class TightshipError(Exception):
    """All exceptions raised on purpose by tightship's code."""

    exit_code: ClassVar[int] = 4
    subject: object = None
    """What it is about, where that is known: an engine, or the id of an artifact."""

    def about(self, subject: object) -> "Self":
        """The same error, which says what it is about."""
        self.subject = subject
        return self


class GateFailed(TightshipError):
    """A gate's limit was not met by the deployed artifact."""

    exit_code = 1


class ParityFailed(GateFailed):
    """A converted file does not compute what the model computes."""


class RequestError(TightshipError, ValueError):
    """The request is wrong and nothing was done."""

    exit_code = 2


class RecipeError(RequestError):
    """The recipe cannot be read, or asks for a chain that cannot run."""


class ModelError(RequestError):
    """The model or its weights cannot be used."""


class DataError(RequestError):
    """The data set is missing, malformed or of the wrong shape."""


class IntegrityError(RequestError):
    """A file was changed, is missing, or does not belong."""


class TargetUnavailable(TightshipError):
    """A target or a dependency is missing here."""

    exit_code = 3


class StageCrashed(TightshipError):
    """A stage, or the child process that ran it, died."""

    exit_code = 4


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or lists them all: `did you mean 'prune'`."""
    options = sorted(known)
    close = get_close_matches(word, options, n=1)
    if close:
        return f"did you mean {close[0]!r}"
    return f"known: {', '.join(options)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
