"""Distillation: a network of one's own trained from teachers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts.errors import RequestError
from tightship.api.networks.options import config_of, given_options, kept_zeros, working
from tightship.api.progress import throttled
from tightship.api.recipes import PATHS, PathLike

if TYPE_CHECKING:
    from torch import nn

    from artifacts.types import Split
    from compress.distillation.teachers import Teacher
    from tightship.api.networks.data import Data
    from tightship.api.progress import OnProgress

    TeacherLike = nn.Module | PathLike


def distil(
    student: "nn.Module",
    teacher: "TeacherLike | Sequence[TeacherLike]",
    data: "Data",
    *,
    epochs: int | None = None,
    seed: int = 0,
    on_progress: "OnProgress | None" = None,
    **options: object,
) -> "nn.Module":
    """Train a network from the outputs (Hinton et al. 2015, arXiv:1503.02531) or the layers of one or more teachers.

    Args:
        student: a network, which is left as it is.
        teacher: a network, an exported file (`.onnx`, run by ONNX Runtime, or TorchScript), or several, which count alike.
        data: (inputs, targets), a DataLoader or another iterable of such batches, a map-style data set, or TaskData.
        epochs: how often the data are gone through; 20 by default.
        seed: of all draws.
        on_progress: called with an `Update` as it goes on.
        options: the other keys of a recipe's `distil` but for its teachers: `method`, `temperature`, `kd_weight`, `layers`,
            `learning_rate`, `batch_size` ...

    Returns:
        A new network, on the CPU and in eval mode.

    Raises:
        RequestError: an option is unknown or beyond its limits.
        ModelError: a teacher has other outputs, or cannot be opened.
        DataError: the data do not fit the network.

    >>> import tightship as ts, torch
    >>> teacher, student = torch.nn.Linear(8, 3), torch.nn.Linear(8, 3)
    >>> x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
    >>> taught = ts.distil(student, teacher, (x, y), epochs=2, batch_size=16)
    >>> torch.equal(taught.weight, student.weight)
    False
    """
    from compress.configs import DistilConfig

    for name in ("teacher", "teachers"):
        if name in options:
            raise RequestError(f"{name!r} is a key of recipes; give the teachers by position, as networks or files.")
    config = config_of(DistilConfig, given_options(epochs=epochs) | options, "distil", seed)
    with working("distil"):
        from compress.distillation.distil import distillation_objective
        from compress.training.loop import Training, fit, tensors
        from tightship.api.networks.data import check_classes, split_of
        from tightship.api.networks.models import given_model

        split = split_of(data, student)
        given = given_model(student, _two(split)[0])
        check_classes(split, given.model.signature)
        example, _ = tensors(split, _two(split)[1])
        model = kept_zeros(given.model)
        with distillation_objective(model.module, _teachers(teacher), config, example, seed) as (loss, extra):
            told = throttled(on_progress, "distil")
            fit(model.module, loss, Training(split, config, seed, None, told, model.masks, extra=extra))
        return model.module


def _teachers(given: "TeacherLike | Sequence[TeacherLike]") -> "list[Teacher]":
    from torch import nn

    from artifacts.errors import ModelError
    from compress.distillation.distil import Network, Teacher, open_file

    several = given if isinstance(given, list | tuple) else [given]
    made = []
    for one in several:
        if isinstance(one, nn.Module):
            made.append(Teacher(Network(one)))
        elif isinstance(one, PATHS):
            made.append(Teacher(open_file(Path(one))))
        else:
            raise ModelError(f"a teacher must be a torch.nn.Module or an exported file; got a {type(one).__name__}.")
    return made


def _two(split: "Split") -> tuple[Any, Any]:
    """The first two examples of a split, and where they lie."""
    import numpy as np

    indices = np.arange(min(2, len(split)))
    return split.batch(indices)[0], indices
