"""Whether a file is a TorchScript program at all."""

import zipfile
from pathlib import Path

from artifacts.errors import ModelError
from export.base import Shapes


def signature_of(path: Path, given: Shapes | None = None) -> None:
    """None, because a program does not say what it takes; but tell it, by its constants, from what `torch.save` writes.

    Raises:
        ModelError: it holds weights or pickled objects.
    """
    entries: list[str] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in entries):
        return
    with path.open("rb") as file:
        pickled = file.read(2)[:1] == b"\x80"
    if pickled or any(name.endswith("/data.pkl") for name in entries):
        raise ModelError(
            f"{path.name} holds weights or pickled objects (torch.save), not a program; write one with torch.jit.save, or "
            "name it under weights: in a recipe beside the factory of its network."
        )
