"""Smaller weights for Core ML, all arithmetic in float: `int8-weights`, and `palette4-weights` (16 shared values)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import ExportedFile
from compress.fold import fold
from compress.quantizers import Calibration
from compress.quantizers.coreml.package import save
from compress.quantizers.layers import check_layers, names_layer

if TYPE_CHECKING:
    from coremltools.optimize.coreml import CoreMLWeightMetaData

FILE = "model.mlpackage"
PALETTE_BITS = 4


def quantize(file: ExportedFile, folder: Path, calibration: Calibration) -> ExportedFile:
    """The package with every weight of a layer stored in 8 bits, or as indices into a table of 16 values.

    Integers are symmetric with one scale per output channel (or one a weight, without `per_channel`); a table is
    found by k-means and serves one weight. A program unpacks both as it loads.

    Raises:
        TargetUnavailable: coremltools is not installed.
        ModelError: coremltools cannot compress the package.
        RequestError: `keep_float` names what is no layer of the model.
    """
    try:
        import coremltools as ct
        import coremltools.optimize.coreml as optimize
    except ImportError as error:
        raise TargetUnavailable(f"Core ML files need {error.name}: pip install 'tightship[coreml]'.") from None
    scheme = calibration.config.scheme
    model = ct.models.MLModel(str(file.path), skip_model_load=True)
    kept = _kept(optimize.get_weights_metadata(model, weight_threshold=0), calibration)
    try:
        if scheme == "int8-weights":
            granularity = "per_channel" if calibration.config.per_channel else "per_tensor"
            how = optimize.OpLinearQuantizerConfig("linear_symmetric", "int8", granularity, weight_threshold=0)
            note = f"int8 weights, {granularity.replace('_', ' ')} scales, float arithmetic"
            made = optimize.linear_quantize_weights(model, optimize.OptimizationConfig(how, op_name_configs=kept))
        else:
            how = optimize.OpPalettizerConfig("kmeans", nbits=PALETTE_BITS, weight_threshold=0)
            note = f"weights as {PALETTE_BITS}-bit palettes by k-means, float arithmetic"
            made = optimize.palettize_weights(model, optimize.OptimizationConfig(how, op_name_configs=kept))
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"coremltools cannot make {scheme} of the model: {type(error).__name__}: {first}.") from error
    save(made, folder / FILE)
    return ExportedFile(file.format, folder, FILE, file.signature, scheme, (*file.notes, note))


def _kept(stored: "Mapping[str, CoreMLWeightMetaData]", calibration: Calibration) -> dict[str, None]:
    """The weights of the file that stay in float: those whose values are a layer's that `keep_float` names."""
    layers = calibration.config.keep_float
    if not layers:
        return {}
    check_layers(calibration.model.module, layers)
    weights = fold(calibration.model.module, calibration.model.signature).state_dict().items()
    wanted = [np.sort(w.detach().numpy(), axis=None) for n, w in weights if w.ndim > 1 and names_layer(n, layers)]
    values = {name: np.sort(np.asarray(entry.val), axis=None) for name, entry in stored.items()}
    return {name: None for name, value in values.items() if any(np.array_equal(value, one) for one in wanted)}
