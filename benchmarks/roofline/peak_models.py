"""Networks that do little but multiply: what a runtime's kernels reach on them is taken for this machine's peak."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.specs import Signature, TensorSpec

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

LAYERS = 2
"""In a row, so that what happens at the ends weighs less; few, so that a call is over before others want the core."""

OPSET, IR_VERSION = 18, 9

PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Shape:
    """A layer that is repeated; its output has the shape of its input."""

    name: str
    input: tuple[int, ...]
    weight: tuple[int, ...]

    @property
    def macs(self) -> int:
        """Of the whole network."""
        positions = int(np.prod(self.input[2:])) if len(self.input) == 4 else self.input[0]
        return LAYERS * positions * int(np.prod(self.weight))


SHAPES = (
    Shape("3x3 convolution, 256 channels, 14x14", (1, 256, 14, 14), (256, 256, 3, 3)),
    Shape("3x3 convolution, 128 channels, 14x14", (1, 128, 14, 14), (128, 128, 3, 3)),
    Shape("matrix product, 128 by 512 by 512", (128, 512), (512, 512)),
)


@dataclass(frozen=True)
class PeakFile:
    """One network in one precision, and inputs for it."""

    shape: Shape
    precision: str
    path: Path
    first: Path
    signature: Signature


def write_all(folder: Path) -> list[PeakFile]:
    """Every network in every precision."""
    made = []
    for n, shape in enumerate(SHAPES):
        first = folder / f"{n}.npz"
        save_arrays(first, {"x": np.random.default_rng(0).standard_normal(shape.input).astype(np.float32)})
        for precision in PRECISIONS:
            path = folder / f"{n}-{precision}.onnx"
            made.append(PeakFile(shape, precision, path, first, write(shape, precision, path)))
    return made


def write(shape: Shape, precision: str, path: Path) -> Signature:
    """Write the network as ONNX, in float or with quantize and dequantize pairs (uint8 activations, int8 weights)."""
    import onnx
    from onnx import TensorProto, helper

    nodes, constants, at = [], _scales(), "x"
    if precision == "int8":
        nodes.append(_quantize(at, "x0"))
        at = "x0"
    for n in range(LAYERS):
        made, more = _layer(shape, precision, n, at)
        nodes += made
        constants += more
        at = made[-1].output[0]
    last = helper.make_node("DequantizeLinear" if precision == "int8" else "Identity",
                            [at, "scale", "zero"] if precision == "int8" else [at], ["y"])  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape.input) for name in ("x", "y")]
    graph = helper.make_graph([*nodes, last], "peak", ends[:1], ends[1:], constants if precision == "int8" else constants[4:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.save(model, path)
    specs = [TensorSpec(name, "float32", shape.input) for name in ("x", "y")]
    return Signature((specs[0],), (specs[1],))


def _scales() -> "list[TensorProto]":
    from onnx import numpy_helper

    values = {"scale": np.float32(0.01), "zero": np.uint8(128), "scale_w": np.float32(0.01), "zero_w": np.int8(0)}
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


def _quantize(tensor: str, made: str) -> "NodeProto":
    from onnx import helper

    return helper.make_node("QuantizeLinear", [tensor, "scale", "zero"], [made])


def _product(operator: str, inputs: list[str], made: str) -> "NodeProto":
    from onnx import helper

    if operator == "Conv":
        return helper.make_node(operator, inputs, [made], pads=[1, 1, 1, 1])
    return helper.make_node(operator, inputs, [made])


def _layer(shape: Shape, precision: str, n: int, at: str) -> "tuple[list[NodeProto], list[TensorProto]]":
    """The nodes of one layer that reads the tensor `at`, and its weight."""
    from onnx import helper, numpy_helper

    numbers = np.random.default_rng(n).integers(-64, 64, shape.weight)
    operator = "Conv" if len(shape.input) == 4 else "MatMul"
    if precision != "int8":
        # sums of many products stay near one, so that no later layer meets infinities or denormals
        weight = (numbers / (37 * np.sqrt(np.prod(shape.weight[1:])))).astype(np.float32)
        return [_product(operator, [at, f"w{n}"], f"f{n}")], [numpy_helper.from_array(weight, f"w{n}")]
    nodes = [
        helper.make_node("DequantizeLinear", [at, "scale", "zero"], [f"a{n}"]),
        helper.make_node("DequantizeLinear", [f"w{n}", "scale_w", "zero_w"], [f"v{n}"]),
        _product(operator, [f"a{n}", f"v{n}"], f"f{n}"),
        _quantize(f"f{n}", f"q{n}"),
    ]
    return nodes, [numpy_helper.from_array(numbers.astype(np.int8), f"w{n}")]
