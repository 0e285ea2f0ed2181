"""How a Core ML package (`.mlpackage`, a folder) is written: the same model gives the same bytes."""

import json
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coremltools.models import MLModel

SPECIFICATION = Path("Data") / "com.apple.CoreML" / "model.mlmodel"
MANIFEST = "Manifest.json"


def save(model: "MLModel", path: Path) -> None:
    """Write a coremltools `MLModel` as a package at `path`, without what differs from one run to the next.

    Its manifest names the items by random identifiers, and its specification keeps maps in no fixed order.
    """
    if path.exists():
        shutil.rmtree(path)
    model.save(str(path))
    specification = path / SPECIFICATION
    specification.write_bytes(model.get_spec().SerializeToString(deterministic=True))
    specification.chmod(0o644)
    _name_by_content(path / MANIFEST)


def _name_by_content(manifest: Path) -> None:
    """Name each item of the package by the path it has there."""
    value = json.loads(manifest.read_text())
    names = {old: str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])) for old, item in value["itemInfoEntries"].items()}
    entries = sorted((names[old], item) for old, item in value["itemInfoEntries"].items())
    value["itemInfoEntries"] = dict(entries)
    value["rootModelIdentifier"] = names[value["rootModelIdentifier"]]
    manifest.write_text(json.dumps(value, indent=4, sort_keys=True) + "\n")
