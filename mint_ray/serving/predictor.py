"""Prediction with a loaded student for batches of requests, independent of Ray and HTTP."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import NamedTuple

from mint_ray.errors import ServingError
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.evaluation.fused.pool import ranked_by
from mint_ray.images.decode import sample_image
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.evidence import Explainer
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.knowledge.release import Release, present_release
from mint_ray.serving.api.answers import Answer, Answerer, ModelInfo
from mint_ray.serving.api.requests import (
    MEASURED_SIDE,
    MOST_ANSWERS,
    Asked,
    DiagnoseRequest,
    Options,
    PatientReader,
    UnusableRequest,
    read_image,
)
from mint_ray.serving.documents import find_documents, read_documents
from mint_ray.students.encoding.images import ShownImage
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.models.processors import seen_side
from mint_ray.students.ranking.fused import FusedRanker, with_look_ups
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.ranking.rankings import Ranking
from mint_ray.students.student import Student, load_on_shared_base, load_student
from mint_ray.students.student_folder import CATALOGUE, read_info
from mint_ray.tasks.task import MOST_LABELS, TASKS

logger = logging.getLogger(__name__)

SEIZURE = "HP:0001250"


class _Knowledge(NamedTuple):
    """Readers of notes and explainers of answers; immutable, so all predictors share them."""

    ontology: Ontology
    reader: PatientReader
    explainer: Explainer


@cache
def _knowledge(release: Release) -> _Knowledge:
    """Load ontology and annotations, once per process, also for students that replace this one."""
    ontology, annotations = load_ontology(release), load_annotations(release=release)
    return _Knowledge(ontology, PatientReader(ontology), Explainer(ontology, annotations))


class Predictor:
    """A loaded student of notes or of images that answers requests.

    Args:
        folder: a finished student; with `calibration.json` its probabilities are calibrated, with
            `fused.json` it is joined with look-ups.
        name: name of the model in answers.
        version: version of the model in answers.
        batch_size: requests computed together.
        beside: a predictor whose base model is shared if it is the same one. Neither predictor
            may compute while this one is constructed, and the two never at the same time.
        documents: folder of a finished `index` step, which `explain: documents` searches; None to
            refuse that. A student of images reads none.

    Raises:
        TrainingError: the folder does not hold a finished student.
        ServingError: the folder has no catalogue.
        DataError: the calibration, the pool or a document is damaged, or a look-up is missing.
        ConfigError: the folder of documents is not that of a finished `index` step.
        TeacherError: a look-up is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        version: str,
        batch_size: int = 8,
        beside: "Predictor | None" = None,
        documents: Path | None = None,
    ) -> None:
        info = read_info(folder)
        self.task = TASKS[info.task]
        if not (folder / CATALOGUE).is_file():
            raise ServingError(
                f"{folder}: expected {CATALOGUE} beside the adapter, found no such file; serve the "
                "folder of a train, tune or calibrate step"
            )
        catalogue = Catalogue.read(folder / CATALOGUE)
        self._names = catalogue.names
        calibration = read_calibration(folder)
        reads_notes = self.task.input_modality == "note"
        knowledge = _knowledge(present_release(catalogue.release)) if reads_notes else None
        self.reader = knowledge.reader if knowledge else None
        lists_all = len(catalogue) <= MOST_LABELS
        top_k = calibration.top_k if calibration else 10
        n_listed = min(len(catalogue) if lists_all else top_k, MOST_ANSWERS)
        shared = load_on_shared_base(beside.student, folder) if beside is not None else None
        self.student: Student = shared or load_student(folder)
        ranker = Ranker(
            self.student,
            catalogue.names,
            # The calibration holds only for the names that its own search scored, so a
            # calibrated student must search here with the same settings.
            top_k=top_k if calibration else n_listed,
            listed=n_listed,
            search=calibration.search if calibration else "auto",
            beam_width=calibration.beam_width if calibration else 16,
            temperature=calibration.temperature if calibration else 1.0,
            batch_size=batch_size,
            frozen=True,
        )
        self._ranker = with_look_ups(ranker, folder, catalogue, calibration, listed=n_listed)
        self.model = ModelInfo(
            name=name,
            version=version,
            coverage=calibration.coverage if calibration else None,
            ranking=ranked_by(folder),
        )
        index = read_documents(documents) if documents is not None and reads_notes else None
        self.has_documents = index is not None
        self._answerer = Answerer(
            catalogue,
            calibration,
            self.model,
            knowledge.ontology if knowledge else None,
            knowledge.explainer if knowledge else None,
            None if index is None else partial(find_documents, index=index, catalogue=catalogue),
        )

    @property
    def model_id(self) -> tuple[str, str]:
        """Name and version."""
        return self.model.name, self.model.version

    @property
    def image_side(self) -> int:
        """Longest side, in pixels, of images as the model sees them."""
        return seen_side(self.student.processor) or MEASURED_SIDE

    def warm_up(self) -> None:
        """Rank a sample once, so that the first request does not wait for one-time set-up."""
        self._rank([self._sample])

    def check(self) -> None:
        """Check that the model ranks a small sample.

        Raises:
            ServingError: the ranking is empty.
        """
        if not self._rank([self._sample])[0].labels:
            raise ServingError("expected a ranking of the sample input, found an empty one")

    def read_patient(self, request: DiagnoseRequest) -> Asked:
        """Parse a request about a patient; only a student of notes can.

        Raises:
            UnusableRequest: `wrong_model` if the student reads images, `no_documents` if it asks
                for documents and there are none, or as `PatientReader.read` says.
        """
        if self.reader is None:
            raise UnusableRequest("wrong_model", "this model answers about images")
        if request.explain == "documents" and not self.has_documents:
            raise UnusableRequest(
                "no_documents",
                "expected explain to be true or false, found documents, which this service does "
                "not have",
            )
        return self.reader.read(request)

    def read_image(self, data: bytes, options: Options) -> Asked:
        """Parse a request about an encoded image; it is decoded here and nowhere else.

        Other threads may compute answers meanwhile.

        Raises:
            UnusableRequest: see `api.requests.read_image`.
        """
        return read_image(data, options, self._image_prompt, self.image_side)

    def answer(self, requests: Mapping[str, Asked]) -> list[Answer]:
        """Answer requests; an answer does not depend on the other requests of the batch.

        Args:
            requests: request id -> parsed request.

        Returns:
            One answer per request, in the order of `requests`.
        """
        rankings = iter(self._rank([item for item in requests.values() if not item.is_empty]))
        return [
            self._answerer.nothing(request_id, item)
            if item.is_empty
            else self._answerer.answer(request_id, item, next(rankings))
            for request_id, item in requests.items()
        ]

    def _rank(self, asked: Sequence[Asked]) -> list[Ranking]:
        """Rank the catalogue for requests; look-ups get the findings as the request states them."""
        if isinstance(self._ranker, FusedRanker):
            findings = [(item.present, item.excluded) for item in asked]
            return self._ranker.rank([item.note for item in asked], findings=findings)
        prompts = [
            self.student.note_prompt(item.note) if item.image is None else item.image
            for item in asked
        ]
        return self._ranker.rank_prompts(prompts)

    def _image_prompt(self, image: ShownImage) -> Prompt:
        return self.student.image_prompt(image, self._names)

    # Made once: the processor of images then works in the thread that reads requests alone.
    @cached_property
    def _sample(self) -> Asked:
        if self.task.input_modality == "image":
            return self.read_image(sample_image(), Options())
        return Asked("Seizures.", present=(SEIZURE,))
