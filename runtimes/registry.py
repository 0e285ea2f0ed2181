"""The one list of targets, a line for each runtime; others come by the entry points `tightship.runtimes`.

Nothing heavy is imported until a target's runtime is used.
"""

from artifacts.plugins import Registry
from runtimes.target import API, Target

TARGETS = Registry(
    "target",
    "tightship.runtimes",
    Target,
    (
        "runtimes.torch:TARGETS",
        "runtimes.onnxruntime:TARGETS",
        "runtimes.tensorrt:TARGETS",
        "runtimes.openvino:TARGETS",
        "runtimes.executorch:TARGETS",
        "runtimes.litert:TARGETS",
        "runtimes.onnxruntime_web:TARGETS",
        "runtimes.ncnn:TARGETS",
        "runtimes.coreml:TARGETS",
    ),
    API,
)


def running(scheme: str) -> list[str]:
    """The names of the targets that run a scheme."""
    return [target.name for target in TARGETS.values() if target.quantizer_for(scheme)]


def opening(format_name: str) -> Target | None:
    """The first target that opens files of a format, ours before others'; none if there is none."""
    ours = (target for target in TARGETS.own().values() if target.opens(format_name))
    return next(ours, None) or next((target for target in TARGETS.values() if target.opens(format_name)), None)


def find(name: str) -> Target:
    """The target with this name.

    Raises:
        RequestError: there is no such target; the message names the nearest, or says why its plug-in cannot be used.
    """
    return TARGETS.find(name)
