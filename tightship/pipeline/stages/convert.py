"""Files for a system that may not be this one: made, read back and held against their model, which needs no device."""

from dataclasses import replace

from export.registry import FORMATS
from tightship.pipeline.stages.export import export, exported_file
from tightship.pipeline.stages.job import Job
from tightship.pipeline.stages.results import ExportResult
from tightship.planning.step_configs import ExportStep


def convert(job: Job[ExportStep]) -> ExportResult:
    """Write the file of one artifact and look at it as its format can; what was checked stands in the result.

    Raises:
        ModelError: the file is not what was asked for.
    """
    from tightship.pipeline.stages.exported_network import network_to_export

    made = export(job)
    file = replace(exported_file(made, job.out), precision=job.config.scheme or "fp32")
    checked = FORMATS.find(file.format).check(file, network_to_export(job, job.config.export))
    return replace(made, checked=dict(checked))
