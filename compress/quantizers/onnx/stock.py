"""ONNX Runtime's own `quantize_static`, as its documentation tells a user to call it: the yardstick, not our way.

Of its forms the one that is fastest on x86 is taken: U8 activations, S8 weights per channel (its default, S8S8, is slower
there by a multiple).
"""

from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from artifacts.types import Arrays, ExportedFile
from compress.quantizers import Calibration
from compress.training.loop import subset


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """Pre-process, calibrate min-max on one example at a time, and quantize every operator that it can."""
    indices = subset(calibration.split, calibration.config.calibration_samples, calibration.seed)
    examples = iter(indices)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """The examples, one at a time."""

        def get_next(self) -> Arrays | None:
            """The next example, or None at the end."""
            index = next(examples, None)
            return None if index is None else calibration.split.batch(np.asarray([index]))[0]

    ready = file.folder / "preprocessed.onnx"
    quant_pre_process(str(file.path), str(ready))
    options = {"per_channel": True, "activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(str(ready), str(folder / file.main), Reader(), **options)
    note = f"onnxruntime.quantization.quantize_static, U8S8 per channel, min-max over {len(indices)} samples"
    return ExportedFile(file.format, folder, file.main, file.signature, "int8", (*file.notes, note))
