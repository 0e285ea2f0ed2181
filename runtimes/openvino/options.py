"""What a recipe may tell OpenVINO's CPU plugin.

What each means is told in
https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/high-level-performance-hints.html.
"""

from dataclasses import dataclass
from typing import Any, Literal

from runtimes.options import Options


@dataclass(frozen=True)
class OpenVinoOptions(Options):
    """How a program is compiled; threads are the recipe's `measure.threads`, and all streams share them."""

    hint: Literal["latency", "throughput"] = "latency"
    """What the program is compiled for: one request at a time, or several at once, among which a batch is then divided."""
    streams: int | None = None
    """Requests that can run at once; by default one, with the throughput hint as many as OpenVINO takes."""

    def settings(self) -> dict[str, Any]:
        """The properties that the program is compiled with."""
        streams = self.streams or (1 if self.hint == "latency" else None)
        return {"PERFORMANCE_HINT": self.hint.upper(), **({} if streams is None else {"NUM_STREAMS": streams})}
