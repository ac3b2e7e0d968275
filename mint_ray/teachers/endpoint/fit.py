"""Fit of the teacher `endpoint`: a server is asked about every case, and its answers are kept."""

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.tasks.task import TASKS
from mint_ray.teachers.base import Report
from mint_ray.teachers.endpoint.ask import ask_all
from mint_ray.teachers.endpoint.client import EndpointClient
from mint_ray.teachers.endpoint.questions import Question, QuestionMaker, read_questions
from mint_ray.teachers.endpoint.replies import label_scores, scores_of_list, scores_of_options
from mint_ray.teachers.recorded.fit import finish_recorded
from mint_ray.teachers.recorded.table import RecordedScores
from mint_ray.teachers.recorded.teacher import ENDPOINT

REPLIES_FILE = "replies.jsonl"
"""Replies of the server as they came; may repeat text of the notes."""
NO_ANSWER = "no_answer"
"""Reason of a case for which the server named no label of the catalogue."""
REPORTS = 100
_SECONDS_BETWEEN_REPORTS = 2.0


def check_settings(config: Config) -> None:
    """Raise ConfigError if several workers are to ask one server."""
    if config.resources.teacher_workers != 1:
        raise ConfigError(
            f"resources.teacher_workers={config.resources.teacher_workers}: expected 1 with "
            "teacher.name=endpoint; teacher.endpoint.concurrency asks several questions at a time"
        )


def fit_endpoint(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Ask about all cases, fit the scale of the answers on validation cases, write the teacher.

    Args:
        source: folder with `cases.parquet` and `catalogue.parquet`.
        config: of the run; `teacher.endpoint` names the server.
        out: folder that `load_teacher` reads, with the replies; a repeated call continues it.
        report: called from time to time, with `step` (per cent of the cases) and `loss`, which is
            0 until all are asked.

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one; replies that
        were asked for now and HTTP requests for them; tokens over all restarts; cases that were not
        asked about since they show nothing, whose question got no reply, and without scores; names
        that no label has.

    Raises:
        TeacherError: the server refuses, a limit is reached, or no answer names a label.
    """
    settings, task = config.teacher.endpoint, TASKS[config.task]
    catalogue = Catalogue.read(source / "catalogue.parquet")
    cases = pq.read_table(source / "cases.parquet", columns=["case_id", "split", "label_id"])
    maker = QuestionMaker(settings, task, catalogue)
    progress = _Progress(cases.num_rows, report)
    not_asked: list[str] = []

    def questions() -> Iterator[Question]:
        for case_id, question in read_questions(source / "cases.parquet", maker):
            if question is None:
                not_asked.append(case_id)
            else:
                yield question

    client = EndpointClient(settings)
    try:
        asked = ask_all(questions(), client, out / REPLIES_FILE, settings, progress.add)
    finally:
        client.close()
    is_list = settings.answer == "list"
    read = scores_of_list(catalogue, task) if is_list else scores_of_options(catalogue)
    lists, unknown = label_scores(iter(asked.replies.items()), read)
    recorded = RecordedScores.of_lists(lists)
    if not len(recorded):
        raise TeacherError(
            f"{settings.base_url}: expected names of the catalogue's {len(catalogue)} labels in "
            f"the answers, found none in {len(asked.replies)} answers; see {out / REPLIES_FILE}"
        )
    facts = {"base_url": settings.base_url, "model": settings.model}
    metrics, loss = finish_recorded(out, ENDPOINT, cases, catalogue, recorded, NO_ANSWER, facts)
    report({"step": float(REPORTS), "loss": loss})
    return metrics | {
        "replies_asked": float(asked.n_asked),
        "http_requests": float(client.sent),
        "tokens": float(sum(reply.tokens for reply in asked.replies.values())),
        "cases_not_asked": float(len(not_asked)),
        "cases_unreached": float(sum(asked.unreached.values())),
        "unknown_names": float(unknown),
    }


class _Progress:
    """Reports of the share of cases that have a reply, not more often than every other second."""

    def __init__(self, n_cases: int, report: Report) -> None:
        self._n_cases, self._report, self._done = max(1, n_cases), report, 0
        self._told = time.monotonic()

    def add(self) -> None:
        self._done += 1
        if time.monotonic() - self._told > _SECONDS_BETWEEN_REPORTS:
            self._told = time.monotonic()
            self._report({"step": REPORTS * self._done / self._n_cases, "loss": 0.0})
