"""Read YAML the safe way: plain values only, no key twice, no aliases, and a limit on size."""

from collections.abc import Hashable
from pathlib import Path

import yaml

from artifacts.errors import RecipeError

MAX_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and aliases (a few of which can unfold to gigabytes)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "aliases are not allowed; write the value out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(
    path: Path, kind: str = "recipe", keys: str = "name, model, data, compress, targets and gates"
) -> dict[str, object]:
    """The mapping in a YAML file; `kind` and `keys` are how messages call the file and what it should hold.

    Raises:
        RecipeError: the file is missing, too large, not YAML, not a mapping, or uses what is refused here.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read {kind} {path}: {error}.") from None
    if len(text) > MAX_BYTES:
        raise RecipeError(f"{kind} {path} has {len(text):,} bytes, the limit is {MAX_BYTES:,}.")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{where}: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"{path} is not YAML: {type(error).__name__}.") from None
    except (ValueError, KeyError, TypeError) as error:
        # a value that is not of the kind it looks like or is tagged as, such as the date 2024-13-45
        raise RecipeError(f"{path} holds a value that cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{path} must hold a mapping with {keys}.")
    return value
