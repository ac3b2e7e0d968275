"""Systems of a comparison: names, how they rank, and planned runs.

A new system needs an entry in `known_systems`, its word in the setting `evaluation.systems`, and a
title in `mint_ray.evaluation.systems`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from mint_ray.config.config import Config
from mint_ray.errors import TrainingError
from mint_ray.evaluation.answers import SystemAnswers
from mint_ray.evaluation.systems import LOOK_UPS, Perturbation, SystemRun, student_system
from mint_ray.runtime.inference import WantedCases
from mint_ray.stages.evaluate.controls import MEAN_COLOUR, rank_by_mean_colour
from mint_ray.stages.evaluate.fused import fused_job, rank_by_fused
from mint_ray.stages.evaluate.rank import (
    Comparison,
    answers_of,
    base_model_job,
    larger_model_job,
    look_up_job,
    rank_by_majority,
    student_job,
    teacher_job,
)
from mint_ray.students.student_folder import read_info
from mint_ray.tasks.task import TASKS
from mint_ray.teachers.registry import is_recorded

TEACHER = "teacher"

Job = Callable[[Comparison, Sequence[SystemRun]], WantedCases]
Rank = Callable[[Comparison, Sequence[SystemRun], Mapping[str, pa.Table]], SystemAnswers]


@dataclass(frozen=True)
class System:
    """One system of a comparison."""

    name: str
    """Name in tables and files: `base`, `teacher`, `orpo`, ..."""
    job: Job | None = None
    """Function that returns the job of Ray Data by which the tested cases are ranked in all given
    runs; None where it needs none."""
    rank: Rank | None = None
    """Function that answers the tested cases from the rows of all jobs by name of their systems;
    None where the rows of its own job are its answers."""
    perturbations: tuple[Perturbation, ...] = ()
    """Perturbations under which it is measured too, if the evaluation has controls."""
    answers_freely: bool = False
    """Whether it also answers some cases by free generation."""

    def answers(
        self, comparison: Comparison, runs: Sequence[SystemRun], ranked: Mapping[str, pa.Table]
    ) -> SystemAnswers:
        """Return its answers to the tested cases in all given runs.

        Args:
            comparison: the tested cases.
            runs: which are the keys of the predictions.
            ranked: rows of the jobs by name of their systems.
        """
        if self.rank is not None:
            return self.rank(comparison, runs, ranked)
        return answers_of(comparison, ranked[self.name], runs, is_teacher=self.name == TEACHER)


def _alone(rank: Callable[[Comparison, Sequence[SystemRun]], SystemAnswers]) -> Rank:
    """Return the function for a system that reads no rows of jobs."""
    return lambda comparison, runs, ranked: rank(comparison, runs)


def known_systems(student: str) -> dict[str, System]:
    """Return every system by its word in `evaluation.systems`, and the control by mean colour.

    Args:
        student: name of the trained student.
    """
    return {
        "majority": System("majority", rank=_alone(rank_by_majority)),
        **{name: System(name, partial(look_up_job, name)) for name in LOOK_UPS},
        "base": System("base", base_model_job, answers_freely=True),
        "larger": System("larger", larger_model_job, answers_freely=True),
        "student": System(
            student, student_job, perturbations=tuple(Perturbation), answers_freely=True
        ),
        "fused": System("fused", fused_job, rank_by_fused),
        TEACHER: System(TEACHER, teacher_job, perturbations=(Perturbation.STAIN,)),
        MEAN_COLOUR: System(MEAN_COLOUR, rank=_alone(rank_by_mean_colour)),
    }


def plan_runs(config: Config, student: str, n_tested: int) -> dict[System, tuple[SystemRun, ...]]:
    """Return the compared systems in the order in which they rank, each with its runs.

    Perturbations and mean colour are controls of image students; see `evaluation.controls`.
    Shuffling needs at least two tested cases. A teacher of recorded scores has none for a changed
    image.
    """
    settings, known = config.evaluation, known_systems(student)
    if is_recorded(config):
        known[TEACHER] = replace(known[TEACHER], perturbations=())
    controls = settings.controls and TASKS[config.task].input_modality == "image"
    plan = {}
    for word in (*settings.systems, *([MEAN_COLOUR] if controls else [])):
        system = known[word]
        runs = [SystemRun(system.name)]
        if system.answers_freely and settings.generate_cases:
            runs.append(SystemRun(system.name, free=True))
        if controls:
            runs += [
                SystemRun(system.name, perturbation)
                for perturbation in system.perturbations
                if perturbation is not Perturbation.SHUFFLED or n_tested > 1
            ]
        plan[system] = tuple(runs)
    return plan


def name_student(objective: str, adapter: Path | None) -> str:
    """Return the name of a student trained with `objective`, starting from `adapter` if given.

    An adapter of another program does not say what it was trained with.
    """
    if adapter is None:
        return student_system(objective)
    try:
        return student_system(objective, read_info(adapter).objective)
    except TrainingError:
        return student_system(objective)
