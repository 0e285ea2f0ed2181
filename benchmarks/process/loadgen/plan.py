"""What one run of MLPerf LoadGen is asked for; standard library only, because parent and child both read it."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from artifacts.errors import RequestError

Scenario = Literal["single-stream", "multi-stream", "server", "offline"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)

SAMPLES_PER_QUERY = 8
"""Samples of a multi-stream query, as in MLPerf's edge rules."""
BATCHES: dict[Scenario, int] = {"single-stream": 1, "multi-stream": SAMPLES_PER_QUERY, "server": 1, "offline": 32}
"""The most samples that go into one call, where a file takes several."""


@dataclass(frozen=True)
class SampleCut:
    """How the examples of a file become samples, and samples calls."""

    count: int
    """Samples in all."""
    per: int
    """Examples of a sample: 1, or what a file of fixed batch takes."""
    most: int
    """The most samples in one call."""


@dataclass(frozen=True)
class LoadPlan:
    """One run of LoadGen.

    Raises:
        RequestError: options that do not belong to the scenario, or are missing, or have no sense.
    """

    scenario: Scenario
    seconds: float = 10.0
    """LoadGen's minimum duration."""
    target_qps: float | None = None
    """Server: queries per second, at random moments (a Poisson process)."""
    latency_bound_ms: float | None = None
    """Server: 99 of 100 queries must be answered within."""
    samples_per_query: int | None = None
    """Multi-stream only."""
    batch: int | None = None
    """The most samples in one call; by default as many as the scenario has at hand, at most 32."""
    accuracy: bool = False
    """Every sample once, with its outputs, instead of timing; by the same code."""
    find_qps: bool = False
    """Server: search for the highest rate that LoadGen calls valid."""

    def __post_init__(self) -> None:
        numbers = {
            "--seconds": self.seconds, "--target-qps": self.target_qps, "--latency-bound-ms": self.latency_bound_ms,
            "--samples-per-query": self.samples_per_query, "--batch": self.batch,
        }  # fmt: skip
        for option, value in numbers.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise RequestError(f"{option} must be above 0, not {value:g}.")
        self._check_server()
        if self.samples_per_query is not None and self.scenario != "multi-stream":
            raise RequestError(f"--samples-per-query belongs to --scenario multi-stream, not {self.scenario}.")
        if self.batch is not None and self.scenario == "single-stream" and self.batch != 1:
            raise RequestError(f"--batch {self.batch} does not go with single-stream, which has one sample at a time.")
        if self.find_qps and self.accuracy:
            raise RequestError("--find-qps searches by latency and --accuracy times nothing; give one of them.")

    def _check_server(self) -> None:
        given = {"--target-qps": self.target_qps, "--latency-bound-ms": self.latency_bound_ms, "--find-qps": self.find_qps}
        if self.scenario != "server":
            wrong = next((option for option, value in given.items() if value), None)
            if wrong:
                raise RequestError(f"{wrong} belongs to --scenario server, not {self.scenario}.")
            return
        if self.latency_bound_ms is None:
            raise RequestError("--scenario server needs --latency-bound-ms: within it 99 of 100 queries must be answered.")
        if self.find_qps and self.target_qps is not None:
            raise RequestError("--find-qps looks for the rate itself; leave --target-qps out.")
        if not self.find_qps and self.target_qps is None:
            raise RequestError("--scenario server needs --target-qps, queries per second, or --find-qps to search for it.")

    @property
    def query_samples(self) -> int:
        """Samples of one query."""
        return (self.samples_per_query or SAMPLES_PER_QUERY) if self.scenario == "multi-stream" else 1

    @property
    def most(self) -> int:
        """The most samples in one call, where the file takes several."""
        return self.batch or (self.query_samples if self.scenario == "multi-stream" else BATCHES[self.scenario])
