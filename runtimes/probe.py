"""Ask whether a target works here, in a child process: an import that crashes or hangs is a normal answer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from artifacts.environments import installed_version
from artifacts.types import Availability
from runtimes.registry import find
from runtimes.target import Target

TIMEOUT = 120.0
ANSWER = "tightship-probe: "


def missing_library(target: Target) -> str | None:
    """The first distribution that a target needs and that is not installed; imports nothing."""
    for name in target.libraries:
        if not any(installed_version(one) for one in (name, target.instead.get(name)) if one):
            return name
    return None


def probe(target: Target, timeout: float = TIMEOUT) -> Availability:
    """Whether `target` works on this machine, with the reason and the one command that would mend it."""
    missing = missing_library(target)
    if missing:
        return Availability(False, f"{missing} is not installed: {target.install_hint(missing)}")
    command, environment = target.command("runtimes.probe", target.name)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return Availability(False, f"its import did not finish within {timeout:.0f} s")
    # what a library prints as it is imported or as the process ends is not the answer
    lines = [line.removeprefix(ANSWER) for line in done.stdout.splitlines() if line.startswith(ANSWER)]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Availability(False, f"its import ended the process (exit code {done.returncode}): {last}")
    return Availability(**json.loads(lines[-1]))


def probe_all(targets: Iterable[Target]) -> dict[str, Availability]:
    """The answer of each target by name; as many are asked at once as there are cores, at most four."""
    asked = list(targets)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return {target.name: answer for target, answer in zip(asked, pool.map(probe, asked), strict=True)}


if __name__ == "__main__":
    found = find(sys.argv[1]).runtime().probe()
    sys.stdout.write("\n" + ANSWER + json.dumps({"available": found.available, "reason": found.reason}) + "\n")
