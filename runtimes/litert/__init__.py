"""LiteRT with XNNPACK, in an environment of its own."""

from artifacts.environments import LITERT
from runtimes.target import Target

TARGETS = (
    Target(
        "litert-xnnpack",
        "runtimes.litert.runtime:LiteRtXnnpack",
        ("litert",),
        "litert-int8",
        ("ai-edge-litert",),
        environment=LITERT,
        loader="runtimes.litert.loader:LiteRtProgram",
    ),
)
