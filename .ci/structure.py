"""The structure of the packages in numbers: `python .ci/structure.py [FOLDER]`.

A room is a file or a folder directly in a package, an arrow an import from one room to another.
"""

import ast
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")


def sources(root: Path) -> list[Path]:
    """Our modules, without the benchmark suites."""
    return sorted(p for package in PACKAGES for p in (root / package).rglob("*.py") if "suites" not in p.parts)


def any_share(paths: list[Path]) -> float:
    """How often `Any` stands in 1,000 lines."""
    texts = [path.read_text() for path in paths]
    found = sum(isinstance(n, ast.Name) and n.id == "Any" for text in texts for n in ast.walk(ast.parse(text)))
    return 1000 * found / max(1, sum(len(text.splitlines()) for text in texts))


def untyped() -> set[str]:
    """The libraries that ship no types, as `mypy` is told."""
    tables = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    listed = [name for table in tables if table.get("ignore_missing_imports") for name in table["module"]]
    return {name.removesuffix(".*") for name in listed}


def inside(paths: list[Path]) -> list[Path]:
    """The files that call no library without types: what such a library hands over is typed in the file that calls it."""
    libraries = untyped()
    return [path for path in paths if not libraries & {module.partition(".")[0] for module in imports(path)}]


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(root: Path, package: str) -> dict[str, set[str]]:
    """Which rooms of a package import from which others."""
    rooms = {p.stem for p in (root / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {"__init__"}
    found: dict[str, set[str]] = defaultdict(set)
    for path in (p for p in (root / package).rglob("*.py") if "suites" not in p.parts):
        own = path.relative_to(root / package).with_suffix("").parts[0]
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == package and len(parts) > 1 and parts[1] in rooms and parts[1] != own and own in rooms:
                found[own].add(parts[1])
    return found


def in_circles(graph: dict[str, set[str]]) -> set[str]:
    """The rooms that import each other in a loop."""

    def reached(start: str) -> set[str]:
        seen, waiting = set[str](), list(graph.get(start, ()))
        while waiting:
            room = waiting.pop()
            if room not in seen:
                seen.add(room)
                waiting += graph.get(room, ())
        return seen

    return {room for room in graph if room in reached(room)}


def main(root: Path) -> None:
    """Print the numbers."""
    paths = sources(root)
    lengths = sorted(len(p.read_text().splitlines()) for p in paths)
    folders = Counter(p.parent.relative_to(root).as_posix() for p in paths if p.name != "__init__.py")
    print(f"{len(paths)} files, {sum(lengths):,} lines, median {lengths[len(lengths) // 2]}, longest {lengths[-1]}")
    told = f"{any_share(inside(paths)):.1f} outside the files that call a library without types"
    print(f"Any {any_share(paths):.1f} times in 1,000 lines, {told}")
    print("fullest folders: " + ", ".join(f"{name} {count}" for name, count in folders.most_common(6)))
    for package in PACKAGES:
        graph = arrows(root, package)
        rooms = {p.stem for p in (root / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {"__init__"}
        told = ", ".join(sorted(in_circles(graph))) or "none"
        print(f"{package}: {len(rooms)} rooms, {sum(map(len, graph.values()))} arrows, in circles: {told}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
