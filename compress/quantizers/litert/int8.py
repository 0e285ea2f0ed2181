"""int8 for LiteRT: AI Edge Quantizer on the float file, in the environment that it needs.

Activations int8 with a zero point, weights int8 symmetric per channel; inputs and outputs stay in float.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.environments import LITERT
from artifacts.errors import ModelError, RequestError
from artifacts.types import Arrays, ExportedFile
from compress.fold import fold
from compress.quantizers import Calibration
from compress.quantizers.layers import check_layers, names_layer
from compress.training.loop import subset

FILE = "model.tflite"
SCRIPT = Path(__file__).parent / "quantize.py"


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """The file with integer kernels, its ranges the smallest and largest values seen in calibration.

    Raises:
        TargetUnavailable: there is no environment with AI Edge Quantizer.
        RequestError: the recipe asks for 4-bit weights, or keeps layers that are not there.
        ModelError: the quantizer refuses the file.
    """
    config, split = calibration.config, calibration.split
    if config.weight_bits != 8:
        raise RequestError(
            f"weight_bits: {config.weight_bits} is not for LiteRT, whose XNNPACK runs 4-bit convolutions outside its "
            "delegate; give litert-xnnpack `precisions: [fp32]`, or leave weight_bits out."
        )
    LITERT.require()
    indices = subset(split, config.calibration_samples, calibration.seed)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        save_arrays(work / "calibration.npz", split.batch(indices)[0])
        save_arrays(work / "kept.npz", _kept(calibration))
        (work / "config.json").write_text(json.dumps({"per_channel": config.per_channel}))
        refusal = LITERT.run(SCRIPT, str(file.path), str(work), str(folder / FILE))
    if refusal:
        raise ModelError(f"the LiteRT file cannot be quantized: {refusal}.")
    notes = ["S8 activations with zero points, S8 weights", f"{len(indices)} calibration samples, minmax"]
    if config.keep_float:
        notes.append(f"{', '.join(config.keep_float)} kept in float")
    return ExportedFile(file.format, folder, FILE, file.signature, "int8", (*file.notes, *notes))


def _kept(calibration: Calibration) -> Arrays:
    """The sorted values of every weight of the layers that stay in float."""
    layers = calibration.config.keep_float
    if not layers:
        return {}
    model = calibration.model
    check_layers(model.module, layers)
    folded = fold(model.module, model.signature).state_dict()
    return {n: np.sort(t.detach().numpy(), axis=None) for n, t in folded.items() if t.ndim > 1 and names_layer(n, layers)}
