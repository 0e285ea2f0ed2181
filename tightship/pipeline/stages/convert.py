"""Files for a system that may not be this one: made, read back and held against their model, which needs no device."""

from artifacts.specs import Signature
from artifacts.types import ExportedFile
from export.registry import FORMATS
from tightship.pipeline.stages.export import export
from tightship.pipeline.stages.job import Job
from tightship.store import Result


def convert(job: Job) -> Result:
    """Write the file of one artifact and look at it as its format can: what was checked stands in the details under `checked`.

    Raises:
        ModelError: the file is not what was asked for.
    """
    artifact = job.step.artifact
    assert artifact is not None
    made = export(job)
    details = made.details
    signature = Signature.from_json(details["signature"])
    file = ExportedFile(details["format"], job.out / "files", details["main"], signature, artifact.scheme or "fp32")
    checked = FORMATS.find(file.format).check(file, job.model(artifact.source))
    return Result(made.summary, made.metrics, {**details, "checked": dict(checked)})
