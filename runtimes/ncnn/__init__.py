"""ncnn on the CPU."""

from runtimes.target import Target

TARGETS = (
    Target(
        "ncnn-cpu",
        "runtimes.ncnn.runtime:NcnnCpu",
        ("ncnn",),
        None,
        ("ncnn",),
        extra="ncnn",
        schemes={"fp16": "ncnn-half"},
        loader="runtimes.ncnn.loader:NcnnProgram",
    ),
)
