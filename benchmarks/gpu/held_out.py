"""Ranking of a bundle's held-out cases by a student, and its figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from job import Clock, Job, Result

from mint_ray.config.config import Config
from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.evaluation.predictions import PREDICTION_SCHEMA
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.ranking.rankings import Ranking
from mint_ray.students.student import load_student
from mint_ray.students.student_folder import CATALOGUE
from mint_ray.tasks.task import MOST_LABELS, TASKS

SHOWN = ("top1", "top3", "top10", "balanced_accuracy", "top1_by_group")
"""Metrics that are kept, over cases and, with the end `_macro`, over groups."""

SYSTEM = "student"
AT_ONCE = 32
"""Notes that are ranked in one batch; images are ranked one by one."""


def rank_held_out(student: Path, file: Path, config: Config, clock: Clock, job: Job) -> Result:
    """Rank the test cases in random order until the time is over; return figures and counts.

    The predictions are written to the job's `out` under the student's name.

    Args:
        student: folder of a finished student with its catalogue.
        file: held-out cases, with the student's input.
        config: of the student.
        clock: time of the part.
        job: scale; a dry run ranks a hundredth of the cases, at least eight.

    Returns:
        Figures over all ranked cases, and over at most as many of each group as an evaluation
        takes: top-k over cases and over groups, of all cases and of those with a seen or unseen
        label.
    """
    table = choose_cases(pq.read_table(file), None, config.seed)
    order = np.random.default_rng(config.seed).permutation(table.num_rows)
    if job.dry:
        order = order[: max(8, len(order) // 100)]
    table = table.take(pa.array(order))
    catalogue, task = Catalogue.read(student / CATALOGUE), TASKS[config.task]
    of_images = task.input_modality == "image"
    whole = of_images and len(catalogue) <= MOST_LABELS
    ranker = Ranker(
        load_student(student, precision=job.precision),
        catalogue.names,
        top_k=len(catalogue) if whole else config.evaluation.top_k,
        search=config.evaluation.search,
        beam_width=config.evaluation.beam_width,
        batch_size=1 if of_images else AT_ONCE,
        frozen=True,
    )
    rows, done, unusable = list[dict[str, Any]](), 0, 0
    search = Clock(clock.left)
    while done < table.num_rows and (search.left > 0 or not done):
        cases = table.slice(done, 2 * AT_ONCE).to_pylist()
        usable = [row for row in cases if task.why_unusable(row[task.input_modality]) is None]
        known = [catalogue.index_of(row["label_id"]) for row in usable]
        rankings = ranker.rank([row[task.input_modality] for row in usable], known)
        for row, ranking, answer in zip(usable, rankings, known, strict=True):
            rows += _predictions(row["case_id"], ranking, answer, catalogue)
        done, unusable = done + len(cases), unusable + len(cases) - len(usable)
    ranked, predictions = table.slice(0, done), pa.Table.from_pylist(rows, PREDICTION_SCHEMA)
    pq.write_table(predictions, job.out / f"{student.name}.parquet")
    limit = config.evaluation.group_limit(config.task)
    limited = choose_cases(ranked, None, config.seed, max_per_group=limit)
    return {
        "held_out": table.num_rows,
        "ranked": done,
        "unusable": unusable,
        "labels": len(catalogue),
        "search": ranker.search,
        "seconds_a_case": search.spent / done,
        "figures": _figures(predictions, ranked, catalogue, config, job),
        "cases_per_group": limit,
        "figures_limited": _figures(predictions, limited, catalogue, config, job),
    }


def _predictions(
    case: str, ranking: Ranking, answer: int | None, catalogue: Catalogue
) -> list[dict[str, Any]]:
    listed = list(zip(ranking.labels, ranking.probabilities, strict=True))
    rows = [
        _row(case, rank, catalogue, label, probability)
        for rank, (label, probability) in enumerate(listed, start=1)
    ]
    if answer is not None and answer not in ranking.labels and ranking.answer_rank is not None:
        probability = min(1.0, ranking.answer_probability or 0.0)
        rows.append(_row(case, ranking.answer_rank, catalogue, answer, probability))
    return rows


def _row(
    case: str, rank: int, catalogue: Catalogue, label: int, probability: float
) -> dict[str, Any]:
    entry = catalogue.label(label)
    return {
        "case_id": case,
        "system": SYSTEM,
        "rank": rank,
        "label_id": entry.label_id,
        "text": entry.name,
        "probability": probability,
    }


def _figures(
    predictions: pa.Table, tested: pa.Table, catalogue: Catalogue, config: Config, job: Job
) -> Result:
    """Return {stratum: {metric: value, interval, number}} of `SHOWN`."""
    samples = 100 if job.dry else config.evaluation.bootstrap_samples
    measured = measure_answers(
        Answers({SYSTEM: SystemAnswers({SystemRun(SYSTEM): predictions})}, SYSTEM),
        tested,
        catalogue,
        settings=config.evaluation.model_copy(update={"bootstrap_samples": samples}),
        seed=config.seed,
        task=TASKS[config.task],
    )
    return {
        stratum: {
            name: value for name, value in values.items() if name.removesuffix("_macro") in SHOWN
        }
        for stratum, values in measured.metrics[SYSTEM].items()
    }
