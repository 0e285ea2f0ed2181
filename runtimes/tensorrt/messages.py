"""What TensorRT says when it refuses, in one sentence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def error_logger(trt: Any) -> Any:
    """A TensorRT logger that keeps its errors, so that a refusal can say why."""

    class Errors(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(" ".join(message.split()))

    return Errors()


def last_error(logger: Any) -> str:
    """What such a logger heard last."""
    return str(logger.errors[-1]) if logger.errors else "it gave no reason"


def parser_refusal(onnx: Path, errors: Sequence[Any]) -> str:
    """One sentence for the errors of TensorRT's ONNX parser, naming the first node."""
    if not errors:
        return f"TensorRT cannot read {onnx}; check it with `python -m onnx.checker {onnx}`."
    first = errors[0]
    node = f"{first.node_operator() or 'node'} {(first.node_name() or f'number {first.node()}')!r}"
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    reason = " ".join(str(first.desc()).split()).rstrip(".")
    return f"TensorRT cannot read {node}{more} of {onnx.name} ({reason}); replace that layer, or use another target."
