"""Pictures of any file format and mode as RGB planes of bytes."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artifacts.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

DEEP = ("I", "F")
"""Modes of Pillow with 32 bits a value, of which nothing says what is white."""


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file as (3, H, W); of an animation the first frame. Transparency is dropped, 16 bits become 8.

    Raises:
        DataError: it is no picture, is cut short, or has 32 bits a value; one sentence with its path.
    """
    from PIL import Image

    # what Pillow raises for files that are damaged inside
    broken = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error, Image.DecompressionBombError)
    try:
        with Image.open(path) as picture:
            return rgb_planes(picture)
    except DataError as error:
        raise DataError(f"{path} {error}") from None
    except broken as error:
        raise DataError(f"{path} is not a readable image: {str(error).splitlines()[0] if str(error) else error!r}.") from None


def rgb_planes(picture: "Image") -> NDArray[np.uint8]:
    """A picture of Pillow as (3, H, W).

    Raises:
        DataError: it has 32 bits a value.
    """
    if picture.mode in DEEP:
        raise DataError(f"has 32 bits a value (mode {picture.mode}); save it with 8 or 16, or give arrays as `npy`.")
    if picture.mode.startswith("I;16"):
        gray = (np.asarray(picture).astype(np.uint32) * 255 + 32767) // 65535
        return np.repeat(gray.astype(np.uint8)[None], 3, axis=0)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB")).transpose(2, 0, 1))
