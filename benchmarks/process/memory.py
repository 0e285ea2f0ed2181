"""What the kernel says of this process's memory."""

import contextlib
from pathlib import Path


def reset_peak() -> None:
    """Start the kernel's high-water mark anew, where it allows that; elsewhere the peak of loading stays in that of running."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mb() -> float:
    """This process's peak resident set in MB.

    Read from the kernel's own high-water mark: `getrusage` would hand down the parent's peak across fork and exec.
    """
    try:
        text = Path("/proc/self/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))
        return kilobytes * 1024 / 1e6
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def resident_mb() -> float | None:
    """What is in memory now, in MB of 10^6 bytes; none where the kernel does not say."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) * 1024 / 1e6
