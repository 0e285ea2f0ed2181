"""A weight as packed indices into a palette, and the standard ONNX operators that decode them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from artifacts.types import Palette

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
ULPS = 4
"""How far from the quotient of two floats the factor between them is looked for, in units of the last place."""


@dataclass(frozen=True)
class Encoded:
    """A weight as indices: `codebook[group of the row][codes] · scale[row]`."""

    codes: Codes
    """(rows, weights of a row)"""
    codebook: Floats
    """(groups, values)"""
    group: int
    """Rows that share a palette."""
    scale: Floats | None
    """(rows,)"""

    def decoded(self) -> Floats:
        """(rows, weights of a row), as the file's operators compute it."""
        groups = np.arange(len(self.codes)) // self.group
        made = self.codebook[groups[:, None], self.codes]
        return made if self.scale is None else made * self.scale[:, None]


def encode(weight: Floats, used: Floats, palette: Palette) -> Encoded | None:
    """Indices for a layer's weight (rows, n) that decode to exactly `used`, which folding made of it; none if none do."""
    if palette.kind != "kmeans":
        offset = int(palette.kind == "ternary")
        codes = np.where(used > 0, 1 + offset, np.where(used == 0, offset, 0)).astype(np.uint8)
        values = np.array([[-1, 0, 1] if offset else [-1, 1]], np.float32)
        made = Encoded(codes, values, len(used), np.abs(used).max(1))
    else:
        group = min(palette.group_channels or len(weight), len(weight))
        parts = [np.unique(weight[i : i + group], return_inverse=True) for i in range(0, len(weight), group)]
        count = max(len(values) for values, _ in parts)
        if count > 256:
            return None
        codebook = np.stack([np.pad(values, (0, count - len(values)), mode="edge") for values, _ in parts])
        codes = np.concatenate([at.reshape(-1, weight.shape[1]) for _, at in parts]).astype(np.uint8)
        made = Encoded(codes, codebook.astype(np.float32), group, row_scale(weight, used))
    return made if np.array_equal(made.decoded(), used) else None


def row_scale(weight: Floats, used: Floats) -> Floats | None:
    """The factor (rows,) with `weight · factor == used` in float32; none if they are the same."""
    if np.array_equal(weight, used):
        return None
    rows = np.arange(len(weight))
    largest = np.abs(weight).argmax(1)
    below = weight[rows, largest]
    quotient = np.divide(used[rows, largest], below, out=np.zeros_like(below), where=below != 0)
    best: Floats = quotient.copy()
    for ulps in range(-ULPS, ULPS + 1):  # the rounded quotient need not be the factor, but it is next to it
        tried = (quotient.view(np.int32) + np.int32(ulps)).view(np.float32)
        fits = (weight * tried[:, None] == used).all(1)
        best[fits] = tried[fits]
    return best


class Writer:
    """Collects the nodes and tensors that decode weights; what several weights need is written once."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self._shared: set[str] = set()
        self._count = 0
        self.accept()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        parts: list[Any] = [*self.nodes, *self.tensors]
        return sum(int(part.ByteSize()) + 4 for part in parts)  # a tag and a length each

    def accept(self) -> None:
        """Keep what was written."""
        self._mark = len(self.nodes), len(self.tensors), set(self._shared)

    def undo(self) -> None:
        """Forget what was written since `accept`."""
        nodes, tensors, self._shared = self._mark[0], self._mark[1], set(self._mark[2])
        del self.nodes[nodes:], self.tensors[tensors:]

    def weight(self, name: str, encoded: Encoded, shape: tuple[int, ...], transposed: bool) -> None:
        """Nodes whose result, called `name`, is the weight."""
        codes = self._unpacked(encoded)
        at = self._node("Cast", codes, to=TensorProto.INT32)
        groups = len(encoded.codebook)
        if groups > 1:
            rows = np.arange(len(encoded.codes)) // encoded.group * encoded.codebook.shape[1]
            at = self._node("Reshape", at, self._tensor(np.array(encoded.codes.shape)))
            at = self._node("Add", at, self._tensor(rows.astype(np.int32)[:, None]))
        at = self._node("Reshape", at, self._tensor(np.array(shape)))
        made = self._node("Gather", self._tensor(encoded.codebook.reshape(-1)), at)
        if encoded.scale is not None:
            made = self._node("Mul", made, self._tensor(encoded.scale.reshape(-1, *[1] * (len(shape) - 1))))
        if transposed:
            made = self._node("Transpose", made)
        self.nodes[-1].output[0] = name

    def _unpacked(self, encoded: Encoded) -> str:
        """Nodes that give the indices, one after the other, as uint8."""
        flat, values = encoded.codes.reshape(-1), encoded.codebook.shape[1]
        if values == 3:  # five of them in a byte
            powers = 3 ** np.arange(5, dtype=np.uint8)
            digits = np.pad(flat, (0, -len(flat) % 5)).reshape(-1, 5)
            packed = (digits * powers).sum(1, dtype=np.uint8)[:, None]
            found = self._node("Div", self._tensor(packed), self._constant("powers", powers[None]))
            found = self._node("Mod", found, self._constant("three", np.uint8(3)))
            return self._first(found, len(flat), digits.size)
        bits = max(1, int(values - 1).bit_length())
        padded = flat if bits == 8 else np.pad(flat, (0, -len(flat) % 8))
        whole, low = "", 0
        for width in (w for w in (8, 4, 2, 1) if bits & w):  # 3 bits are 2 and 1, each of which fits a byte evenly
            part = (padded >> np.uint8(low)) & np.uint8(2**width - 1)
            found = self._piece(part, width)
            if low:
                found = self._node("BitShift", found, self._constant(f"up{low}", np.uint8(low)), direction="LEFT")
            whole = self._node("BitwiseOr", whole, found) if whole else found
            low += width
        return self._first(whole, len(flat), padded.size)

    def _piece(self, part: Codes, width: int) -> str:
        if width == 8:
            return self._tensor(part)
        shifts = np.arange(0, 8, width, dtype=np.uint8)
        packed = (part.reshape(-1, len(shifts)) << shifts).sum(1, dtype=np.uint8)[:, None]
        found = self._node("BitShift", self._tensor(packed), self._constant(f"shifts{width}", shifts[None]), direction="RIGHT")
        found = self._node("BitwiseAnd", found, self._constant(f"mask{width}", np.uint8(2**width - 1)))
        return self._node("Reshape", found, self._constant("flat", np.array([-1])))

    def _first(self, name: str, count: int, total: int) -> str:
        """The first `count` of a flat list that was filled up."""
        flat = name
        if count == total:
            return flat
        flat = self._node("Reshape", flat, self._constant("flat", np.array([-1])))
        return self._node("Slice", flat, self._constant("start", np.array([0])), self._tensor(np.array([count])))

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        name = f"pal.{self._count}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def _tensor(self, value: NDArray[np.generic]) -> str:
        self._count += 1
        return self._add(f"pal.{self._count}", value)

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        name = f"palette_{name}"
        if name not in self._shared:
            self._shared.add(name)
            self._add(name, np.asarray(value))
        return name

    def _add(self, name: str, value: NDArray[np.generic]) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
