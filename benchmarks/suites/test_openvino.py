"""OpenVINO: what int8 buys, in one interleaved run."""

import pytest

from benchmarks.measure import MeasurePlan, measure
from benchmarks.suites.networks import deployed
from compress.quantizers.isa import has_vnni

pytest.importorskip("openvino")
pytest.importorskip("nncf")


@pytest.mark.slow
@pytest.mark.skipif(not has_vnni(), reason="this CPU has no VNNI: int8 products are not faster there")
def test_int8_is_at_least_one_and_a_half_times_as_fast_as_fp32(tmp_path):
    (fp32, images), (int8, _) = (
        deployed("openvino-cpu", "resnet-20 wide", precision, tmp_path / precision) for precision in ("fp32", "int8")
    )
    found = measure({"fp32": fp32, "int8": int8}, {"image": images["image"][:32]}, MeasurePlan(processes=7), tmp_path)
    ratio = found["int8"].speedup_over(found["fp32"])
    print(f"fp32 / int8: {ratio.ratio:.2f} ({ratio.low:.2f} .. {ratio.high:.2f})")
    assert ratio.low >= 1.5
