"""PyTorch eager: the yardstick. Opens the stored network itself."""

import torch
from torch import nn

from artifacts.errors import TargetUnavailable
from artifacts.types import Arrays, Availability, Engine, Placement
from compress import checkpoint
from compress.training.memory_format import lay_out
from runtimes.base import Placed, Runtime
from runtimes.options import read_options
from runtimes.torch.memory_format import Caller
from runtimes.torch.options import TorchOptions


class TorchSession(Placed):
    """A network in eval mode, without autograd."""

    def __init__(self, module: nn.Module, names: tuple[str, ...], device: str, channels_last: bool = False) -> None:
        self._module, self._device = lay_out(module) if channels_last else module, device
        self._call = Caller(self._module, names, channels_last, device)

    def run(self, inputs: Arrays) -> Arrays:
        """See `artifacts.types.Session`.

        Raises:
            ModelError: the network needs its tensors in the plain layout.
        """
        return self._call(inputs)

    def placement(self) -> Placement:
        """Every leaf module runs as PyTorch's own kernel."""
        counts: dict[str, int] = {}
        for module in self._module.modules():
            if not any(True for _ in module.children()):
                counts[type(module).__name__] = counts.get(type(module).__name__, 0) + 1
        return Placement(counts, {}, f"leaf modules of PyTorch eager on {self._device}")


class TorchCpu(Runtime):
    """PyTorch eager on the CPU; the stored network is opened as it is."""

    target = "torch-cpu"
    session = TorchSession
    device = "cpu"
    options = TorchOptions

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        return Availability(True, f"torch {torch.__version__}")

    def open(self, engine: Engine, threads: int) -> TorchSession:
        """See `runtimes.base.Runtime`.

        Raises:
            RequestError: the engine's options are not those of this target.
        """
        told = read_options(self.options, engine.options, self.target)
        torch.set_num_threads(threads)
        model = checkpoint.load(engine.path.parent)
        module = model.module if isinstance(model.module, torch.fx.GraphModule) else model.module.eval()
        names = tuple(s.name for s in engine.signature.inputs)
        return TorchSession(module.to(self.device), names, self.device, told.channels_last)


class TorchCuda(TorchCpu):
    """PyTorch eager on the first NVIDIA GPU."""

    target = "torch-cuda"
    device = "cuda"

    def probe(self) -> Availability:
        """See `runtimes.base.Runtime`."""
        if not torch.cuda.is_available():
            build = "a CPU build" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
            return Availability(False, f"no CUDA device: torch {torch.__version__} is {build}")
        return Availability(True, f"torch {torch.__version__} on {torch.cuda.get_device_name(0)}")

    def open(self, engine: Engine, threads: int) -> TorchSession:
        """See `runtimes.base.Runtime`.

        Raises:
            TargetUnavailable: there is no CUDA device.
        """
        available = self.probe()
        if not available.available:
            raise TargetUnavailable(f"torch-cuda cannot run here: {available.reason}.")
        return super().open(engine, threads)
