"""How long calls of an artifact take."""

from dataclasses import dataclass

from tightship.api.tables import Row, html_table


@dataclass(frozen=True)
class Measurement:
    """How long calls of an artifact take; `print` says it in a line.

    Attributes:
        row: all figures, as `tightship bench --json` prints them: `p90_ms`, `throughput_per_s`, `cold_start_ms`, `noise` ...

    >>> import tightship as ts
    >>> row = {"p50_ms": 0.5, "ci95_ms": [0.48, 0.53], "processes": 3, "threads": 1, "batch": 1, "noise": None}
    >>> print(ts.Measurement(row))
    p50 0.5 ms (95 % interval 0.48 .. 0.53) over 3 processes, threads 1, batch 1
    """

    row: Row

    @property
    def p50_ms(self) -> float:
        """The median latency of one call in milliseconds."""
        return float(self.row["p50_ms"])

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the median over processes, in milliseconds; None where one process gives none."""
        low, high = self.row["ci95_ms"]
        return None if high is None else (float(low), float(high))

    @property
    def disturbed(self) -> bool:
        """Whether other work on the machine was noticed meanwhile."""
        return bool((self.row["noise"] or {}).get("disturbed", False))

    def __str__(self) -> str:
        found = self.interval
        bounds = f"95 % interval {found[0]:.4g} .. {found[1]:.4g}" if found else "no interval"
        how = f"{self.row['processes']} processes, threads {self.row['threads']}, batch {self.row['batch']}"
        noisy = "; DISTURBED: the machine was not quiet" if self.disturbed else ""
        return f"p50 {self.p50_ms:.4g} ms ({bounds}) over {how}{noisy}"

    def _repr_html_(self) -> str:
        shown = ("p50_ms", "p90_ms", "throughput_per_s", "throughput_batch", "cold_start_ms", "rss_run_mb", "bytes")
        cells = [f"{self.row[name]:,.4g}" for name in shown if self.row.get(name) is not None]
        heads = [name for name in shown if self.row.get(name) is not None]
        return html_table(("", *heads), [(str(self), *cells)])
