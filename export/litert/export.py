"""LiteRT files (.tflite): a fixed batch of one, as a device runs it; converted in the environment that LiteRT needs."""

import json
import tempfile
import warnings
from pathlib import Path

import torch

from artifacts.environments import LITERT
from artifacts.errors import ModelError
from artifacts.types import ExportedFile, TorchModel
from compress.fold import example_tensors, fold
from export.fixed import fixed

FILE = "model.tflite"
SCRIPT = Path(__file__).parent / "convert.py"


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.tflite`, whose signature names the inputs and outputs as the model does.

    The converter makes 64-bit inputs and outputs 32-bit ones; `runtimes.litert.runtime` casts them.

    Raises:
        TargetUnavailable: there is no environment with LiteRT's converter.
        ModelError: the model cannot be traced or converted.
    """
    LITERT.require()
    signature = fixed(model.signature)
    with tempfile.TemporaryDirectory() as work:
        program, names = Path(work) / "program.pt2", Path(work) / "names.json"
        _save(model, program)
        names.write_text(
            json.dumps({"inputs": [s.name for s in signature.inputs], "outputs": [s.name for s in signature.outputs]})
        )
        refusal = LITERT.run(SCRIPT, str(program), str(names), str(folder / FILE))
    if refusal:
        raise ModelError(f"the model cannot be converted to LiteRT: {refusal}.")
    return ExportedFile("litert", folder, FILE, signature, notes=("fixed batch of 1",))


def _save(model: TorchModel, path: Path) -> None:
    """Write the folded network as a torch.export program with a batch of one."""
    graph = fold(model.module, model.signature)
    example = example_tensors(fixed(model.signature))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(graph, example), path)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"the model cannot be written for LiteRT: {type(error).__name__}: {first}.") from error
