"""PyTorch's own runtimes: eager, torch.compile, AOTInductor, TorchScript."""

from runtimes.target import Target

_OPTIONS = "runtimes.torch.options:TorchOptions"
TARGETS = (
    Target(
        "torch-cpu",
        "runtimes.torch.eager:TorchCpu",
        ("module",),
        None,
        ("torch",),
        reference=True,
        options=_OPTIONS,
    ),
    Target("torch-cuda", "runtimes.torch.eager:TorchCuda", ("module",), None, ("torch",), reference=True, device="cuda"),
    Target(
        "torchscript-cpu",
        "runtimes.torch.torchscript:TorchScriptCpu",
        ("torchscript-trace", "torchscript-script"),
        "fx-int8",
        ("torch",),
        schemes={"int8-dynamic": "fx-dynamic", "fp16": "torch-half", "bf16": "torch-half"},
        options="runtimes.torch.options:TorchScriptOptions",
        also_opens=("torchscript-lite",),
        loader="runtimes.torch.torchscript_loader:open_program",
    ),
    Target(
        "inductor-cpu",
        "runtimes.torch.inductor:InductorCpu",
        ("module",),
        None,
        ("torch",),
        reference=True,
        options=_OPTIONS,
    ),
    Target(
        "aotinductor-cpu",
        "runtimes.torch.aotinductor:AotInductorCpu",
        ("aotinductor",),
        "pt2e-x86",
        ("torch",),
        qat=True,
        schemes={"bf16": "torch-half"},
        loader="runtimes.torch.aotinductor_loader:AotInductorProgram",
    ),
)
