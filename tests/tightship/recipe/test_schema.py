"""The schema that editors are given accepts the recipes of the house and refuses what the reader refuses."""

import json
import re
from pathlib import Path

import pytest

from artifacts.yaml_loader import read_yaml
from tightship.recipe.sections import GatesConfig

ROOT = Path(__file__).resolve().parents[3]
KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def errors(value, schema, root, where="recipe"):
    """The differences between a value and a schema, for the words of JSON Schema that ours uses."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return errors(value, target, root, where)
    for word, least, most in (("anyOf", 1, 99), ("oneOf", 1, 1)):
        if word in schema:
            fitting = sum(not errors(value, option, root, where) for option in schema[word])
            return [] if least <= fitting <= most else [f"{where}: fits {fitting} of {word}"]
    kind = schema.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{where}: not of type {kind}"]
    found = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{where}: no {key!r}" for key in schema.get("required", []) if key not in value]
        for key, part in value.items():
            if key in known:
                found += errors(part, known[key], root, f"{where}.{key}")
            elif schema.get("additionalProperties", True) is False:
                found.append(f"{where}: unknown {key!r}")
    if isinstance(value, list):
        found += [e for i, part in enumerate(value) for e in errors(part, schema.get("items", {}), root, f"{where}[{i}]")]
        if len(value) < schema.get("minItems", 0):
            found.append(f"{where}: too few")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        limits = {
            "minimum": value.__ge__,
            "maximum": value.__le__,
            "exclusiveMinimum": value.__gt__,
            "exclusiveMaximum": value.__lt__,
        }
        found += [f"{where}: {word}" for word, holds in limits.items() if word in schema and not holds(schema[word])]
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{where}: pattern")
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        found.append(f"{where}: not one of the values")
    return found


@pytest.fixture(scope="module")
def schema(cli):
    """What `tightship schema` prints."""
    done = cli("schema")
    assert done.returncode == 0
    return json.loads(done.stdout)


def test_every_reference_in_it_teacher_is_reference_somewhere(schema):
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(schema)))
    assert references <= set(schema["$defs"])
    assert schema["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda p: p.stem)
def test_it_accepts_the_recipes_of_the_house(schema, path):
    assert errors(read_yaml(path), schema, schema) == []


def test_it_accepts_the_example(schema):
    assert errors(read_yaml(ROOT / "examples" / "own-model" / "recipe.yaml"), schema, schema) == []


@pytest.mark.parametrize(
    "change",
    [
        {"gatse": {}},
        {"gates": {"accuracy_dorp": 1}},
        {"gates": {"accuracy_drop": -1}},
        {"gates": {"fallback_share": 2}},
        {"targets": []},
        {"targets": [{"optional": True}]},
        {"targets": 3},
        {"compress": [{"prun": {}}]},
        {"compress": [{"prune": {"mac": 1}}]},
        {"compress": [{"prune": {"macs": 0.5}, "quantize": {}}]},
        {"compress": {"prune": {"macs": 0.5}}},
        {"measure": {"processes": 0}},
        {"name": "../x"},
    ],
    ids=str,
)
def test_it_refuses_what_the_reader_refuses(schema, change):
    assert errors({**read_yaml(ROOT / "recipes" / "digits.yaml"), **change}, schema, schema)


@pytest.mark.parametrize("key", ["name", "model", "data", "targets", "gates"])
def test_it_demands_what_the_reader_demands(schema, key):
    value = read_yaml(ROOT / "recipes" / "digits.yaml")
    del value[key]
    assert errors(value, schema, schema) == [f"recipe: no {key!r}"]


def test_it_knows_every_limit(schema):
    assert set(schema["$defs"]["GatesConfig"]["properties"]) == set(GatesConfig.model_fields)
