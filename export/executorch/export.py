"""ExecuTorch programs (.pte) for XNNPACK: a fixed batch of one, as a device runs it."""

import copy
import warnings
from pathlib import Path

import torch

from artifacts.errors import ModelError, TargetUnavailable
from artifacts.types import ExportedFile, TorchModel
from compress.edits.shortcuts import as_convolutions
from compress.fold import example_tensors
from export.fixed import fixed

FILE = "model.pte"


def export(model: TorchModel, folder: Path) -> ExportedFile:
    """Write `model.pte`, lowered to XNNPACK's delegate where it takes the operators.

    Raises:
        TargetUnavailable: executorch is not installed.
        ModelError: the model cannot be lowered.
    """
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except ImportError as error:
        raise TargetUnavailable(f"ExecuTorch files need {error.name}: pip install 'tightship[mobile]'.") from None
    signature = fixed(model.signature)
    example = tuple(x[:1] for x in example_tensors(model.signature))
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            exported = torch.export.export(_delegable(model, example), example)
            edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            program = edge.to_executorch()
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"the model cannot be lowered to ExecuTorch: {type(error).__name__}: {first}.") from error
    (folder / FILE).write_bytes(program.buffer)
    return ExportedFile("executorch", folder, FILE, signature, notes=("fixed batch of 1",))


def _delegable(model: TorchModel, example: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    # a graph converted by PT2E is already in inference form and refuses eval()
    if isinstance(model.module, torch.fx.GraphModule):
        return model.module
    graph = torch.export.export(copy.deepcopy(model.module).eval(), example).module()
    assert isinstance(graph, torch.fx.GraphModule)
    as_convolutions(graph)
    return graph
