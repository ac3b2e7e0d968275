"""A loaded student that answers batches of requests. Knows nothing of Ray or HTTP."""

import logging
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mint_ray.errors import ServingError
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.images.decode import sample_image
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.evidence import Explainer
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.serving.api.answers import Answer, Answerer, ModelInfo
from mint_ray.serving.api.requests import MOST_ANSWERS, Asked, PatientReader
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.student import (
    CATALOGUE,
    Student,
    load_on_shared_base,
    load_student,
    read_info,
)
from mint_ray.tasks.task import MOST_LABELS, TASKS

logger = logging.getLogger(__name__)


class _Knowledge(NamedTuple):
    """What reads and explains notes; nothing of it changes."""

    ontology: Ontology
    reader: PatientReader
    explainer: Explainer


@cache
def _knowledge() -> _Knowledge:
    """Read once for all students that this process ever holds, the next champion among them."""
    ontology = load_ontology()
    return _Knowledge(ontology, PatientReader(ontology), Explainer(ontology, load_annotations()))


class Predictor:
    """A student of notes or of images, warm and ready.

    Args:
        folder: a finished student; with `calibration.json` its probabilities are calibrated.
        name: of the model, as answers state it.
        version: likewise.
        batch_size: requests computed together.
        beside: an predictor whose base model is shared where it is the same; neither may compute
            while this one is made, nor both at a time.

    Raises:
        TrainingError: the folder is no finished student.
        ServingError: it has no catalogue.
        DataError: a damaged calibration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        version: str,
        batch_size: int = 8,
        beside: "Predictor | None" = None,
    ) -> None:
        info = read_info(folder)
        self.task = TASKS[info.task]
        if not (folder / CATALOGUE).is_file():
            raise ServingError(
                f"{folder}: expected {CATALOGUE} beside the adapter, found none; serve the folder "
                "of a train, tune or calibrate step"
            )
        catalogue = Catalogue.read(folder / CATALOGUE)
        calibration = read_calibration(folder)
        knowledge = _knowledge() if self.task.input_modality == "note" else None
        self.reader = knowledge.reader if knowledge else None
        self.model = ModelInfo(
            name=name, version=version, coverage=calibration.coverage if calibration else None
        )
        self._answerer = Answerer(
            catalogue,
            calibration,
            self.model,
            knowledge.ontology if knowledge else None,
            knowledge.explainer if knowledge else None,
        )
        small = len(catalogue) <= MOST_LABELS
        top_k = calibration.top_k if calibration else 10
        wanted = min(len(catalogue) if small else top_k, MOST_ANSWERS)
        shared = load_on_shared_base(beside.student, folder) if beside is not None else None
        self.student: Student = shared or load_student(folder)
        self._ranker = Ranker(
            self.student,
            catalogue.names,
            # Probabilities are calibrated over the names that this search scores, and no others.
            top_k=top_k if calibration else wanted,
            listed=wanted,
            search=calibration.search if calibration else "auto",
            beam_width=calibration.beam_width if calibration else 16,
            temperature=calibration.temperature if calibration else 1.0,
            batch_size=batch_size,
            keep_prefix=True,
        )

    @property
    def model_id(self) -> tuple[str, str]:
        """Name and version."""
        return self.model.name, self.model.version

    def warm_up(self) -> None:
        """Answer once, so that the first request does not wait for what is made on first use."""
        self._ranker.rank([self._sample()])

    def check(self) -> None:
        """Ask the model something small.

        Raises:
            ServingError: it gives no ranking.
        """
        if not self._ranker.rank([self._sample()])[0].labels:
            raise ServingError("the student ranks nothing")

    def answer(self, requests: Mapping[str, Asked]) -> list[Answer]:
        """Answers in the order of the requests, each by itself whatever it came with.

        Args:
            requests: request id -> what is asked.
        """
        seen = [item.student_input for item in requests.values() if not item.is_empty]
        rankings = iter(self._ranker.rank(seen))
        return [
            self._answerer.nothing(request_id, item)
            if item.is_empty
            else self._answerer.answer(request_id, item, next(rankings))
            for request_id, item in requests.items()
        ]

    def _sample(self) -> str | bytes:
        return "Seizures." if self.task.input_modality == "note" else sample_image()
