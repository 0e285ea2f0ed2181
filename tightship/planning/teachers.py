"""The teachers of a distillation in a plan: which steps make them, and what a step must know of them."""

from typing import Any

from artifacts.errors import ModelError, nearest
from artifacts.files import sha256_file
from compress.configs import DistilConfig
from compress.configs.distil import TeacherConfig
from tightship.planning.steps import REFERENCE


def teacher_steps(config: DistilConfig, stage: str, teacher_is_reference: bool) -> dict[str, TeacherConfig]:
    """The step that makes each teacher that is a network; the first is the run's reference if `teacher_is_reference`."""
    if teacher_is_reference:
        return {f"teacher-{at + 1}" if at else REFERENCE: teacher for at, teacher in enumerate(config.networks)}
    return {f"{stage}-teacher-{at + 1}": teacher for at, teacher in enumerate(config.networks)}


def taught_by(config: DistilConfig, steps: list[str]) -> list[dict[str, Any]]:
    """Every teacher of a distillation in the recipe's order: the step that made it, or the file that it is, and its weight.

    Raises:
        ModelError: there is no such file.
    """
    if not config.all_teachers:
        return [{"step": REFERENCE, "weight": 1.0}]
    made = iter(steps)
    return [_one(teacher, made_by=next(made) if teacher.is_network else REFERENCE) for teacher in config.all_teachers]


def _one(teacher: TeacherConfig, made_by: str) -> dict[str, Any]:
    if teacher.file is None:
        return {"step": made_by, "weight": teacher.weight}
    if not teacher.file.is_file():
        beside = [p.name for p in teacher.file.parent.iterdir()] if teacher.file.parent.is_dir() else []
        hint = f"; {nearest(teacher.file.name, beside)}" if beside else ""
        raise ModelError(f"there is no teacher file at {teacher.file}{hint}.")
    return {"file": str(teacher.file), "sha256": sha256_file(teacher.file), "weight": teacher.weight}
