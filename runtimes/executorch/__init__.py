"""ExecuTorch with XNNPACK's delegate."""

from runtimes.target import Target

TARGETS = (
    Target(
        "executorch-xnnpack",
        "runtimes.executorch.runtime:ExecuTorchXnnpack",
        ("executorch",),
        "pt2e-xnnpack",
        ("executorch", "torchao"),
        # its Python interface takes PyTorch's tensors
        runs_with=("executorch", "torchao", "torch"),
        extra="mobile",
        qat=True,
        stock=("executorch", "pt2e-stock"),
        options="runtimes.executorch.bundled_program:ExecuTorchOptions",
        loader="runtimes.executorch.loader:ExecuTorchProgram",
    ),
)
