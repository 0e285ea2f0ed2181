"""The JSON Schema of a recipe as users write it."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from tightship.recipe.recipe import STAGES, Recipe
from tightship.recipe.sections import TargetConfig


class _AsWritten(GenerateJsonSchema):
    """Keys stay in the order in which the code has them, in examples too."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value


def recipe_schema() -> dict[str, Any]:
    """The schema: each entry of `compress` is a mapping with one key, each target a name or a mapping."""
    schema = Recipe.model_json_schema(schema_generator=_AsWritten)
    definitions = schema["$defs"]
    definitions.pop("Stage", None)
    for config in STAGES.values():
        made = config.model_json_schema(schema_generator=_AsWritten)
        definitions.update(made.pop("$defs", {}))
        definitions[config.__name__] = made
    one = [
        {"type": "object", "additionalProperties": False, "required": [kind],
         "properties": {kind: {"$ref": f"#/$defs/{config.__name__}"}}}
        for kind, config in STAGES.items()
    ]  # fmt: skip
    schema["properties"]["compress"] |= {"items": {"oneOf": one}, "default": []}
    target = {"$ref": f"#/$defs/{TargetConfig.__name__}"}
    schema["properties"]["targets"]["items"] = {"oneOf": [{"type": "string"}, target]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
