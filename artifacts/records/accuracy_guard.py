"""What evidence says of the accuracy guard: the candidates it tried, and the layers it ranked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CandidateRecord:
    """One candidate that the accuracy guard tried."""

    name: str
    """What was done, such as `minmax, equalized, 2 layers float`."""
    metric: float | None
    """Of the deployed file on the held-out examples; none where the candidate could not be tried."""
    drop: float | None
    """What it lost against the float network on the same examples."""
    error: float | None
    """Standard error of the drop; the drop plus this is what the budget is held against."""
    seconds: float | None
    """How long it took to make, deploy and measure."""
    bytes: int | None
    met: bool
    chosen: bool
    reason: str | None = None
    """Why it was not tried."""


@dataclass(frozen=True)
class LayerRecord:
    """What one layer costs when it alone is quantized, as measured on the target."""

    layer: str
    sqnr_db: float
    """Signal to quantization noise of the network's output, dB: the lower, the more sensitive the layer."""


@dataclass(frozen=True)
class GuardRecord:
    """How the accuracy guard came to the file that ships."""

    budget: float
    """Largest loss of the metric against the float network that it was made from."""
    held_out: int
    """Training examples that decided; none of them was calibrated on, and no test example is among them."""
    reference: float
    """The float network's metric on them."""
    float_test: float
    """The float network's metric on the test set: what the gate compares the deployed file with."""
    met: bool
    chosen: str
    candidates: tuple[CandidateRecord, ...]
    sensitivity: tuple[LayerRecord, ...] = ()
    """The most sensitive layer first; empty if the search did not come so far."""
