"""The teachers of a distillation in a plan: which steps make them, and what a step must know of them."""

from artifacts.errors import ModelError, nearest
from artifacts.files import sha256_file
from compress.configs import DistilConfig
from compress.configs.distil import TeacherConfig
from tightship.planning.step_configs import Taught
from tightship.planning.steps import REFERENCE


def teacher_steps(config: DistilConfig, stage: str, teacher_is_reference: bool) -> dict[str, TeacherConfig]:
    """The step that makes each teacher that is a network; the first is the run's reference if `teacher_is_reference`."""
    if teacher_is_reference:
        return {f"teacher-{at + 1}" if at else REFERENCE: teacher for at, teacher in enumerate(config.networks)}
    return {f"{stage}-teacher-{at + 1}": teacher for at, teacher in enumerate(config.networks)}


def taught_by(config: DistilConfig, steps: list[str]) -> tuple[tuple[Taught, ...], dict[str, str]]:
    """Every teacher of a distillation in the recipe's order, and the inputs that hold those that are networks.

    Args:
        config: the distillation.
        steps: the steps that make its networks, in order.

    Raises:
        ModelError: there is no such file.
    """
    if not config.all_teachers:
        return (Taught(weight=1.0, input="teacher-1"),), {"teacher-1": REFERENCE}
    made, teachers, inputs = iter(steps), [], {}
    for at, teacher in enumerate(config.all_teachers):
        if teacher.file is not None:
            teachers.append(_file(teacher))
            continue
        inputs[f"teacher-{at + 1}"] = next(made) if teacher.is_network else REFERENCE
        teachers.append(Taught(weight=teacher.weight, input=f"teacher-{at + 1}"))
    return tuple(teachers), inputs


def _file(teacher: TeacherConfig) -> Taught:
    assert teacher.file is not None
    if not teacher.file.is_file():
        beside = [p.name for p in teacher.file.parent.iterdir()] if teacher.file.parent.is_dir() else []
        hint = f"; {nearest(teacher.file.name, beside)}" if beside else ""
        raise ModelError(f"there is no teacher file at {teacher.file}{hint}.")
    return Taught(weight=teacher.weight, file=teacher.file, sha256=sha256_file(teacher.file))
