"""The self-test that a bundle carries: stored inputs and outputs, and what its target adds for a device's own tools."""

import shutil
from pathlib import Path

from artifacts.errors import IntegrityError
from artifacts.records.evidence import ArtifactRecord
from artifacts.specs import Signature
from runtimes.registry import find

STORED = ("inputs.npz", "outputs.npz")


def add_selftest(run_dir: Path, record: ArtifactRecord, folder: Path, program: Path) -> None:
    """Copy an artifact's self-test into `folder`, after it was looked at.

    Args:
        run_dir: the run's folder.
        record: the artifact.
        folder: where the self-test goes.
        program: the file that the bundle opens.

    Raises:
        IntegrityError: the device could not repeat it, or it is of another program.
    """
    home, kind = f"selftest/{record.target}/{record.precision}", find(record.target).options_kind()
    added = [name for name in kind.test_files if (run_dir / home / name).exists()]
    for name in (*STORED, *added):
        copy_file(run_dir, f"{home}/{name}", folder / name)
    _check(record, folder)
    if reason := kind.refuse_tests(program, folder):
        raise IntegrityError(f"the self-test of {record.id} is of another program: {reason}; run it again.")


def copy_file(run_dir: Path, path: str, target: Path) -> None:
    """Copy a file of a run.

    Raises:
        IntegrityError: it is missing, or a link.
    """
    source = run_dir / path
    if not source.is_file() or source.resolve() != run_dir.resolve() / path:
        raise IntegrityError(f"{path} in {run_dir} is missing or a link; run the recipe again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _check(record: ArtifactRecord, folder: Path) -> None:
    """Refuse stored inputs and outputs that the device could not repeat."""
    import numpy as np

    rows = set()
    signature = Signature.from_json(record.signature)
    for specs, name in zip((signature.inputs, signature.outputs), STORED, strict=True):
        wanted = sorted(spec.name for spec in specs)
        try:
            with np.load(folder / name, allow_pickle=False) as stored:
                rows |= {stored[key].shape[:1] for key in stored.files}
                found = sorted(stored.files)
        except Exception as error:
            raise IntegrityError(f"the self-test's {name} of {record.id} cannot be read: {error}.") from None
        if found != wanted:
            raise IntegrityError(f"the self-test's {name} of {record.id} holds {found}, not {wanted}; run it again.")
    if len(rows) != 1 or rows <= {(), (0,)}:
        raise IntegrityError(f"the self-test of {record.id} has {sorted(rows)} rows, not one number; run it again.")
