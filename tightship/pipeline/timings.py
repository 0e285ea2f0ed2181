"""The timings of a run as evidence says them: latency with its interval, and ratios paired by round."""

from collections.abc import Mapping

import numpy as np

from artifacts.arrays import load_arrays
from artifacts.errors import ParityFailed
from artifacts.ids import ArtifactId
from artifacts.records.evidence import LatencyRecord, SpeedupRecord
from artifacts.records.measured import bounds_of
from benchmarks.parity.parity import SIMULATED
from benchmarks.timing.measure import Measured
from benchmarks.timing.statistics import curve, interval, quantile
from tightship.pipeline.entries import Entries
from tightship.planning.steps import MEASURE, ArtifactPlan
from tightship.recipe.recipe import Recipe


def threads_of(artifact: ArtifactPlan, recipe: Recipe) -> int:
    """How many threads an artifact is timed with: its target's options come before the recipe's."""
    return artifact.settings.threads or recipe.measure.threads


def latency_of(raw: Measured, threads: int) -> LatencyRecord:
    """Percentiles of single calls on this many threads, with the interval of the median over processes."""
    samples = raw.samples
    low, high = interval(raw.medians)
    p50, p90 = quantile(samples, 0.5), quantile(samples, 0.9)
    assert p50 is not None
    assert p90 is not None
    return LatencyRecord(
        p50, p90, quantile(samples, 0.99), bounds_of(low, high), len(samples), len(raw.rounds_ms), 1,
        threads, curve(samples),
    )  # fmt: skip


def ratio_over(artifact: ArtifactId, baseline: ArtifactId | None, measured: Mapping[str, Measured]) -> SpeedupRecord | None:
    """The latency of a baseline of the same run in units of this artifact's, paired by round; none against itself."""
    if baseline is None or str(baseline) not in measured or baseline == artifact:
        return None
    ratio = measured[str(artifact)].speedup_over(measured[str(baseline)])
    return SpeedupRecord(str(baseline), ratio.ratio, bounds_of(ratio.low, ratio.high), ratio.verdict)


def timed_what_was_checked(artifact: ArtifactPlan, entries: Entries) -> None:
    """The outputs of the timed calls are those that parity was judged by, up to what another batch size changes.

    Raises:
        ParityFailed: they are not.
    """
    checked = load_arrays(entries[artifact.check_step].folder / "outputs.npz")
    timed = load_arrays(entries[MEASURE].folder / "outputs" / f"{artifact.id}.npz")
    for output, values in checked.items():
        spread = float(values.std()) or 1.0
        first = values[: len(timed[output])]
        apart = float(np.sqrt(np.mean(np.subtract(first, timed[output]) ** 2))) / spread
        if not apart <= SIMULATED.rms_error:
            raise ParityFailed(
                f"the timed calls of {artifact.id} gave {output!r} with a normalized RMSE of {apart:.3g} from the checked "
                f"outputs (limit {SIMULATED.rms_error:g}); its latency is not that of the file that was checked."
            )
