"""Modules of ours, or of a plug-in, copied with all of ours that they import, so that they run where nothing of ours is.

What is copied is what runs here, byte by byte. Only what a module imports as it loads is followed: what its functions import
besides is for us alone.
"""

import ast
import importlib.util
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from artifacts.environments import OURS
from artifacts.errors import ModelError

CODE = "code"
"""The folder of the copies."""


def ship(modules: Iterable[str], folder: Path) -> None:
    """Copy modules into `folder/code`, where they go by the names that they have here.

    Raises:
        ModelError: see `closure`.
    """
    for name, path in closure(modules).items():
        copy = folder / CODE / Path(*name.split(".")).with_suffix(".py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        for package in copy.relative_to(folder / CODE).parents[:-1]:
            # a package that is installed there must not come first
            (folder / CODE / package / "__init__.py").write_text(
                f'"""The part of {".".join(package.parts)} that is needed."""\n'
            )


def closure(modules: Iterable[str]) -> dict[str, Path]:
    """The files of modules and of all that they import of ours or of their own packages, by name.

    Raises:
        ModelError: a module is not there, or imports from a package what is no module, which a copy would lack.
    """
    waiting = [module.partition(":")[0] for module in modules]
    followed = {*OURS, *(name.partition(".")[0] for name in waiting)}
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _file(name)
            waiting += [other for other in imported(found[name]) if other.partition(".")[0] in followed]
    return dict(sorted(found.items()))


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports as it loads.

    Raises:
        ModelError: an import is relative.
    """
    waiting: list[ast.stmt] = list(ast.parse(path.read_text("utf-8")).body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ModelError(f"{path.name} imports relatively, so it cannot be shipped; say the whole name.")
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from [name for name in inside if _is_module(name)] or [node.module]
        elif isinstance(node, ast.Try) or (isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING"):
            waiting = [*node.body, *node.orelse, *waiting]


def _is_module(name: str) -> bool:
    if name.partition(".")[0] not in OURS and importlib.util.find_spec(name.partition(".")[0]) is None:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False


def _file(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModelError(f"there is no module {name} that could be shipped.")
    if spec.submodule_search_locations is not None:
        raise ModelError(f"{name} is a package, and only modules are shipped; import what is needed from a module in it.")
    return Path(spec.origin)
