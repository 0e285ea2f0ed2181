"""Changes of a network's structure, made in place, and made again on a fresh network when a stored one is loaded."""

from collections.abc import Sequence
from dataclasses import asdict

from torch import nn

from artifacts.errors import IntegrityError
from artifacts.json import JsonObject, JsonValue, read
from artifacts.types import Arrays, Cut, Drop, Edit, Factor
from compress.edits.cuts import graph, make_cut
from compress.edits.pairs import split

KINDS: dict[str, type[Cut] | type[Drop] | type[Factor]] = {"cut": Cut, "drop": Drop, "factor": Factor}


def replay(module: nn.Module, edits: Sequence[Edit], example: Arrays) -> None:
    """Make the same edits again, in place and in order.

    Raises:
        IntegrityError: an edit names a layer that the network does not have.
    """
    dependencies, cut = None, set[str]()
    for edit in edits:
        if isinstance(edit, Cut):
            if dependencies is None or edit.layer in cut:  # cut again in a later step, which traced the network anew
                dependencies, cut = graph(module, example), set()
            make_cut(dependencies, module, edit)
            cut.add(edit.layer)
            continue
        dependencies, cut = None, set()  # the graph knows the network as it was
        if isinstance(edit, Drop):
            drop(module, edit)
        else:
            split(module, edit)


def drop(module: nn.Module, edit: Drop) -> None:
    """Put the identity where a block was, in place.

    Raises:
        IntegrityError: there is no such block.
    """
    try:
        module.set_submodule(edit.block, nn.Identity(), strict=True)
    except (AttributeError, ValueError):
        raise IntegrityError(f"the stored edits name a layer {edit.block!r} that this model does not have.") from None


def edit_to_json(edit: Edit) -> dict[str, JsonValue]:
    """An edit as plain JSON."""
    return {"edit": type(edit).__name__.lower(), **asdict(edit)}


def edit_from_json(value: JsonObject) -> Edit:
    """The edit that `edit_to_json` wrote.

    Raises:
        KeyError, ValueError: it is none.
    """
    kind: type[Edit] = KINDS[str(value["edit"])]
    return read(kind, value)
