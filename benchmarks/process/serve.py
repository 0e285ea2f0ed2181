"""How the child process answers: requests and answers are JSON lines.

The child's own standard output goes to its log, so that a chatty library cannot break the conversation; answers leave
through a descriptor of their own.
"""

import json
import os
import sys
from typing import Protocol

from artifacts.errors import TightshipError
from artifacts.types import Session
from runtimes.base import Closes


class Holds(Protocol):
    """What answers: an object with a method for each request, and an engine once one is opened."""

    session: Session | None


def serve(worker: Holds) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(worker, request.pop("do"))(**request)}
        except TightshipError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        except Exception as error:
            # some libraries write paragraphs
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}", "kind": "StageCrashed"}
        # of a dataclass, its fields: `asdict` would copy every number
        answers.write(json.dumps(answer, default=vars) + "\n")
    if isinstance(worker.session, Closes):
        worker.session.close()
