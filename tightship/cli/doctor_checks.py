"""Is this installation able to work?"""

import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    says: str
    core: bool
    """Without it nothing works."""


def examine() -> list[Check]:
    """Python, our packages, required libraries, disk, plug-ins that cannot be used, and every target."""
    from runtimes.probe import probe_all
    from runtimes.registry import TARGETS
    from tightship.cli.shadowing import shadowed

    wrong = shadowed()
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    checks = [
        Check("python", sys.version_info[:2] in ((3, 11), (3, 12), (3, 13)), sys.version.split()[0], True),
        Check("packages", not wrong, "; ".join(wrong) or "all from this distribution", True),
        Check("disk", free > 1, f"{free:.0f} GB free here", True),
        *_libraries(),
    ]
    checks.append(energy())
    checks += plug_ins()
    found = probe_all(TARGETS.values())
    return [*checks, *(Check(name, answer.available, answer.reason, False) for name, answer in found.items())]


def energy() -> Check:
    """Whether the energy of calls can be read here, and from which counters or why not."""
    from benchmarks.timing.energy import Meter, says

    return Check("energy", *says(Meter.find()), core=False)


def plug_ins() -> list[Check]:
    """What other distributions bring by entry points: a row for each record, and one for each that cannot be used."""
    from artifacts.plugins import REGISTRIES, Registry, named

    checks = []
    for registry in map(named, REGISTRIES):
        if not isinstance(registry, Registry):
            continue
        brought = {name: registry.origin(name) for name in registry}
        checks += [Check(f"{registry.kind} {n}", True, f"of {by} {_version(by)}", False) for n, by in brought.items() if by]
        checks += [Check(f"plug-in {f.name}", False, f"{f.distribution}: {f.reason}", False) for f in registry.failures()]
    return checks


def _libraries() -> list[Check]:
    import re
    from importlib.metadata import PackageNotFoundError

    checks = []
    for line in requires("tightship") or []:
        if "extra ==" in line:
            continue
        name = re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0]
        try:
            checks.append(Check(name, True, version(name), True))
        except PackageNotFoundError:
            # either of the two brings the module `onnxruntime`; installed together they overwrite each other
            instead = _version("onnxruntime-gpu") if name == "onnxruntime" else None
            checks.append(
                Check(
                    name,
                    instead is not None,
                    f"onnxruntime-gpu {instead}" if instead else f"missing: pip install {name}",
                    True,
                )
            )
    return checks


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(name)
    except PackageNotFoundError:
        return None
