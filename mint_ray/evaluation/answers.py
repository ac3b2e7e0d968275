"""Record of a comparison: the answers of every system to the tested cases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.systems import SystemRun


@dataclass(frozen=True)
class SystemAnswers:
    """Answers of one system in all of its runs."""

    predictions: Mapping[SystemRun, pa.Table]
    """Rows of `PREDICTION_SCHEMA`; their `system` is the run's name."""
    rejected: Sequence[Mapping[str, str]] = ()
    """Rows of `REJECTED_SCHEMA`: tested cases whose note or image the system cannot read."""
    shortened: int = 0
    """Number of tested cases whose note was too long and lost its tail."""
    teacher_lists: TeacherLists | None = None
    """Best and worst labels of each case; None unless the system is the teacher."""


@dataclass(frozen=True)
class Answers:
    """Answers of all systems."""

    systems: Mapping[str, SystemAnswers]
    """By name of the system, in the order in which the systems were run."""
    student: str
    """Name of the trained student."""
    free_cases: frozenset[str] = frozenset()
    """Cases that were also answered freely."""

    @property
    def runs(self) -> list[SystemRun]:
        """All runs, those of unperturbed cases first."""
        runs = [run for answers in self.systems.values() for run in answers.predictions]
        return sorted(runs, key=lambda run: run.perturbation is not None)

    @property
    def predictions(self) -> pa.Table:
        """Rows of `PREDICTION_SCHEMA` of all runs."""
        return self.predictions_of(self.runs)

    def predictions_of(self, runs: Iterable[SystemRun]) -> pa.Table:
        """Return the rows of `PREDICTION_SCHEMA` of some runs, in their order."""
        tables = [self.systems[run.system].predictions[run] for run in runs]
        return pa.concat_tables([PREDICTION_SCHEMA.empty_table(), *tables])

    @property
    def teacher_lists(self) -> TeacherLists | None:
        """Best and worst labels of the teacher; None where it was not compared."""
        by_system = [answers.teacher_lists for answers in self.systems.values()]
        return next((lists for lists in by_system if lists is not None), None)

    @property
    def of_student(self) -> SystemAnswers:
        """Answers of the trained student, or else of its base model; empty without either."""
        answers = self.systems.get(self.student) or self.systems.get("base")
        return answers or SystemAnswers({})
