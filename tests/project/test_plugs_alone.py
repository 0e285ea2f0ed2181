"""A plug stands alone: no code outside its own room compares anything with its name."""

import ast
import importlib
from pathlib import Path

import pytest

from artifacts.plugins import REGISTRIES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tightship", "benchmarks", "runtimes", "export", "compress", "zoo", "artifacts")
SOURCES = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if "suites" not in p.parts]
HOMONYMS = {"module", "mse", "sensitivity", "parity", "latency", "artifacts", "guard", "gates", "placement", "roofline"}
"""Names of plugs that are other things, too: steps, fields of records, ways to calibrate."""
OTHER_THINGS = {
    "compress/pruning/regularize.py": {"bn-scale"},
    "runtimes/onnxruntime/optimized_file.py": {"ort"},
    "runtimes/onnxruntime/options.py": {"onnx"},
    "tightship/recipe/recipe.py": {"onnx"},
}
"""A penalty of training; two values of a runtime's option; a key of a recipe."""


def compared(tree):
    """The texts that code compares something with, by an operator or a case of a match."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            yield from (n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant))
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
            yield node.value.value


@pytest.mark.parametrize("where", REGISTRIES)
def test_nobody_asks_for_a_plug_by_name(where):
    module, _, name = where.partition(":")
    registry = getattr(importlib.import_module(module), name)
    names = set(registry.own()) - HOMONYMS
    own = Path(importlib.import_module(module).__file__).parent
    asked = {}
    for path in SOURCES:
        found = {text for text in compared(ast.parse(path.read_text())) if text in names}
        found -= OTHER_THINGS.get(path.relative_to(ROOT).as_posix(), set())
        if found and not path.is_relative_to(own):
            asked[path.relative_to(ROOT).as_posix()] = found
    assert asked == {}
