"""Fit of the teacher `scores`: reading the table, and its probabilities."""

from pathlib import Path

import pyarrow.parquet as pq

from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.base import Report
from mint_ray.teachers.recorded.fit import finish_recorded
from mint_ray.teachers.recorded.teacher import SCORES
from mint_ray.teachers.scores.files import read_scores
from mint_ray.teachers.scores.match import match_rows

NO_SCORES = "no_scores"
"""Reason of a case that the table lacks."""


def fit_scores(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Read the scores of all cases, fit their scale on validation cases, and write the teacher.

    Args:
        source: folder with `cases.parquet` and `catalogue.parquet`.
        config: of the run; `teacher.scores` names the table.
        out: folder that `load_teacher` reads; written by the first process.
        report: called once, with `step` and `loss`.

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one, and counts:
        see `match_rows`, with `cases_without_scores`.

    Raises:
        DataError: the table cannot be read; see `read_scores`.
        TeacherError: the table has no score of a case of the run and a label of the catalogue.
    """
    settings = config.teacher.scores
    assert settings.path is not None  # the config is not valid without it
    cases = pq.read_table(source / "cases.parquet", columns=["case_id", "split", "label_id"])
    catalogue = Catalogue.read(source / "catalogue.parquet")
    rows = read_scores(settings.path, settings)
    recorded, counts = match_rows(
        rows, cases["case_id"].to_pylist(), catalogue, settings.better == "lower"
    )
    if not len(recorded):
        raise TeacherError(
            f"{settings.path}: expected scores of the run's {cases.num_rows} cases and of labels "
            f"of its catalogue, found none in {len(rows.scores)} rows "
            f"({counts['unknown_cases']} unknown case ids, {counts['unknown_labels']} unknown "
            "labels); check the columns in teacher.scores, and that the cases have the same ids"
        )
    metrics, loss = finish_recorded(
        out, SCORES, cases, catalogue, recorded, NO_SCORES, {"better": settings.better}
    )
    report({"step": 1.0, "loss": loss})
    return metrics | {name: float(count) for name, count in counts.items()}
