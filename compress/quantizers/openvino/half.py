"""16-bit floats for OpenVINO: `fp16` as the IR stores weights, `bf16` as the CPU computes them."""

from pathlib import Path

from artifacts.errors import RequestError, TargetUnavailable
from artifacts.types import ExportedFile
from compress.quantizers import Calibration
from compress.quantizers.isa import instructions
from compress.quantizers.openvino.graph import save

FILE = "model.xml"
NATIVE_BF16 = {"avx512_bf16", "amx_bf16"}


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """The IR with its weights stored in fp16 and computed in float32; or with a note that it is to be computed in bf16.

    Raises:
        TargetUnavailable: openvino is not installed, or bf16 is asked for on a CPU without it.
        RequestError: `keep_float` is given, and the IR has one type throughout.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise TargetUnavailable(f"OpenVINO files need {error.name}: pip install 'tightship[openvino]'.") from None
    scheme = calibration.config.scheme
    if calibration.config.keep_float:
        raise RequestError(f"keep_float: an OpenVINO file in {scheme} has one type throughout; leave keep_float out for it.")
    if scheme == "bf16" and not NATIVE_BF16 & set(instructions()):
        raise TargetUnavailable("openvino-cpu runs bf16 only on a CPU with AVX512_BF16 or AMX, which this one lacks; use fp16.")
    model = ov.Core().read_model(file.path)
    if scheme == "bf16":
        model.set_rt_info("bf16", ["tightship", "inference_precision"])
    save(model, folder / FILE, fp16=scheme == "fp16")
    note = (
        "weights stored in fp16, computed in float32"
        if scheme == "fp16"
        else "computed in bf16 (INFERENCE_PRECISION_HINT); weights stored in float32"
    )
    return ExportedFile(file.format, folder, FILE, file.signature, scheme, ("OpenVINO IR 11", note))
