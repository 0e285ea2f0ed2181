"""What is shipped with a file so that its device can show that it computes there what was measured here."""

import numpy as np

from artifacts.arrays import save_arrays
from artifacts.records.evidence import ParityRecord
from artifacts.types import Arrays
from benchmarks.parity.parity import Tolerance
from runtimes.options import Examples
from runtimes.registry import find
from tightship.pipeline.stages.export import file_of
from tightship.pipeline.stages.job import Job
from tightship.planning.step_configs import CheckStep

EXAMPLES = 8

HEADROOM = 2.0
"""How many times the largest difference that was measured a quantized output may be off: other CPUs round otherwise."""


def write_selftest(
    job: Job[CheckStep], inputs: Arrays, outputs: Arrays, reference: Arrays, parity: ParityRecord, tolerance: Tolerance
) -> tuple[str, ...]:
    """Store the first test examples and what the file made of them; notes on what the target's options add.

    Args:
        job: the check of an artifact.
        inputs: test examples by input.
        outputs: what the file made of them.
        reference: what the network made of the first of them.
        parity: of the file.
        tolerance: what its parity was held against.
    """
    save_arrays(job.out / "inputs.npz", {k: v[:EXAMPLES] for k, v in inputs.items()})
    save_arrays(job.out / "outputs.npz", {k: v[:EXAMPLES] for k, v in outputs.items()})
    if not parity.passed:
        return ()
    file = file_of(job)
    taken, given = ([spec.name for spec in specs] for specs in (file.signature.inputs, file.signature.outputs))
    tests = Examples(
        {name: inputs[name][:EXAMPLES] for name in taken},
        {name: reference[name][:EXAMPLES] for name in given},
        parity.against,
        _atol(reference, parity, tolerance),
    )
    return find(job.config.target).read_options(job.config.options).add_tests(file.path, tests, job.out)


def _atol(reference: Arrays, parity: ParityRecord, tolerance: Tolerance) -> float:
    """Parity's limit on single values where it has one, else a multiple of the largest difference it measured."""
    of_spread = HEADROOM * parity.max_error if tolerance.max_error is None else tolerance.max_error
    return of_spread * max(float(np.std(value.astype(np.float64))) or 1.0 for value in reference.values())
