"""The threads of OpenMP, on which PyTorch computes on a CPU: how long they wait awake for each other, and how many there are.

A thread that waits for the others of its team spins before it sleeps. By libgomp's default it looks 300,000 times, which is
milliseconds: on idle cores that saves waking it, beside busy processes it burns the very time that the others wait for. A short
spin costs little on idle cores and a fraction of the time elsewhere (`benchmarks/suites/test_contention.py`).
https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
"""

import os
import sys
from collections.abc import Mapping

SPINS, POLICY, THREADS = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"
SHORT = "1000"
"""How often a thread looks before it sleeps."""
OURS = "TIGHTSHIP_SPINCOUNT"
"""Says, in this process and in those that it starts, which spin is ours and was not asked for by the user."""


def spin_briefly() -> None:
    """Let threads spin for a short time, unless the user said how they wait.

    libgomp reads the variable once, when PyTorch is loaded; after that nothing is set. macOS and Windows have other libraries
    of OpenMP, which do not know it.
    """
    if "torch" not in sys.modules and SPINS not in os.environ and POLICY not in os.environ:
        os.environ[SPINS] = os.environ[OURS] = SHORT


def as_asked(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without the spin that `spin_briefly` set: what is measured waits as it does where it is deployed.

    >>> as_asked({"GOMP_SPINCOUNT": "1000", "TIGHTSHIP_SPINCOUNT": "1000"}), as_asked({"GOMP_SPINCOUNT": "1000"})
    ({}, {'GOMP_SPINCOUNT': '1000'})
    """
    ours = environment.get(OURS)
    return {k: v for k, v in environment.items() if k != OURS and (k, v) != (SPINS, ours)}


def threads_asked() -> int | None:
    """The number of threads that the user gave OpenMP; none if he gave none that can be."""
    # OpenMP takes one number for each level of nesting
    first = os.environ.get(THREADS, "").partition(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
