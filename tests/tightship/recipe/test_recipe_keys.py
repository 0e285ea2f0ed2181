"""Every key of a recipe says in the schema what it means, and shows a value: what editors and the reference print."""

import typing

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from tightship.recipe.recipe import STAGES, Recipe, parse_recipe
from tightship.recipe.schema import recipe_schema


def models(kind):
    """The models inside a type, whatever it is wrapped in."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {kind}
    return {found for part in typing.get_args(kind) for found in models(part)}


def all_fields():
    """Every key of every model that a recipe is made of, found from the recipe down: `Model.key` and its field."""
    found, new = set(), {Recipe, *STAGES.values()}
    while new:
        found |= new
        new = {m for model in new for field in model.model_fields.values() for m in models(field.annotation)} - found
    return {f"{model.__name__}.{name}": field for model in found for name, field in model.model_fields.items()}


FIELDS = all_fields()


def test_the_walk_finds_the_sections_and_what_is_in_them():
    names = {key.partition(".")[0] for key in FIELDS}
    assert {"Recipe", "TeacherConfig", "DimConfig", "TorchScriptExportConfig", "PalettizeConfig", "GatesConfig"} <= names


def test_every_key_says_what_it_means_in_a_sentence():
    assert sorted(key for key, field in FIELDS.items() if not (field.description or "").rstrip().endswith(".")) == []


def test_every_key_without_a_default_to_show_has_an_example():
    bare = [
        key
        for key, field in FIELDS.items()
        if not field.examples and (field.is_required() or field.get_default(call_default_factory=True) in (None, (), {}))
    ]
    assert sorted(bare) == []


def test_every_example_is_a_value_that_its_key_takes():
    wrong = []
    for key, field in FIELDS.items():
        if key in ("Recipe.compress", "Recipe.targets", "Stage.config"):
            continue  # lists in a form of their own: the next test reads them
        kind = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        for example in field.examples or ():
            try:
                TypeAdapter(kind).validate_python(example)
            except ValidationError as error:
                wrong.append(f"{key}: {error}")
    assert wrong == []


def test_the_examples_of_a_recipe_are_a_recipe(tmp_path):
    shown = {name: field.examples[0] for name, field in Recipe.model_fields.items() if field.examples}
    recipe = parse_recipe(shown, tmp_path)
    assert [stage.kind for stage in recipe.compress] == ["prune", "quantize"]
    assert recipe.gates.accuracy_drop == 0.01


def test_editors_are_given_all_of_it():
    schema = recipe_schema()
    silent = [
        f"{part}.{key}"
        for part, of in {"Recipe": schema, **schema["$defs"]}.items()
        for key, value in of.get("properties", {}).items()
        if "description" not in value
    ]
    assert silent == []
    assert schema["$defs"]["GatesConfig"]["properties"]["size_mb"]["examples"] == [1.0]


@pytest.mark.parametrize("word", [" ms", "MB of 10^6 bytes", "in seconds", "Epochs", "share"])
def test_units_stand_in_the_sentences(word):
    assert any(word.lower() in (field.description or "").lower() for field in FIELDS.values())
