"""TensorRT's optimization profile follows the ranges of the signature, without TensorRT and without a GPU."""

import onnx
import pytest
from onnx import TensorProto, helper

from artifacts.errors import RequestError
from artifacts.specs import DimRange, Signature, TensorSpec
from export.onnx.metadata import write_ranges
from runtimes.tensorrt.engine_key import profiles_of, signature_of, sizes_of, trtexec_command

IMAGE = TensorSpec("image", "float32", ("batch", 3, "side", "side"))
RANGED = Signature((IMAGE,), (), (DimRange("batch", 1, 64, 8), DimRange("side", 16, 256, 128)))


def test_the_profile_is_the_smallest_the_optimum_and_the_largest():
    sizes = sizes_of(RANGED, {})
    assert profiles_of(RANGED, sizes) == {"image": ((1, 3, 16, 16), (8, 3, 128, 128), (64, 3, 256, 256))}


def test_sizes_that_are_asked_for_come_before_the_range():
    sizes = sizes_of(RANGED, {"batch": (1, 2, 4)})
    assert profiles_of(RANGED, sizes)["image"][1] == (2, 3, 128, 128)


def test_a_dimension_without_a_range_keeps_the_usual_sizes():
    plain = Signature((IMAGE,), (), (DimRange("side", 16, 256, 128),))
    assert profiles_of(plain, sizes_of(plain, {}))["image"] == ((1, 3, 16, 16), (1, 3, 128, 128), (256, 3, 256, 256))


def test_a_range_of_no_dimension_is_refused():
    other = Signature((TensorSpec("x", "float32", ("batch", 3)),), (), (DimRange("bach", 1, 4, 2),))
    with pytest.raises(RequestError, match="no dynamic dimension 'bach'; did you mean 'batch'"):
        profiles_of(other, sizes_of(other, {}))


def test_a_file_built_alone_has_the_profile_that_it_notes(tmp_path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [made])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    write_ranges(proto, (DimRange("batch", 1, 32, 8),))
    onnx.save(proto, tmp_path / "model.onnx")
    signature = signature_of(tmp_path / "model.onnx")
    profiles = profiles_of(signature, sizes_of(signature, {}))
    command = trtexec_command(tmp_path / "model.onnx", tmp_path / "e.engine", profiles, 64)
    assert "--minShapes=x:1x4 --optShapes=x:8x4 --maxShapes=x:32x4" in command
