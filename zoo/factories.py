"""Find a user's own code: `"module:callable"`, looked up in installed packages first and in the working folder last."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from artifacts.errors import RequestError


def resolve(spec: str, what: str = "factory", record: type | None = None) -> Callable[..., object]:
    """The callable that `"module:callable"` names.

    Args:
        spec: the module and what it calls it.
        what: what messages call it.
        record: what may stand there instead of a callable.

    Raises:
        RequestError: the spec is malformed, the module cannot be imported, or it has no such callable.
    """
    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute):
        raise RequestError(f'{what} {spec!r} is not of the form "module:callable".')
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise RequestError(
            f"cannot import {module_name!r} of {what} {spec!r} from {folder}: {type(error).__name__}: {error}."
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found) and not (record and isinstance(found, record)):
        raise RequestError(f"module {module_name!r} has no callable {attribute!r}, named by {what} {spec!r}.")
    made: Callable[..., object] = found
    return made


def source_files(spec: str) -> list[Path]:
    """The source that a factory depends on, found without importing it, for the key of what is made from it.

    Of an installed package that is the module's own file; in the working folder also the helpers beside it.
    """
    parts = spec.partition(":")[0].split(".")
    installed = importlib.util.find_spec(parts[0]) if parts[0] else None
    home = Path.cwd()
    if installed and installed.origin and not Path(installed.origin).is_relative_to(home):
        root = Path(installed.origin).parent
        root = root.parent if installed.submodule_search_locations else root
        return [p for p in _module_files(root, parts) if p.is_file()]
    found = [p for p in _module_files(home, parts) if p.is_file()]
    if not found:
        return []
    if len(parts) > 1 or found[0].name == "__init__.py":
        return sorted((home / parts[0]).rglob("*.py"))
    return sorted(home.glob("*.py"))


def _module_files(root: Path, parts: list[str]) -> tuple[Path, Path]:
    path = root.joinpath(*parts)
    return path.with_suffix(".py"), path / "__init__.py"
