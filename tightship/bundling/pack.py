"""One artifact packed for its device, with the proof that it computes there what was measured here."""

import gzip
import os
import re
import shutil
import tarfile
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from artifacts.errors import IntegrityError, RequestError
from artifacts.files import sha256_file, sync, walk, write_atomic
from artifacts.manifest import build_manifest, check_manifest, check_name, read_manifest, safe_extract
from artifacts.records.evidence import ArtifactRecord, Evidence, read_evidence
from runtimes.registry import TARGETS, find
from runtimes.shipping import ship
from tightship.bundling.selftest import add_selftest, copy_file

SUFFIX = ".tar.gz"

_README = """# {record.id} of {evidence.name}

    tar xzf {stem}.tar.gz && cd {stem}
    pip install -r requirements.txt
    python run.py --selftest

`python run.py --input x.npz --output ../y.npz` runs inputs of your own; `python run.py --help` shows the rest.

Measured on {machine.cpu}, {machine.cores} cores ({machine.os}, Python {machine.python}, GPU: {machine.gpu}):

| what | measured |
|---|---|
| {accuracy.metric} on {accuracy.examples} examples | {accuracy.deployed:.4f} |
| latency p50 / p90 (batch {latency.batch}, threads {latency.threads}) | {latency.p50:.3f} / {latency.p90:.3f} ms |
| throughput (batch {record.throughput_batch}) | {record.throughput_per_s:.1f} per second |
| cold start | {record.cold_start_ms:.1f} ms |
| peak memory | {record.peak_rss_mb:.1f} MB |
| activations of one example at once (estimated from the graph, not measured) | {activations} |
| size of the model's files | {record.bytes} bytes |
| verdict | {record.verdict} |

`manifest.json` holds the SHA-256 of every file, `evidence.json` all that was measured.
"""


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle whose every file is what its manifest says."""

    name: str
    """The name of the run."""
    artifact: str
    files: int
    """How many files it holds, the manifest included."""
    bytes: int
    """Their size when unpacked."""


def make_bundle(run_dir: Path, artifact_id: str | None = None, out: Path | None = None, *, allow_failed: bool = False) -> Path:
    """Pack one artifact of a run, the best by default, into an archive; the same run gives the same bytes.

    `out` is a folder, or a path that ends in `.tar.gz`; without it the archive goes to `bundles` in the run's folder.

    Raises:
        RequestError: nothing passed, the artifact did not pass or cannot be run by a bundle.
        IntegrityError: a file of the artifact is not the one that was measured.
    """
    evidence = read_evidence(run_dir / "evidence.json")
    record = _choose(evidence, run_dir, artifact_id, allow_failed)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{evidence.name}-{record.target}-{record.precision}").lstrip("-.")
    out = out or run_dir / "bundles"
    final = out if out.name.endswith(SUFFIX) else out / f"{stem}{SUFFIX}"
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{stem}.") as work:
        _fill(Path(work) / stem, run_dir, evidence, record)
        archive = Path(work) / f"packed{SUFFIX}"
        _pack(Path(work) / stem, archive)
        verify_bundle(archive)
        sync(archive)
        os.replace(archive, final)
    sync(final.parent)
    return final


def verify_bundle(path: Path) -> VerifiedBundle:
    """Hold a bundle, packed or unpacked, against its manifest, and its model against its evidence.

    Raises:
        RequestError: there is no such bundle.
        IntegrityError: something in it was changed, is missing, or does not belong; the message names it.
    """
    if not path.exists():
        raise RequestError(f"there is no bundle at {path}; make one with `tightship bundle RUN`.")
    if path.is_dir():
        return _verify_folder(path)
    with tempfile.TemporaryDirectory(prefix="tightship-verify-") as work:
        return _verify_folder(safe_extract(path, Path(work)))


def _verify_folder(folder: Path) -> VerifiedBundle:
    check_manifest(folder)
    manifest = read_manifest(folder)
    shipped = {f.path: f.sha256 for f in manifest.files}
    name, artifact, main = (str(manifest.extra.get(key)) for key in ("name", "artifact", "main"))
    record = read_evidence(folder / "evidence.json").artifact(artifact)
    measured = {_inside(record, f.path): f.sha256 for f in record.files}
    packed = {path: digest for path, digest in shipped.items() if path.startswith("model/")}
    for path in sorted(measured.keys() | packed.keys() | {main}):
        if path not in packed or packed[path] != measured.get(path):
            raise IntegrityError(f"{path} in {folder} is not the file that was measured; get the bundle again.")
    sizes = [path.stat().st_size for _, path in walk(folder)]
    return VerifiedBundle(name, artifact, len(sizes), sum(sizes))


def unpackable(record: ArtifactRecord) -> str | None:
    """Why no bundle can hold an artifact; none if one can."""
    target = find(record.target)
    if target.loader and target.opens(record.format):
        return None
    able = ", ".join(one.name for one in TARGETS.values() if one.loader)
    return f"{record.id} cannot be packed: a bundle runs files of {able}, not {record.format} on {record.target}"


def _choose(evidence: Evidence, run_dir: Path, artifact_id: str | None, allow_failed: bool) -> ArtifactRecord:
    """The artifact to pack, after everything that speaks against packing it was looked at."""
    chosen = artifact_id or evidence.verdict.best
    if chosen is None:
        known = ", ".join(a.id for a in evidence.artifacts if not unpackable(a)) or "none that can be packed"
        raise RequestError(
            f"run {evidence.name!r} has no artifact that passed; name one explicitly with "
            f"`tightship bundle {run_dir} --artifact ID --allow-failed` (there are: {known})."
        )
    record = evidence.artifact(chosen)
    if find(record.target).reference:
        raise RequestError(f"{chosen} is the PyTorch reference, which is never shipped; choose an exported artifact.")
    why = unpackable(record)
    if why:
        raise RequestError(f"{why}; choose another artifact.")
    if record.verdict not in ("ship", "pass") and not allow_failed:
        failed = ", ".join(g.name for g in record.gates if not g.passed) or "not judged"
        raise RequestError(
            f"{chosen} has the verdict {record.verdict!r} ({failed}), and only 'ship' and 'pass' are packed; "
            "say --allow-failed to pack it all the same."
        )
    return record


def _fill(folder: Path, run_dir: Path, evidence: Evidence, record: ArtifactRecord) -> None:
    """Lay out the bundle's one top folder."""
    for file in record.files:
        target = folder / _inside(record, file.path)
        copy_file(run_dir, file.path, target)
        if sha256_file(target) != file.sha256:
            raise IntegrityError(f"{file.path} in {run_dir} is not the file that was measured; run the recipe again.")
    if record.main not in {file.path for file in record.files}:
        raise IntegrityError(f"{record.id} opens {record.main}, which is not among its files; run the recipe again.")
    add_selftest(run_dir, record, folder / "selftest", folder / _inside(record, record.main))
    copy_file(run_dir, "evidence.json", folder / "evidence.json")
    if (run_dir / "encoding.json").is_file():  # of data from tables
        copy_file(run_dir, "encoding.json", folder / "encoding.json")
    from tightship.bundling.runner import run

    shutil.copyfile(run.__file__, folder / "run.py")
    # the very code that was timed opens the model; pictures become inputs as they did for end-to-end latency
    ship([str(find(record.target).loader), *run.NEEDS], folder)
    facts = _facts(evidence, record)
    write_atomic(folder / "requirements.txt", _requirements(facts["runtime"]["libraries"]))
    write_atomic(folder / "README.md", _readme(folder.name, evidence, record))
    build_manifest(folder, facts).write(folder)


def _inside(record: ArtifactRecord, path: str) -> str:
    """Where a file of the artifact lies in its bundle."""
    check_name(path)
    home = f"artifacts/{record.target}/{record.precision}/"
    if not path.startswith(home):
        raise IntegrityError(f"{path} does not lie in {home}, where the files of {record.id} belong; run it again.")
    return f"model/{path.removeprefix(home)}"


def _facts(evidence: Evidence, record: ArtifactRecord) -> dict[str, Any]:
    """What the manifest says beside the files; `run.py` reads it."""
    target = find(record.target)
    pinned = {name: evidence.machine.versions.get(name) for name in ("numpy", *target.on_device)}
    return {
        "name": evidence.name,
        "artifact": record.id,
        "target": record.target,
        "precision": record.precision,
        "format": record.format,
        "main": _inside(record, record.main),
        "options": dict(record.options),
        "loader": target.loader,
        "runtime": {"name": target.on_device[0], "libraries": pinned},
        "threads": record.latency_ms.threads,
        "signature": record.signature,
        "preprocessing": evidence.data.get("preprocessing"),
        "labels": evidence.data.get("labels"),
        "verdict": record.verdict,
        "measured": {"latency_ms": asdict(record.latency_ms), "accuracy": asdict(record.accuracy)},
        "machine": asdict(evidence.machine),
        "recipe": evidence.recipe,
        "recipe_sha256": evidence.recipe_sha256,
    }


def _requirements(libraries: dict[str, str | None]) -> str:
    """The libraries that were measured; a build tag such as `+cpu` is no version that an index serves."""
    pins = {name: f"=={version.partition('+')[0]}" if version else "" for name, version in libraries.items()}
    return "".join(f"{name}{pin}  # measured: {libraries[name] or 'not recorded'}\n" for name, pin in pins.items())


def _readme(stem: str, evidence: Evidence, record: ArtifactRecord) -> str:
    held = "not known" if record.activation_bytes is None else f"{record.activation_bytes:.0f} bytes"
    values = {
        "machine": evidence.machine, "latency": record.latency_ms, "accuracy": record.accuracy, "activations": held
    }  # fmt: skip
    return _README.format(stem=stem, evidence=evidence, record=record, **values)


def _pack(folder: Path, archive: Path) -> None:
    """Pack a folder so that the same files give the same bytes: sorted, without times and owners."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, path in sorted(walk(folder)):
            member = tarfile.TarInfo(f"{folder.name}/{name}")
            member.size = path.stat().st_size
            with path.open("rb") as stream:
                tar.addfile(member, stream)
