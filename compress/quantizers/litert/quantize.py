"""A script for LiteRT's own environment: AI Edge Quantizer makes a float `.tflite` file int8.

    python litert_quantize.py FLOAT.tflite WORK INT8.tflite

WORK holds `config.json`, the calibration examples `calibration.npz` (one array per input, first axis the examples), and
`kept.npz`, the sorted values of each weight that stays in float. Imports nothing of ours.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NOT_QUANTIZED = "no_quantize"


def quantize(source: Path, work: Path, output: Path) -> None:
    """Write the int8 file; its inputs and outputs stay in float.

    Raises:
        ValueError: a layer to keep is not in the file, or no weight became int8.
    """
    from ai_edge_quantizer import qtyping, quantizer

    config = json.loads((work / "config.json").read_text())
    granularity = qtyping.QuantGranularity
    made = quantizer.Quantizer(str(source))
    made.add_static_config(".*", "*", 8, 8, granularity.CHANNELWISE if config["per_channel"] else granularity.TENSORWISE)
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        made.update_quantization_recipe(".*", end, algorithm_key=NOT_QUANTIZED)
    for scope in kept_scopes(source, work / "kept.npz"):
        every = qtyping.TFLOperationName.ALL_SUPPORTED
        made.update_quantization_recipe(f"^{re.escape(scope)}$", every, algorithm_key=NOT_QUANTIZED)
    made.quantize(seen(source, work / "calibration.npz"), serialize_to_path=str(output), enable_progress_report=False)
    if not int8_weights(output):
        raise ValueError("no weight of the file became int8")


def seen(source: Path, examples: Path) -> Mapping[str, Mapping[str, NDArray[np.generic]]]:
    """The smallest and largest value of every tensor over the examples."""
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    # the usual update is a moving average, which forgets the first examples
    interpreter = calibrator.CalibrationInterpreter(
        str(source),
        mode=calibrator.CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS,
        qsv_update_func=qsv_utils.min_max_update,
    )
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    wanted = {name: detail["dtype"] for name, detail in runner.get_input_details().items()}
    with np.load(examples, allow_pickle=False) as file:
        arrays = {name: file[name].astype(dtype, copy=False) for name, dtype in wanted.items()}
    for index in range(len(next(iter(arrays.values())))):
        runner(**{name: array[index : index + 1] for name, array in arrays.items()})
    found: Mapping[str, Mapping[str, NDArray[np.generic]]] = interpreter.get_calibration_results()
    return found


def kept_scopes(source: Path, kept: Path) -> list[str]:
    """The scopes of the operators that hold the kept weights, found by value: converters transpose and rename them."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flat

    with np.load(kept, allow_pickle=False) as file:
        weights = [file[name] for name in file.files]
    if not weights:
        return []
    model = flat.read_model(str(source))
    scopes, missing = [], set(range(len(weights)))
    for graph in model.subgraphs:
        for operator in graph.operators:
            constants = [flat.get_tensor_data(graph.tensors[i], model.buffers) for i in operator.inputs if i >= 0]
            sorted_ = [np.sort(c, axis=None) for c in constants if c is not None and c.ndim > 1]
            held = {at for at, weight in enumerate(weights) for c in sorted_ if np.array_equal(c, weight)}
            if held:
                scopes.append(flat.get_op_scope(operator, graph.tensors))
                missing -= held
    if missing:
        raise ValueError(f"{len(missing)} of the weights in keep_float are in no operator of the LiteRT file")
    return scopes


def int8_weights(path: Path) -> int:
    """How many constants of two dimensions or more a file holds as int8."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flat

    model = flat.read_model(str(path))
    constants = [flat.get_tensor_data(t, model.buffers) for g in model.subgraphs for t in g.tensors if len(t.shape or ()) > 1]
    return sum(c is not None and c.dtype == np.int8 for c in constants)


def main() -> None:
    """Quantize what the command line names."""
    try:
        quantize(*map(Path, sys.argv[1:4]))
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        sys.exit(f"refused: {type(error).__name__}: {first}")


if __name__ == "__main__":
    main()
