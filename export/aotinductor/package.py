"""What an AOTInductor package says of itself, and which instructions of a CPU it may use; needs no PyTorch."""

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import ModelError
from artifacts.specs import Signature

if TYPE_CHECKING:
    from export.base import Shapes

SIGNATURE = "tightship_signature"
CPU_FLAGS = "tightship_cpu_flags"
TORCH = "tightship_torch"
"""Keys of the package's metadata that say what it takes, which instructions it may use, and what compiled it."""

VECTOR_FLAGS = re.compile(r"(avx|amx|fma|f16c|sse|ssse|bmi|adx|gfni|vaes|vpclmul|sha_ni|xop)\w*$")
"""CPU flags that decide which instructions `-march=native` may use."""


def vector_flags() -> tuple[str, ...]:
    """The flags of this CPU that decide which instructions compiled code may use; empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    first = next((line for line in lines if line.startswith(("flags", "Features"))), ":")
    return tuple(sorted(f for f in first.partition(":")[2].split() if VECTOR_FLAGS.match(f)))


def metadata_of(path: Path) -> dict[str, str]:
    """What a package says of itself: for which machine it was compiled, and of ours its signature.

    Raises:
        ModelError: it is no AOTInductor package.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [n for n in archive.namelist() if n.endswith("wrapper_metadata.json")]
            read: dict[str, str] = json.loads(archive.read(found[0])) if found else {}
            exported = any(
                name.endswith(("/models/model.json", "serialized_exported_program.json")) for name in archive.namelist()
            )
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ModelError(f"{path.name} is no .pt2 package: {error}.") from None
    if "AOTI_DEVICE_KEY" not in read:
        what = "an exported program that is not compiled" if exported else "no package of AOTInductor"
        raise ModelError(f"{path.name} is {what}; make one with torch._inductor.aoti_compile_and_package.")
    return read


def signature_of(path: Path, given: "Shapes | None" = None) -> Signature | None:
    """The inputs and outputs that a package of ours takes and gives; none of another's, which does not say.

    Raises:
        ModelError: it is no AOTInductor package.
    """
    said = metadata_of(path).get(SIGNATURE)
    return Signature.from_json(json.loads(said)) if said else None
