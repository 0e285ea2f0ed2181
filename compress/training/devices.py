"""Where a training runs: the device, its precision, and the processes that share the work. All of it is Accelerate's."""

import random

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, broadcast
from torch import nn

from artifacts.errors import RequestError


def accelerator_for(precision: str) -> Accelerator:
    """Accelerate for one run: the GPU if there is one, and all processes of an `accelerate launch`.

    Raises:
        RequestError: the device cannot train in this precision.
    """
    # the precision is a state of the whole process, which outlives the run that asked for it
    AcceleratorState._reset_state()
    precision = resolved(precision)
    # the loop divides by the batches of an update itself, because the last update of an epoch may have fewer
    once = GradientAccumulationPlugin(num_steps=1)
    try:
        made = Accelerator(mixed_precision="no" if precision == "fp32" else precision, gradient_accumulation_plugin=once)
    except ValueError as error:
        raise RequestError(f"precision {precision!r} cannot be trained in here ({error}); use fp32.") from None
    if precision == "fp16" and made.device.type == "cpu":
        # Accelerate would train in fp32 and not say so
        raise RequestError("precision 'fp16' needs a GPU and this machine trains on its CPU; use bf16 or fp32.")
    return made


def resolved(precision: str) -> str:
    """The precision that `auto` stands for on this device: bf16 where it has instructions for it, else fp32.

    >>> resolved("bf16")
    'bf16'
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = bool(torch.cpu._is_avx512_bf16_supported())
    return "bf16" if native else "fp32"


def seed_all(seed: int, process: int) -> None:
    """Seed PyTorch, NumPy and Python, differently in each process."""
    torch.manual_seed(seed + process * 15_485_863)
    np.random.seed((seed + process * 15_485_863) % 2**32)
    random.seed(seed + process * 15_485_863)


@torch.no_grad()
def agree(accelerator: Accelerator, module: nn.Module) -> None:
    """Give every process the state of the first: each kept batch statistics of its own slices."""
    if accelerator.num_processes > 1:
        for tensor in module.state_dict().values():
            tensor.copy_(broadcast(tensor, from_process=0))
