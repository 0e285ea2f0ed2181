"""fp16 for Core ML: weights are stored, and the program computes, in 16 bits between float32 inputs and outputs."""

from torch import nn

from artifacts.errors import RequestError
from compress.quantizers import Calibration


class ComputedHalf(nn.Module):
    """A network whose Core ML program computes in fp16; the network itself stays in float32."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


def quantize(calibration: Calibration) -> ComputedHalf:
    """The network, marked for fp16.

    Raises:
        RequestError: `keep_float` is given, and the program has one type throughout.
    """
    if calibration.config.keep_float:
        raise RequestError("keep_float: a Core ML program in fp16 has one type throughout; leave keep_float out for it.")
    return ComputedHalf(calibration.model.module)
