"""Write the pages of the reference that come from the code: recipe keys, verbs, evidence, packages, changes.

The site's build calls `write`; nothing of it is committed. A page is Markdown, named by its path below `docs/`.
"""

import importlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import source_pages  # beside this file, found by the line above

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

GENERATED = ("reference/keys", "reference/cli", "reference/api", "reference/evidence-schema.md", "changelog.md")
"""What `pages` writes, and what is cleared before: listed in .gitignore too."""

Pages = dict[str, str]
Schema = Mapping[str, Any]


def pages() -> Pages:
    """All generated pages: path below docs/ -> Markdown."""
    public = getattr(importlib.import_module("tightship"), "__all__", ())
    made = {**key_pages(), **verb_pages(), **source_pages.api_pages(ROOT, public)}
    made["reference/evidence-schema.md"] = source_pages.record_page(ROOT, "artifacts/records", "Evidence")
    made["changelog.md"] = re.sub(r"\]\((?:docs/)([^)]+)\)", r"](\1)", (ROOT / "CHANGELOG.md").read_text())
    return made


def write(folder: Path = DOCS) -> list[Path]:
    """Write the pages below `folder`; files that did not change keep their time, those that are no longer made are removed."""
    made = pages()
    for old in (p for place in GENERATED for p in (folder / place).rglob("*.md")):
        if old.relative_to(folder).as_posix() not in made:
            old.unlink()
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
    return [folder / name for name in made]


def key_pages() -> Pages:
    """One page for each section of a recipe and each method of `compress`, and one that lists them."""
    from tightship.recipe.recipe import STAGES, Recipe
    from tightship.recipe.schema import recipe_schema

    schema = recipe_schema()
    models = _models((Recipe, *STAGES.values()))
    parts = {key: name for key, of in schema["properties"].items() if key not in STAGES for name in _references(of)}
    parts = {key: name for key, name in parts.items() if key != "compress"}
    parts |= {kind: config.__name__ for kind, config in STAGES.items()}
    links = {name: f"{key}.md" for key, name in parts.items()}
    for key, name in parts.items():
        for inner in _inner(schema["$defs"], name):
            links.setdefault(inner, f"{key}.md#keys-of-{_spoken(inner).replace(' ', '-')}")
    made = {f"reference/keys/{key}.md": _section(key, name, schema, links, models) for key, name in parts.items()}
    methods = ", ".join(f"[`{kind}`]({kind}.md)" for kind in STAGES)
    made["reference/keys/index.md"] = _page(
        "Recipe keys",
        f"Every key that a recipe may have, from the schema that `tightship schema` prints. Methods of `compress`: {methods}. "
        "How they work together: [the recipe](../recipe.md).",
        "\n".join(_keys(schema, list(schema["properties"]), links)) + _toctree(parts),
    )
    return made


def _models(kinds: Iterable[Any]) -> dict[str, type[BaseModel]]:
    """The models among types and all that is inside them, by name."""
    found: dict[str, type[BaseModel]] = {}
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = [field.annotation for field in kind.model_fields.values()]
            found |= {} if kind.__name__ in found else {kind.__name__: kind, **_models(fields)}
        else:
            found |= _models(typing.get_args(kind))
    return found


def _section(key: str, name: str, schema: Schema, links: Mapping[str, str], models: Mapping[str, type[BaseModel]]) -> str:
    where = (
        f"The section `{key}:` of a recipe." if key in schema["properties"] else f"A method of `compress`: `- {key}: {{...}}`."
    )
    of = schema["$defs"][name]
    # what a method has of its own comes first, then what it shares with others
    given = {
        kind: [k for k in of["properties"] if k in kind.__annotations__]
        for kind in models[name].__mro__
        if "__annotations__" in kind.__dict__
    }
    (_, own), *shared = [(kind, keys) for kind, keys in given.items() if keys]
    text = _keys(of, own, links)
    for kind, keys in shared:
        text += [f"## Shared: {_spoken(kind.__name__)}\n\n{inspect.getdoc(kind)}\n", *_keys(of, keys, links, "###")]
    for inner in (n for n, at in links.items() if at.startswith(f"{key}.md#")):
        part = schema["$defs"][inner]
        text += [
            f"## Keys of {_spoken(inner)}\n\n{part.get('description', '')}\n",
            *_keys(part, list(part["properties"]), links, "###"),
        ]
    return _page(key, f"{of.get('description', '')}\n\n{where}", "\n".join(text))


def _keys(of: Schema, names: Iterable[str], links: Mapping[str, str], level: str = "##") -> list[str]:
    return [_key(name, of["properties"][name], links, name in of.get("required", ()), level) for name in names]


def _key(key: str, of: Schema, links: Mapping[str, str], required: bool, level: str) -> str:
    default = of.get("default")
    said = "required" if required else "optional" if "$ref" in of or default in (None, [], {}) else f"default {_value(default)}"
    shown = of.get("examples", [])
    example = f"\n\n```yaml\n{key}: {_yaml(shown[0])}\n```" if shown else ""
    return f"{level} {key}\n\n{_kind(of, links)} · {said}\n\n{source_pages.prose(of.get('description', ''))}{example}\n"


def _kind(of: Schema, links: Mapping[str, str]) -> str:
    """What a value may be, in words."""
    if "$ref" in of:
        return f"[mapping]({links[of['$ref'].rpartition('/')[2]]})"
    for word in ("anyOf", "oneOf"):
        if word in of:
            kinds = [_kind(one, links) for one in of[word] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "enum" in of:
        return " \\| ".join(_value(one) for one in of["enum"])
    if of.get("type") == "array":
        least = f", at least {of['minItems']}" if of.get("minItems") else ""
        return f"list of: {_kind(of.get('items', {}), links)}{least}"
    if of.get("type") == "object" and isinstance(of.get("additionalProperties"), dict):
        return f"mapping to: {_kind(of['additionalProperties'], links)}"
    if of.get("properties") and len(of["properties"]) == 1:
        ((kind, inner),) = of["properties"].items()
        return f"[`{kind}`]({links[inner['$ref'].rpartition('/')[2]]})"
    words = {"string": "text", "object": "mapping", "boolean": "`true` \\| `false`"}
    kind = "path" if of.get("format") == "path" else words.get(of.get("type", ""), str(of.get("type", "any value")))
    limits = (("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"), ("exclusiveMaximum", "below"))
    return ", ".join([kind, *(f"{said} {of[limit]:g}" for limit, said in limits if limit in of)])


def _inner(defs: Mapping[str, Schema], name: str) -> Iterator[str]:
    for found in _references(defs[name]):
        yield found
        yield from _inner(defs, found)


def _references(of: Any) -> Iterator[str]:
    if isinstance(of, Mapping):
        if "$ref" in of:
            yield of["$ref"].rpartition("/")[2]
        for value in of.values():
            yield from _references(value)
    elif isinstance(of, list):
        for value in of:
            yield from _references(value)


def _spoken(name: str) -> str:
    """`OnnxExportConfig` as a heading: `onnx export`."""
    return " ".join(re.findall(r"[A-Z][a-z]+", name.removesuffix("Config"))).lower()


def _value(value: Any) -> str:
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """A value as YAML writes it in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml(k)}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z$][\w./$-]*", value) else json.dumps(value)
    return json.dumps(value)


def verb_pages() -> Pages:
    """One page for each verb of the command line, and one that lists them."""
    from tightship.cli.main import HELP, app

    verbs = {c.name or c.callback.__name__: c.callback for c in app.registered_commands if c.callback}
    made = {f"reference/cli/{verb}.md": _verb(verb, callback) for verb, callback in verbs.items()}
    rows = "\n".join(f"| [`{verb}`]({verb}.md) | {inspect.getdoc(callback)} |" for verb, callback in verbs.items())
    listed = (
        f"| verb | what it does |\n| --- | --- |\n{rows}\n\n`--debug` anywhere on the line shows the traceback of an error.\n"
    )
    made["reference/cli/index.md"] = _page("Command line", f"{HELP.strip()}", listed + _toctree(verbs))
    return made


def _verb(verb: str, callback: Any) -> str:
    hints = typing.get_type_hints(callback, include_extras=True)
    words, rows = [], []
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = (
            typing.get_args(hints[name])[:2] if typing.get_origin(hints[name]) is typing.Annotated else (hints[name], None)
        )
        given = (getattr(info, "default", None), *(getattr(info, "param_decls", None) or ()))
        flags = [flag for flag in given if isinstance(flag, str) and flag.startswith("-")]
        argument = type(info).__name__ == "ArgumentInfo"
        many = typing.get_origin(kind) is list
        if argument:
            words.append(f"{name.upper()}{'...' if many else ''}")
        shown = f"`{name.upper()}`" if argument else f"`{' '.join(flags) or '--' + name.replace('_', '-')}`"
        default = parameter.default
        said = "required" if default is inspect.Parameter.empty else "" if default in (None, False) else f"`{default}`"
        limits = [
            f"{word} {getattr(info, at):g}"
            for at, word in (("min", "at least"), ("max", "at most"))
            if getattr(info, at, None) is not None
        ]
        rows.append(f"| {shown} | {', '.join([_python_kind(kind), *limits])} | {said} | {getattr(info, 'help', '') or ''} |")
    usage = " ".join(["tightship", verb, *words, *(["[OPTIONS]"] if len(rows) > len(words) else [])])
    table = "| | type | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n" if rows else ""
    return _page(f"tightship {verb}", inspect.getdoc(callback) or "", f"```\n{usage}\n```\n\n{table}")


def _python_kind(kind: Any) -> str:
    names = {Path: "path", str: "text", bool: "switch", int: "whole number", float: "number"}
    if typing.get_origin(kind) is typing.Literal:
        return " \\| ".join(f"`{one}`" for one in typing.get_args(kind))
    parts = [one for one in typing.get_args(kind) if one is not type(None)] or [kind]
    said = names.get(parts[0]) or (_python_kind(parts[0]) if parts[0] is not kind else str(kind))
    return f"{said}, several" if typing.get_origin(kind) is list else said


def _page(title: str, about: str, body: str) -> str:
    return f"# {title}\n\n{about}\n\n{body}"


def _toctree(names: Iterable[str]) -> str:
    return "\n```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"


if __name__ == "__main__":
    for path in write():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
