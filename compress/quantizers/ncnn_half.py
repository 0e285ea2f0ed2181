"""fp16 for ncnn: weights are stored in 16 bits, and run so where the processor can."""

from torch import nn

from artifacts.errors import RequestError
from compress.quantizers import Calibration


class StoredHalf(nn.Module):
    """A network whose ncnn file holds its weights in fp16; the network itself stays in float32."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


def quantize(calibration: Calibration) -> StoredHalf:
    """The network, marked for storage in fp16.

    Raises:
        RequestError: `keep_float` is given, and pnnx stores all weights alike.
    """
    if calibration.config.keep_float:
        raise RequestError("keep_float: an ncnn file stores all its weights in fp16 or none; leave keep_float out for it.")
    return StoredHalf(calibration.model.module)
