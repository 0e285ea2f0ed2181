"""What the metadata of our ONNX files say: labels, preprocessing, and ranges of dynamic dimensions.

ONNX itself can name a dimension, and not limit it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from artifacts.errors import ModelError
from artifacts.specs import DimRange

if TYPE_CHECKING:
    import onnx

RANGES = "tightship.ranges"
"""The metadata's key."""


def write_ranges(proto: "onnx.ModelProto", ranges: tuple[DimRange, ...]) -> None:
    """Note the ranges in a file, so that it says itself what it takes."""
    if ranges:
        proto.metadata_props.add(key=RANGES, value=json.dumps([asdict(r) for r in ranges]))


def write_metadata(proto: "onnx.ModelProto", entries: Mapping[str, str]) -> None:
    """Write each entry under its key, in alphabetical order."""
    for key in sorted(entries):
        proto.metadata_props.add(key=key, value=entries[key])


def read_ranges(proto: "onnx.ModelProto") -> tuple[DimRange, ...]:
    """The ranges that a file of ours notes; none of another's.

    Raises:
        ModelError: the note cannot be read.
    """
    noted = next((entry.value for entry in proto.metadata_props if entry.key == RANGES), "[]")
    try:
        return tuple(DimRange(str(r["name"]), int(r["min"]), int(r["max"]), int(r["opt"])) for r in json.loads(noted))
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"the ONNX file's metadata {RANGES} is {noted!r}, which holds no ranges; export it again.") from None
