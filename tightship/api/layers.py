"""The layers of a network: what each costs, and what each loses in int8."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from tightship.api.progress import told
from tightship.api.recipes import PathLike, is_recipe, load_recipe, open_store
from tightship.api.tables import Row, Table

if TYPE_CHECKING:
    from torch import nn

    from tightship.api.networks.models import ExampleInputs
    from tightship.api.progress import OnProgress
    from tightship.api.recipes import RecipeLike
    from tightship.pipeline.inspect_sensitivity import Ranked
    from tightship.pipeline.progress import Progress

SHOWN = ("name", "type", "output", "parameters", "macs", "bytes")


class Layers(Table):
    """The layers of a network in call order: `name`, `type`, `output` (shape of one example), `parameters`, `macs`, `bytes`.

    `uncounted` names the operators of a layer that may multiply and that nobody can count; where nothing else is counted
    there, `macs` is None.

    Attributes:
        activations: how many numbers one example needs at once, at most: an estimate from the graph.
    """

    def __init__(self, rows: Iterable[Row], activations: int) -> None:
        super().__init__(rows, SHOWN)
        self.activations = activations

    def total(self, column: str) -> int:
        """The sum of `parameters`, `macs` (of what is counted) or `bytes` (of float32)."""
        return sum(row[column] or 0 for row in self.rows)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The operators of all layers that may multiply and are not counted: the sum of `macs` is then too low."""
        return tuple(sorted({name for row in self.rows for name in row["uncounted"]}))


def inspect(model: "nn.Module | RecipeLike", example_inputs: "ExampleInputs | None" = None) -> Layers:
    """The layers of a network, or of a recipe's model as it is before compression.

    Args:
        model: a network, which is left as it is; or a recipe, its file, or its plain values.
        example_inputs: of a network: a tensor, a tuple of tensors, or a dict by the names of forward's parameters; examples
            along the first axis.

    Raises:
        ModelError: the network cannot run on the examples.
        RequestError: a network comes without examples, or a recipe with some.

    >>> import tightship as ts, torch
    >>> layers = ts.inspect(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU()), torch.zeros(1, 8))
    >>> layers[0]["name"], layers[0]["macs"], layers.total("parameters")
    ('0', 32, 36)
    """
    from artifacts.errors import RequestError
    from tightship.pipeline.inspect_layers import layers_of, layers_of_module

    if is_recipe(model):
        if example_inputs is not None:
            raise RequestError("a recipe names its own data; leave example_inputs out.")
        return Layers(*layers_of(load_recipe(model)))
    from tightship.api.networks.models import given_model

    given = given_model(cast("nn.Module", model), example_inputs)
    return Layers(*layers_of_module(given.model.module, given.first(1)))


def sensitivity(
    recipe: "RecipeLike",
    *,
    target: str | None = None,
    samples: int | None = None,
    store: PathLike | None = None,
    on_progress: "OnProgress | Progress | None" = None,
) -> "Ranked":
    """Which layers of a recipe's model lose how much when they alone are in int8 on a target.

    Args:
        recipe: a recipe, its file, or its plain values.
        target: a row of its targets, by name, label or `NAME@LABEL`; by default the first that gets int8 and can run here.
        samples: so many held-out training examples, 50 or more; by default as the recipe's `measure` says.
        store: the store's folder; by default $TIGHTSHIP_STORE, else `.tightship` in the working folder.
        on_progress: called with an `Update` as it goes on.

    Returns:
        `.artifact`, and in `.found.layers` each layer with its signal-to-noise ratio in dB and what the metric lost.

    Raises:
        RequestError: the recipe makes nothing in int8 there, or has no such target.
        TargetUnavailable: the target cannot run here.
        StageCrashed: a stage died; names its log.

    >>> import tightship as ts
    >>> ranked = ts.sensitivity("recipe.yaml", samples=60)  # doctest: +SKIP
    >>> ranked.found.layers[0].layer  # doctest: +SKIP
    'layers.0.conv1'
    """
    from artifacts.errors import RequestError
    from tightship.pipeline.inspect_sensitivity import ranked

    if samples is not None and samples < 50:
        raise RequestError(f"samples must be 50 or more, not {samples!r}: fewer decide nothing.")
    with told(on_progress) as progress:
        return ranked(load_recipe(recipe), open_store(store), progress, target, samples)
