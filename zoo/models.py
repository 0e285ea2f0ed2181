"""Build the network that a recipe names, and load weights into it, without ever running code from a weights file."""

import inspect
import pickle
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import ModelError, TightshipError, nearest
from artifacts.types import ModelRef
from zoo import registry
from zoo.factories import resolve
from zoo.splits import TaskData

if TYPE_CHECKING:
    from torch import Tensor, nn

ENVELOPES = ("state_dict", "model_state_dict", "model", "net")
PREFIXES = ("module.", "_orig_mod.")


def complete(ref: ModelRef, data: TaskData) -> ModelRef:
    """`ref` with the builder's `classes` and `channels` filled in from the data, where it takes them and none are given.

    Raises:
        ModelError: an option is not one that the builder takes.
    """
    builder = _builder(ref)
    known = inspect.signature(builder).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for name in ref.options:
            if name not in known:
                raise ModelError(f"model {ref.zoo or ref.factory!r} takes no option {name!r}; {nearest(name, known)}.")
    options = dict(ref.options)
    image = data.inputs[0].shape
    if "classes" in known and data.labels:
        options.setdefault("classes", len(data.labels))
    if "channels" in known and len(image) == 4 and isinstance(image[1], int):
        options.setdefault("channels", image[1])
    return replace(ref, options=options, batch_axis=data.batch_axis)


def build(ref: ModelRef) -> "nn.Module":
    """A freshly initialized network.

    Raises:
        ModelError: the builder failed, or did not return a module.
    """
    from torch import nn

    try:
        module = _builder(ref)(**ref.options)
    except TightshipError:
        raise
    except Exception as error:
        raise ModelError(f"cannot build model {ref.zoo or ref.factory!r}: {type(error).__name__}: {error}.") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"model {ref.zoo or ref.factory!r} is a {type(module).__name__}, not a torch.nn.Module.")
    _with_parametrizations(module)
    if not ref.outputs and not ref.batch_axis:
        return module
    from zoo.calling import examples_lead
    from zoo.outputs import called

    return called(examples_lead(module, ref.batch_axis), ref.outputs)


def _with_parametrizations(module: "nn.Module") -> None:
    """Make weight norms of the old kind, which are hooks, parametrizations: those can be copied, exported and trained on."""
    from torch.nn.utils import parametrizations, remove_weight_norm
    from torch.nn.utils.weight_norm import WeightNorm

    for layer in module.modules():
        for hook in [h for h in layer._forward_pre_hooks.values() if isinstance(h, WeightNorm)]:
            remove_weight_norm(layer, hook.name)
            parametrizations.weight_norm(layer, hook.name, hook.dim)


def _builder(ref: ModelRef) -> Callable[..., object]:
    if ref.zoo is not None:
        return registry.find(registry.MODELS, "model", ref.zoo).load()
    assert ref.factory is not None
    return resolve(ref.factory)


def load_weights(module: "nn.Module", path: Path) -> None:
    """Load a state dict into a network, strictly; envelopes and `module.` prefixes are taken off.

    Raises:
        ModelError: the file is missing, holds code, is malformed, has NaN, or does not fit the network.
    """
    import torch

    wanted = module.state_dict()
    state = _renamed(read_state(path), wanted)
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in wanted]
    shapes = [k for k in state if k in wanted and state[k].shape != wanted[k].shape]
    for what, names in (("no tensor", missing), ("an unknown tensor", unexpected), ("another shape of", shapes)):
        if names:
            raise ModelError(
                f"{path} does not fit the model: it has {what} {names[0]!r} ({len(names)} such); check the options."
            )
    bad = [k for k, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if bad:
        raise ModelError(f"{path} holds NaN or infinite values in {bad[0]!r}; train again or repair it.")
    module.load_state_dict(state, strict=False)


def _renamed(state: "dict[str, Tensor]", wanted: Collection[str]) -> "dict[str, Tensor]":
    """A state dict with the names of parametrizations where it has those of old weight norms and the network wants these."""
    made = {}
    for name, tensor in state.items():
        owner, _, leaf = name.rpartition(".")
        kind, _, part = leaf.rpartition("_")
        number = {"g": 0, "v": 1}.get(part)
        new = f"{owner}.parametrizations.{kind}.original{number}".lstrip(".")
        made[new if number is not None and new in wanted and name not in wanted else name] = tensor
    return made


def read_state(path: Path) -> "dict[str, Tensor]":
    """The tensors of a `.safetensors`, `.pt`, `.pth`, `.th` or `.bin` file."""
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}.")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return strip(load_file(path))
        except SafetensorError as error:
            raise ModelError(f"{path} is not a valid safetensors file: {error}.") from None
    return strip(unwrap(_load_tensors_only(path), path))


def _load_tensors_only(path: Path) -> object:
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            declared, names = sum(i.file_size for i in archive.infolist()), archive.namelist()
        if any("/code/" in name or name.endswith("constants.pkl") for name in names):
            raise ModelError(f"{path} is a TorchScript program, not weights; save `model.state_dict()` instead.")
        if declared > 4 * path.stat().st_size + 1_000_000:
            raise ModelError(f"{path} declares {declared:,} bytes in a file of {path.stat().st_size:,}; it was refused unread.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path} holds pickled code, which is never run, or is damaged; "
            "save `model.state_dict()` with torch.save or safetensors."
        ) from None
    except Exception as error:
        raise ModelError(
            f"{path} cannot be read as weights: {(str(error).splitlines() or [type(error).__name__])[0]}."
        ) from None


def unwrap(value: object, path: Path) -> "dict[str, Tensor]":
    """The state dict inside a checkpoint: the dict itself, or the one under a usual key."""
    from torch import Tensor

    for key in ENVELOPES:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
            break
    if not isinstance(value, Mapping) or not value or not all(isinstance(v, Tensor) for v in value.values()):
        raise ModelError(f"{path} holds no state dict (a mapping of names to tensors), plain or under {', '.join(ENVELOPES)}.")
    return dict(value)


def strip(state: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Take off the prefixes that DataParallel, DDP and torch.compile put before every name."""
    prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None)
    # they may stand one inside the other
    return strip({key.removeprefix(prefix): value for key, value in state.items()}) if prefix and state else state
