"""Store a compressed network without pickle: how to build it, the edits made to it, and its tensors."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file
from torch import nn

from artifacts.errors import IntegrityError, ModelError
from artifacts.files import write_json
from artifacts.json import JsonValue
from artifacts.specs import Signature
from artifacts.types import Arrays, ModelRef, Palette, TorchModel
from compress.edits.replay import edit_from_json, edit_to_json, replay
from compress.fold import fold
from zoo.calling import by_place
from zoo.models import build

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
MASK_PREFIX = "mask:"


def save(model: TorchModel, folder: Path) -> None:
    """Write `model.json` and `weights.safetensors` into a folder.

    Raises:
        ModelError: nothing says how to build the network, which was given as an object.
    """
    if model.ref.zoo is None and model.ref.factory is None:
        raise ModelError(
            "the network was given as an object, and storing it without pickle takes a function that builds it: "
            'name one, as in factory="module:callable".'
        )
    state = {name: tensor.detach().clone().contiguous() for name, tensor in model.module.state_dict().items()}
    state |= {MASK_PREFIX + name: mask for name, mask in model.masks.items()}
    save_file(state, folder / WEIGHTS_FILE)
    description: dict[str, JsonValue] = {
        "ref": asdict(model.ref),
        "signature": asdict(model.signature),
        "edits": [edit_to_json(edit) for edit in model.edits],
        "ranges": {name: list(limits) for name, limits in model.ranges.items()},
        "palettes": {name: asdict(palette) for name, palette in model.palettes.items()},
    }
    write_json(folder / MODEL_FILE, description)


def load(folder: Path) -> TorchModel:
    """Build the network again: run its factory, replay the edits, fold it if it was trained folded, load its tensors.

    Raises:
        IntegrityError: the folder holds no such model, or the tensors do not fit it.
    """
    try:
        description = json.loads((folder / MODEL_FILE).read_text())
        state = load_file(folder / WEIGHTS_FILE)
        ref = ModelRef(**{**description["ref"], "outputs": tuple(description["ref"].get("outputs", ()))})
        signature = Signature.from_json(description["signature"])
        edits = tuple(edit_from_json(e) for e in description["edits"])
        palettes = {name: Palette(**p) for name, p in description.get("palettes", {}).items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder} holds no stored model: {error}.") from None
    ranges = {name: (float(low), float(high)) for name, (low, high) in description["ranges"].items()}
    module: nn.Module = by_place(build(ref).eval(), [spec.name for spec in signature.inputs])
    replay(module, edits, zeros(signature, 1))
    if ranges:
        module = fold(module, signature)
    masks = {k.removeprefix(MASK_PREFIX): v for k, v in state.items() if k.startswith(MASK_PREFIX)}
    try:
        module.load_state_dict({k: v for k, v in state.items() if not k.startswith(MASK_PREFIX)})
    except RuntimeError as error:
        raise IntegrityError(f"the tensors in {folder} do not fit the model: {str(error).splitlines()[-1].strip()}.") from None
    return TorchModel(module, ref, signature, edits, masks, ranges, palettes)


def zeros(signature: Signature, batch: int) -> Arrays:
    """A batch of zeros that fits the inputs; a dynamic dimension takes the size `batch`, or one in its range."""
    sizes = signature.sizes(batch)
    return {s.name: np.zeros(s.concrete(sizes), s.dtype) for s in signature.inputs}
