"""Whether Python would take one of our plainly named packages from another distribution; imports nothing of ours."""

import importlib.util
from pathlib import Path

GENERIC = ("compress", "export", "runtimes", "benchmarks", "zoo", "artifacts")
"""Our packages whose names another distribution might bring too."""


def shadowed() -> list[str]:
    """Which of our packages come from somewhere else, as `name: place`."""
    home = Path(__file__).resolve().parents[2]
    wrong = []
    for name in GENERIC:
        spec = importlib.util.find_spec(name)
        place = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if place != home / name:
            wrong.append(f"{name}: {place or 'not found'}")
    return wrong
