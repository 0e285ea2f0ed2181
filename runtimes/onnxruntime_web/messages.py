"""Arrays as one run of bytes, which JavaScript can view without copying: a JSON header, then every array at a multiple of 8."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from artifacts.errors import RequestError
from artifacts.types import Arrays

ALIGN = 8
"""JavaScript views 8-byte integers at multiples of 8 only."""

KINDS = {
    "float32": "float32", "float64": "float64", "float16": "float16", "int64": "int64", "int32": "int32", "int16": "int16",
    "int8": "int8", "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64", "bool": "bool",
}  # fmt: skip
"""NumPy's names of what a tensor in a browser may hold -> ONNX Runtime Web's names."""


def pack(header: Mapping[str, object], arrays: Arrays) -> bytes:
    """A header and named arrays as bytes.

    Raises:
        RequestError: an array is of a type that a browser has no tensor for.
    """
    listed, parts, offset = [], [], 0
    for name, array in arrays.items():
        kind = KINDS.get(array.dtype.name)
        if kind is None:
            raise RequestError(
                f"input {name!r} is {array.dtype.name}, which a browser has no tensor for; known: {', '.join(KINDS)}."
            )
        data = np.ascontiguousarray(array).tobytes()
        listed.append({"name": name, "type": kind, "dims": list(array.shape), "offset": offset, "bytes": len(data)})
        padding = -len(data) % ALIGN
        parts += [data, bytes(padding)]
        offset += len(data) + padding
    text = json.dumps({**header, "tensors": listed}).encode()
    text += b" " * (-(4 + len(text)) % ALIGN)
    return struct.pack("<I", len(text)) + text + b"".join(parts)


def unpack(frame: bytes) -> tuple[dict[str, Any], Arrays]:
    """The header and the arrays, each its own memory."""
    (length,) = struct.unpack_from("<I", frame)
    header: dict[str, Any] = json.loads(frame[4 : 4 + length])
    made: Arrays = {}
    for tensor in header.pop("tensors", []):
        begin = 4 + length + tensor["offset"]
        flat = np.frombuffer(frame[begin : begin + tensor["bytes"]], np.dtype(tensor["type"]))
        made[tensor["name"]] = flat.reshape(tensor["dims"]).copy()
    return header, made
