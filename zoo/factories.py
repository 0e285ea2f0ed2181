"""Find a user's own code: `"module:callable"`, looked up in installed packages first and in the working folder last."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artifacts.errors import RequestError


def resolve(spec: str) -> Callable[..., Any]:
    """The callable that `"module:callable"` names.

    Raises:
        RequestError: the spec is malformed, the module cannot be imported, or it has no such callable.
    """
    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute):
        raise RequestError(f'factory {spec!r} is not of the form "module:callable".')
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise RequestError(
            f"cannot import {module_name!r} of factory {spec!r} from {folder}: {type(error).__name__}: {error}."
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        raise RequestError(f"module {module_name!r} has no callable {attribute!r}, named by factory {spec!r}.")
    return found  # type: ignore[no-any-return]


def source_file(spec: str) -> Path | None:
    """The file that holds a factory, without importing it; none where it cannot be told."""
    module_name = spec.partition(":")[0]
    candidate = Path.cwd() / Path(*module_name.split("."))
    for path in (candidate.with_suffix(".py"), candidate / "__init__.py"):
        if path.is_file():
            return path
    return None
