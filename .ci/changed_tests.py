"""Names the tests that touch what changed since a commit, one a line: what `make check` runs.

A changed test stands for itself, a `conftest.py` for the tests of its folder, and a module for the tests in the folder that
mirrors its own and for those that import it. Any other file (a recipe, a page, a workflow) stands for the tests that name it
or its folder.

    python .ci/changed_tests.py [COMMIT]
"""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = (("diff", "--name-only", "--no-renames", "-z"), ("ls-files", "--others", "--exclude-standard", "-z"))


def changed(root: Path, base: str) -> list[str]:
    """The files that differ from a commit, new and deleted ones too, relative to the root."""
    found: set[str] = set()
    for arguments in LISTS:
        command = ["git", *arguments, *([base, "--"] if arguments[0] == "diff" else [])]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"changed_tests.py: {(done.stderr.strip().splitlines() or ['git failed'])[0]}")
        found |= set(filter(None, done.stdout.split("\0")))
    return sorted(found)


def touching(root: Path, files: list[str]) -> list[str]:
    """The test files that touch any of these files, relative to the root."""
    tests = {path.relative_to(root): path.read_text("utf-8") for path in sorted((root / "tests").rglob("test_*.py"))}
    return [str(test) for test, text in tests.items() if any(_touches(root, test, text, Path(file)) for file in files)]


def _touches(root: Path, test: Path, text: str, file: Path) -> bool:
    top = file.parts[0]
    if top == "tests":
        return test == file or (file.name == "conftest.py" and test.is_relative_to(file.parent))
    if (root / top / "__init__.py").exists():
        module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        return test.parent == _mirrored(root, file.parent) or module in _imports(text)
    return any(f'"{word}"' in text for word in (top, file.name, str(file)))


def _mirrored(root: Path, folder: Path) -> Path:
    """The folder of tests for a folder of modules: the deepest that there is."""
    mirrored = "tests" / folder
    while not (root / mirrored).is_dir():
        mirrored = mirrored.parent
    return mirrored


@cache
def _imports(text: str) -> set[str]:
    """Every module that a test names in an import, and every name that it takes from one, dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    sys.stdout.writelines(f"{name}\n" for name in touching(ROOT, changed(ROOT, base)))
