"""The steps that rank the layers of int8 files by what they lose. Imports nothing heavy."""

from collections.abc import Iterable

from compress.quantizers import QUANTIZERS
from compress.quantizers.isa import instructions
from runtimes.registry import find
from tightship.planning.steps import DATA, EVERYTHING, SENSITIVITY, TRAINING, ArtifactPlan, Step
from tightship.recipe.recipe import Recipe


def ranking_steps(artifacts: Iterable[ArtifactPlan], recipe: Recipe) -> list[Step]:
    """A step for each int8 file that the recipe's chain made, if the recipe asks for it."""
    if not recipe.measure.sensitivity:
        return []
    return [_step(a, recipe) for a in artifacts if a.scheme == "int8" and a.role == "compressed"]


def _step(artifact: ArtifactPlan, recipe: Recipe) -> Step:
    """Files made as the artifact was, each with one layer in int8, and run on its target."""
    assert artifact.quantizer is not None
    measure, target = recipe.measure, find(artifact.target)
    # the same int8 file scores differently on another instruction set
    config = {"target": target.name, "isa": instructions(), "threads": measure.threads, **artifact.session_options}
    config |= {"examples": measure.sensitivity_samples}
    libraries = (*TRAINING, *QUANTIZERS[artifact.quantizer].libraries, *target.libraries)
    needs = (DATA, artifact.source, f"export {artifact.id}")
    return Step(f"{SENSITIVITY} {artifact.id}", SENSITIVITY, config, needs, libraries, EVERYTHING, artifact)
