"""A script for LiteRT's own environment: a torch.export program becomes a `.tflite` file.

    python litert_convert.py PROGRAM.pt2 NAMES.json OUTPUT.tflite

NAMES holds the names of the inputs and of the outputs in call order; the program holds example inputs. Imports nothing of
ours. What the converter refuses ends as one line on standard error.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch


class Model(torch.nn.Module):
    """The program with its inputs and outputs by name, so that the file's signature holds these names."""

    def __init__(self, inner: torch.nn.Module, outputs: list[str]) -> None:
        super().__init__()
        self.inner, self.outputs = inner, outputs

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Keyword arguments arrive in call order."""
        leaves = torch.utils._pytree.tree_leaves(self.inner(*inputs.values()))
        return dict(zip(self.outputs, leaves, strict=True))


def convert(program: Path, names: dict[str, list[str]], output: Path) -> None:
    """Write the file."""
    import litert_torch

    loaded = torch.export.load(program)
    arguments, _ = loaded.example_inputs
    model = Model(loaded.module(), names["outputs"])
    # an exported program is in inference form and refuses eval(); the flag alone is what the converter looks at
    for part in model.modules():
        part.training = False
    examples: dict[str, Any] = dict(zip(names["inputs"], arguments, strict=True))
    litert_torch.convert(model, sample_kwargs=examples).export(str(output))


def main() -> None:
    """Convert what the command line names."""
    program, names, output = map(Path, sys.argv[1:4])
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        convert(program, json.loads(names.read_text()), output)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        sys.exit(f"refused: {type(error).__name__}: {first}")


if __name__ == "__main__":
    main()
