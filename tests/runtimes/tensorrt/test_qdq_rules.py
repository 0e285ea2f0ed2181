"""The lint on files that onnxruntime.quantization really wrote, and on small graphs that break one rule each."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from runtimes.tensorrt.qdq_rules import check_placement, check_qdq, check_symmetric


class Samples(CalibrationDataReader):
    def __init__(self):
        rng = np.random.default_rng(0)
        self.left = iter([{"x": rng.normal(size=(2, 4, 8, 8)).astype(np.float32)} for _ in range(4)])

    def get_next(self):
        return next(self.left, None)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def save(path: Path, nodes, constants, shape=("batch", 4, 8, 8)) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def residual(tmp_path) -> Path:
    """A convolution, a block with a skip connection, and a classifier, in float."""
    rng = np.random.default_rng(1)
    weights = [constant(f"w{i}", rng.normal(size=(4, 4, 3, 3)).astype(np.float32)) for i in range(2)]
    biases = [constant(f"b{i}", rng.normal(size=4).astype(np.float32)) for i in range(2)]
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["a"], "add"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"], "head", transB=1),
    ]
    head = [constant("w", rng.normal(size=(3, 4)).astype(np.float32)), constant("b", np.zeros(3, np.float32))]
    return save(tmp_path / "float.onnx", nodes, weights + biases + head)


def quantized(source: Path, symmetric: bool, **options) -> Path:
    target = source.with_name("int8.onnx")
    extra = {"ActivationSymmetric": symmetric, "WeightSymmetric": True, "QuantizeBias": not symmetric, **options}
    quantize_static(
        source,
        target,
        Samples(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options=extra,
    )
    return target


def test_a_float_file_has_no_findings(residual):
    assert check_qdq(residual) == ()


def test_a_symmetric_file_of_onnxruntime_can_be_run(residual):
    assert check_symmetric(quantized(residual, symmetric=True)) == ()


def test_an_asymmetric_file_of_onnxruntime_cannot_be_run(residual):
    findings = check_symmetric(quantized(residual, symmetric=False))
    assert any("QuantizeLinear 'x_QuantizeLinear' uses uint8" in text for text in findings)
    assert any("'x_QuantizeLinear' has zero point" in text for text in findings)
    assert any("dequantizes an int32 bias" in text for text in findings)
    assert all(text.endswith(".") and text.count("\n") == 0 for text in findings)


def test_the_pair_that_onnxruntime_puts_before_a_residual_addition_is_found(residual):
    findings = check_placement(quantized(residual, symmetric=True))
    assert [text for text in findings if "stands between Conv 'conv1' and Add 'add'" in text]


def test_leaving_that_pair_out_satisfies_the_rule(residual):
    path = quantized(residual, symmetric=True)
    model = onnx.load(path)
    add = next(node for node in model.graph.node if node.op_type == "Add")
    add.input[list(add.input).index("c1_DequantizeLinear_Output")] = "c1"
    onnx.save(model, path)
    assert not [text for text in check_placement(path) if "Add" in text]


def test_a_weight_quantized_along_its_input_channels_is_found(residual):
    path = quantized(residual, symmetric=True)
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] == "w1_DequantizeLinear_Output":
            node.attribute[0].i = -3
    onnx.save(model, path)
    [text] = [text for text in check_placement(path) if "axis" in text]
    assert "weights of Conv 'conv1' along axis 1, and its output channels are axis 0" in text


def pair(name, source, scale="s", zero="z", **attributes):
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}_q"], f"{name}_Q", **attributes),
        helper.make_node("DequantizeLinear", [f"{name}_q", scale, zero], [f"{name}_d"], f"{name}_DQ", **attributes),
    ]


ONE = [constant("s", np.float32(0.1)), constant("z", np.int8(0))]
WEIGHT = constant("w", np.ones((4, 4), np.float32))


def test_weights_left_in_float_behind_a_quantized_input_are_found(tmp_path):
    nodes = [*pair("x", "x"), helper.make_node("MatMul", ["x_d", "w"], ["y"], "mm")]
    [text] = check_qdq(save(tmp_path / "m.onnx", nodes, [*ONE, WEIGHT], ("batch", 4)))
    assert text == "MatMul 'mm' has a quantized input but float weights, so it runs in float; quantize its weights."


@pytest.mark.parametrize(("transposed", "axis"), [(0, 1), (1, 0)])
def test_the_axis_of_a_gemm_follows_its_transposition(tmp_path, transposed, axis):
    scales = [constant("ss", np.full(4, 0.1, np.float32)), constant("zz", np.zeros(4, np.int8))]
    nodes = [
        *pair("x", "x"),
        *pair("w", "w", "ss", "zz", axis=axis),
        helper.make_node("Gemm", ["x_d", "w_d"], ["y"], "head", transB=transposed),
    ]
    assert check_qdq(save(tmp_path / "right.onnx", nodes, [*ONE, *scales, WEIGHT], ("batch", 4))) == ()
    nodes[-1].attribute[0].i = 1 - transposed
    [text] = check_qdq(save(tmp_path / "wrong.onnx", nodes, [*ONE, *scales, WEIGHT], ("batch", 4)))
    assert f"along axis {axis}, and its output channels are axis {1 - axis}" in text


def test_one_scale_for_all_weights_is_found(tmp_path):
    nodes = [*pair("x", "x"), *pair("w", "w"), helper.make_node("MatMul", ["x_d", "w_d"], ["y"], "mm")]
    [text] = check_qdq(save(tmp_path / "m.onnx", nodes, [*ONE, WEIGHT], ("batch", 4)))
    assert text.startswith("MatMul 'mm' has one scale for all its weights")


def test_a_scale_for_each_channel_of_an_activation_is_found(tmp_path):
    scales = [constant("s", np.full(4, 0.1, np.float32)), constant("z", np.zeros(4, np.int8))]
    nodes = [*pair("x", "x", axis=1), helper.make_node("Relu", ["x_d"], ["y"], "relu")]
    [text] = check_qdq(save(tmp_path / "m.onnx", nodes, scales))
    assert "has 4 scales for an activation" in text


def test_an_addition_with_one_float_branch_names_it(tmp_path):
    nodes = [
        *pair("x", "x"),
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Add", ["x_d", "r"], ["y"], "add"),
    ]
    [text] = check_qdq(save(tmp_path / "m.onnx", nodes, ONE))
    assert text.startswith("Add 'add' takes 'r' in float beside an integer branch")


def test_adding_a_bias_is_not_a_residual_addition(tmp_path):
    nodes = [*pair("x", "x"), helper.make_node("Add", ["x_d", "bias"], ["y"], "add")]
    assert check_qdq(save(tmp_path / "m.onnx", nodes, [*ONE, constant("bias", np.ones(8, np.float32))])) == ()


def test_a_missing_zero_point_is_unsigned_in_onnx_and_refused(tmp_path):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], "Q"),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"], "DQ"),
    ]
    findings = check_symmetric(save(tmp_path / "m.onnx", nodes, ONE))
    assert [text.split(" uses ")[0] for text in findings] == ["QuantizeLinear 'Q'", "DequantizeLinear 'DQ'"]


def test_a_scale_of_zero_is_refused(tmp_path):
    constants = [constant("s", np.float32(0)), constant("z", np.int8(0))]
    findings = check_symmetric(
        save(tmp_path / "m.onnx", [*pair("x", "x"), helper.make_node("Relu", ["x_d"], ["y"])], constants)
    )
    assert len(findings) == 2
    assert "has scale 0, and TensorRT needs scales above 0" in findings[0]


def test_zero_points_in_a_sidecar_are_read(tmp_path):
    constants = [constant("s", np.full(4, 0.1, np.float32)), constant("z", np.array([0, 0, 7, 0], np.int8))]
    path = save(tmp_path / "m.onnx", [*pair("x", "x", axis=1), helper.make_node("Relu", ["x_d"], ["y"])], constants)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    assert "has zero point 7" in check_symmetric(path)[0]
