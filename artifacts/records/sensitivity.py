"""What an int8 file loses, and which layers lose it: each quantized alone, in the target's runtime, on held-out examples."""

from dataclasses import dataclass

from artifacts.json import JsonObject, read


@dataclass(frozen=True)
class LossRecord:
    """What one int8 file loses against the float network that it was made from."""

    sqnr_db: float
    """Signal to quantization noise of the network's output, dB: the lower, the more is lost."""
    drop: float | None
    """Of the task's metric; none: an output is not a number."""
    error: float | None
    """Standard error of the drop, by paired resampling."""
    bytes: int
    """Of the file, sidecars included."""


@dataclass(frozen=True)
class SensitiveLayer:
    """What one layer loses when it alone is quantized, and what it weighs."""

    layer: str
    """Dotted module name, as `quantize: {keep_float: [...]}` takes it."""
    macs: int
    """Multiply-accumulates of one example."""
    bytes: int
    """Of its weights and biases in float."""
    sqnr_db: float | None
    """As of the file; none: it cannot be quantized alone, so it is in float in any case."""
    drop: float | None = None
    error: float | None = None
    noise_share: float | None = None
    """Of the noise that all layers make one by one, 0..1; what is rounded between layers is taken off."""
    time_share: float | None = None
    """Of the time of all layers of the file, 0..1; none where the runtime does not tell it, or it was not timed."""
    reason: str | None = None
    """Why it cannot be quantized alone."""


@dataclass(frozen=True)
class SensitivityRecord:
    """Where an int8 file's loss comes from."""

    examples: int
    """Training examples that it was measured on; none of them was calibrated on, and no test example is among them."""
    metric: str
    reference: float
    """The float network's metric on them."""
    whole: LossRecord
    """The file as it ships."""
    between_db: float | None
    """SQNR with every layer in float: what is rounded between them; none: nothing is."""
    layers: tuple[SensitiveLayer, ...]
    """The most sensitive first, those that cannot be quantized alone last."""
    in_float: tuple[str, ...]
    """What the file keeps in float already."""
    keep: tuple[str, ...]
    """The few layers that make three quarters of the noise; empty: no few do."""
    kept: LossRecord | None
    """The file with these in float too; none where there are none, or no such file can be made."""
    unit: str | None = None
    """Of the metric; as in `AccuracyRecord`."""


def sensitivity_of(value: JsonObject) -> SensitivityRecord:
    """Read what `asdict` wrote."""
    return read(SensitivityRecord, value)
