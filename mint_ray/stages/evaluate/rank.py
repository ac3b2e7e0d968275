"""Rankings of the tested cases: by training frequency, by the teacher, by language models."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.config.config import Config
from mint_ray.evaluation.answers import SystemAnswers
from mint_ray.evaluation.metrics.teacher_agreement import TeacherLists
from mint_ray.evaluation.perturbed_cases import key_of, select_perturbation
from mint_ray.evaluation.predictions import majority_predictions
from mint_ray.evaluation.systems import Perturbation, SystemRun
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.runtime.inference import CaseInference, WantedCases
from mint_ray.stages.workers.rankers import (
    RANKED_SCHEMA,
    STUDENT_BATCH,
    TEACHER_BATCH,
    TEACHER_COLUMNS,
    StudentRanker,
    TeacherRanker,
    predictions_of,
    ranking_depth,
    student_columns,
)
from mint_ray.tasks.task import TASKS
from mint_ray.teachers.note_look_ups import FOLDER, fit_look_up


@dataclass(frozen=True)
class Comparison:
    """The tested cases, with the folders and the catalogue that systems need to rank them."""

    config: Config
    inputs: Mapping[str, Path]
    """Folders of the finished steps `cases`, `teach` and `train`."""
    output: Path
    all_cases: pa.Table
    """case_id, group_id, split, label_id, label_name, seen, publications of every case, tested or
    not, that was not made from another."""
    tested: pa.Table
    """The rows of the tested cases."""
    catalogue: Catalogue
    student: str
    """Name of the trained student in tables and files."""

    @property
    def cases_file(self) -> Path:
        """All cases with notes and images."""
        return self.inputs["cases"] / "cases.parquet"

    @property
    def perturbed_file(self) -> Path:
        """The tested cases as `write_perturbed_cases` writes them; it exists while systems rank."""
        return self.output / "perturbed.parquet"

    @property
    def tested_ids(self) -> list[str]:
        """Ids of the tested cases, in the order of `tested`."""
        ids: list[str] = self.tested["case_id"].to_pylist()
        return ids

    @property
    def free_cases(self) -> list[str]:
        """Ids of the tested cases that language models also answer freely."""
        return sorted(self.tested_ids)[: self.config.evaluation.generate_cases]

    @property
    def depth(self) -> int:
        """Number of labels that are ranked for each case."""
        config = self.config
        return ranking_depth(config.task, len(self.catalogue), config.evaluation.top_k)


def rank_by_majority(comparison: Comparison, runs: Sequence[SystemRun]) -> SystemAnswers:
    """Answer every case with the most common training labels of the catalogue."""
    cases, catalogue = comparison.all_cases, comparison.catalogue
    train = cases.filter(pc.equal(cases["split"], "train"))
    counts = Counter(label for label in _primary_ids(catalogue, train) if label)
    tested = pa.table(
        {"case_id": comparison.tested_ids, "label_id": _primary_ids(catalogue, comparison.tested)}
    )
    names = dict(zip(catalogue.ids, catalogue.names, strict=True))
    predictions = majority_predictions(counts, tested, comparison.depth, names)
    return SystemAnswers(dict.fromkeys(runs, predictions))


def _primary_ids(catalogue: Catalogue, cases: pa.Table) -> list[str | None]:
    """Return the catalogue's id of each case's answer, None where it lacks the answer."""
    indices = catalogue.indices_of(cases["label_id"].to_pylist())
    return [catalogue.ids[index] if index >= 0 else None for index in indices]


def teacher_job(comparison: Comparison, runs: Sequence[SystemRun]) -> WantedCases:
    """Return the job that ranks by the fitted teacher's scores."""
    return _fitted_job(comparison, runs, comparison.inputs["teach"])


def look_up_job(name: str, comparison: Comparison, runs: Sequence[SystemRun]) -> WantedCases:
    """Fit a teacher that needs no training to the run's cases; return the job that ranks by it.

    Args:
        name: of the teacher, in `LOOK_UPS`.
        comparison: the tested cases.
        runs: of the system.
    """
    return _fitted_job(comparison, runs, look_up(comparison, name))


def look_up(comparison: Comparison, name: str) -> Path:
    """Return the folder of a look-up that is fitted to the run's cases, once for all systems."""
    folder = comparison.output / FOLDER
    return fit_look_up(name, comparison.config, comparison.inputs["cases"], folder)


def _fitted_job(comparison: Comparison, runs: Sequence[SystemRun], teacher: Path) -> WantedCases:
    config = comparison.config
    arguments = {
        "teacher": str(teacher),
        "catalogue": str(comparison.inputs["cases"] / "catalogue.parquet"),
        "top_k": comparison.depth,
        "resources": config.resources.model_dump(mode="json"),
        "preferences": config.preferences.model_dump(mode="json"),
        "stain": config.seed,
    }
    job = CaseInference(TeacherRanker, arguments, TEACHER_COLUMNS, RANKED_SCHEMA, TEACHER_BATCH)
    return _tested_under(comparison, job, runs)


def base_model_job(comparison: Comparison, runs: Sequence[SystemRun]) -> WantedCases:
    """Return the job that ranks by the likelihood of the student's base model."""
    return _model_job(comparison, runs, None)


def larger_model_job(comparison: Comparison, runs: Sequence[SystemRun]) -> WantedCases:
    """Return the job that ranks by the likelihood of the model `evaluation.larger_model`.

    No answer of another length was learnt, so its prompt asks for as many names as are listed.
    """
    config = comparison.config
    model = {"base_model": config.evaluation.larger_model, "revision": None}
    student = config.student.model_copy(update=model)
    larger = replace(comparison, config=config.model_copy(update={"student": student}))
    return _model_job(larger, runs, None, names=config.evaluation.top_k)


def student_job(comparison: Comparison, runs: Sequence[SystemRun]) -> WantedCases:
    """Return the job that ranks by the trained student's likelihood."""
    return _model_job(comparison, runs, comparison.inputs["train"])


def _model_job(
    comparison: Comparison,
    runs: Sequence[SystemRun],
    student: Path | None,
    names: int | None = None,
) -> WantedCases:
    """Return the job of a model; its prompt asks for `names` names or those of a chosen answer."""
    config = comparison.config
    sections = {"evaluation", "resources", "seed", "student", "task"}
    tree = config.model_dump(mode="json", include=sections)
    arguments = {
        "student": None if student is None else str(student),
        "catalogue": str(comparison.inputs["cases"] / "catalogue.parquet"),
        "settings": tree | {"k": names or config.preferences.chosen_size},
        "generate": comparison.free_cases if any(run.free for run in runs) else [],
        "stain": config.seed,
        "scored": student is not None and "fused" in config.evaluation.systems,
    }
    columns = student_columns(TASKS[config.task])
    job = CaseInference(StudentRanker, arguments, columns, RANKED_SCHEMA, STUDENT_BATCH)
    return _tested_under(comparison, job, runs)


Ranked = Mapping[Perturbation | None, pa.Table]
"""Rows of `RANKED_SCHEMA` by perturbation."""


def _tested_under(
    comparison: Comparison, job: CaseInference, runs: Sequence[SystemRun]
) -> WantedCases:
    """Return the tested cases under every perturbation of the runs, for a job that ranks them."""
    perturbations = {run.perturbation for run in runs}
    keys = frozenset(key_of(case_id, p) for case_id in comparison.tested_ids for p in perturbations)
    is_perturbed = any(perturbations)
    source = comparison.perturbed_file if is_perturbed else comparison.cases_file
    return WantedCases(job, source, keys)


def answers_of(
    comparison: Comparison, rows: pa.Table, runs: Sequence[SystemRun], is_teacher: bool
) -> SystemAnswers:
    """Return the answers of a system whose job has ranked the tested cases.

    Args:
        comparison: the tested cases.
        rows: of `RANKED_SCHEMA`, each case under every perturbation.
        runs: of the system.
        is_teacher: whether students are held against its lists.
    """
    ranked = {
        run.perturbation: select_perturbation(rows, run.perturbation, comparison.tested_ids)
        for run in runs
    }
    return SystemAnswers(
        predictions=_predictions(ranked, runs),
        rejected=_rejections(ranked[None]),
        shortened=pc.sum(ranked[None]["shortened"]).as_py() or 0,
        teacher_lists=teacher_lists(comparison, ranked[None]) if is_teacher else None,
    )


def _predictions(ranked: Ranked, runs: Sequence[SystemRun]) -> dict[SystemRun, pa.Table]:
    columns = {False: "listed", True: "generated"}
    return {
        run: predictions_of(ranked[run.perturbation], run.name, columns[run.free]) for run in runs
    }


def _rejections(ranked: pa.Table) -> list[dict[str, str]]:
    """Return rows of `REJECTED_SCHEMA`: cases whose input a model cannot use."""
    refused = ranked.filter(pc.is_valid(ranked["reason"])).select(["case_id", "reason"])
    return [{**row, "source": "evaluate"} for row in refused.to_pylist()]


def teacher_lists(comparison: Comparison, ranked: pa.Table) -> TeacherLists:
    """Return the lists that students are held against, from rows of `RANKED_SCHEMA`."""
    return TeacherLists(
        case_ids=ranked["case_id"].to_pylist(),
        top=ranked["best"].to_pylist(),
        bottom=ranked["worst"].to_pylist(),
        systems=frozenset({"base", comparison.student}),
        depth=comparison.config.preferences.chosen_size,
    )
