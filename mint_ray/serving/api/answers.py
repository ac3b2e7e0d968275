"""Answers of the service: ranked catalogue entries, calibrated probabilities and evidence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from mint_ray.config.promotion import RankedBy
from mint_ray.evaluation.calibration.calibrator import AnswerCalibration
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.evidence import Evidence, Explainer
from mint_ray.knowledge.ontology import Ontology
from mint_ray.serving.api.found import DocumentModel
from mint_ray.serving.api.requests import Asked
from mint_ray.students.ranking.rankings import Ranking

MOST_EVIDENCE = 8
"""Most findings of each kind (supports, missing, contradicts) in an explanation."""
NOT_CALIBRATED = (
    "the model has no calibration: whether the catalogue may lack the right answer was judged by "
    "the input alone, and probabilities are the model's own"
)
NO_FIT = "no entry of the catalogue fits as well as the best one usually does"
INTENDED_USE = (
    "For research, and as a second opinion of people who are trained to judge it. No medical "
    "device. An answer can only be an entry of the catalogue."
)


class FindingModel(BaseModel):
    """A finding of the patient, with its position in the note."""

    id: str
    name: str
    excluded: bool = False
    start: int | None = Field(None, description="First character in the note.")
    end: int | None = Field(None, description="One past the last character in the note.")


class EvidenceModel(BaseModel):
    """A finding for or against an answer."""

    id: str = Field(description="The patient's term, or the disease's where it is missing.")
    name: str
    annotated_id: str = Field(description="The disease's term.")
    annotated_name: str
    match: str = Field(description="exact, more_specific or more_general than the annotation.")
    frequency: float = Field(description="Share of patients with the disease who have it.")
    weight: float = Field(description="Frequency times information content, in nats.")


class ExplanationModel(BaseModel):
    """Evidence from annotations of the Human Phenotype Ontology; the student does not use it."""

    supports: list[EvidenceModel]
    missing: list[EvidenceModel]
    contradicts: list[EvidenceModel]
    unexplained: list[FindingModel]


class Entry(BaseModel):
    """A ranked entry of the catalogue."""

    rank: int
    id: str
    name: str
    ids: list[str] = Field(description="All its ids, of every namespace.")
    probability: float = Field(description="Calibrated where the model has a calibration.")
    in_set: bool | None = Field(description="Inside the conformal set; null without calibration.")
    explanation: ExplanationModel | None = None


class NoneOfThese(BaseModel):
    """Signs that the catalogue may lack the right answer."""

    p_value: float | None = Field(
        description="How often the best answer fits as badly where the catalogue has the right one."
    )
    flagged: bool = Field(
        description="No finding was read, the note is not in English, the image does not have the "
        "colours of stained tissue, or the p-value is at most 1 less the coverage, which needs a "
        "calibration."
    )
    reason: str | None = Field(description="Why it is flagged.")


class ModelInfo(BaseModel):
    """The model that answered."""

    name: str
    version: str
    coverage: float | None = Field(description="Coverage that the conformal sets were made for.")
    ranking: RankedBy = Field(
        "student",
        description="`student`: the language model alone. `fused`: joined with look-ups on the "
        "findings, by disease annotations or similar patients.",
    )


class Answer(BaseModel):
    """The answer to one request: a ranking and its context."""

    request_id: str
    model: ModelInfo
    ranking: list[Entry]
    set_size: int | None = Field(
        description="Entries in the conformal set, including those that are not listed."
    )
    none_of_these: NoneOfThese
    findings: list[FindingModel] = Field(description="What was read of the patient.")
    left_out: list[FindingModel] = Field(
        default_factory=list,
        description="Findings of `findings` that the model was not shown, because the note that is "
        "written from them has no room.",
    )
    notices: list[str] = Field(
        default_factory=list,
        description="What was dropped while the request was read, or could not be judged.",
    )
    documents: list[DocumentModel] | None = Field(
        None,
        description="What was found for the note, best first; null unless it was asked for. The "
        "ranking does not depend on it.",
    )
    morphology: str | None = Field(None, description="What was measured in an image.")
    shortened: bool = Field(description="The note was too long for the model: its tail was cut.")
    intended_use: str = INTENDED_USE


@dataclass(frozen=True)
class Refusal:
    """The reply to a request that a model cannot answer: for programs, for people, for HTTP."""

    reason: str
    message: str
    status: int = 422


Reply = Answer | Refusal
"""What a model's replica replies. Between processes both travel as they are: validated where they
were made, and not again."""


@dataclass(frozen=True)
class Answerer:
    """Builder of answers from rankings; it runs no model."""

    catalogue: Catalogue
    calibration: AnswerCalibration | None
    model: ModelInfo
    ontology: Ontology | None = None
    explainer: Explainer | None = None
    find: Callable[[str], list[DocumentModel]] | None = None
    """Search for documents with a note."""

    def answer(self, request_id: str, asked: Asked, ranking: Ranking) -> Answer:
        """Build the answer to a request from the ranking of its input."""
        probabilities = np.array(ranking.probabilities)
        in_set = self.calibration.contains(probabilities) if self.calibration else None
        entries = [
            self._entry(rank, self.catalogue.label(label), p, in_set, asked)
            for rank, (label, p) in enumerate(
                zip(ranking.labels, ranking.probabilities, strict=True), 1
            )
            if rank <= asked.top_k
        ]
        best = float(probabilities[0])
        fit = self.calibration.fit_of_best(best) if self.calibration else None
        caveat = asked.caveat
        if caveat is None and self.calibration and self.calibration.fits_none(best):
            caveat = NO_FIT
        return Answer(
            request_id=request_id,
            model=self.model,
            ranking=entries,
            set_size=self._set_size(ranking),
            none_of_these=NoneOfThese(p_value=fit, flagged=caveat is not None, reason=caveat),
            findings=self._findings(asked),
            left_out=[
                self._finding(term, excluded=term in asked.excluded) for term in asked.left_out
            ],
            notices=[*asked.notices, *([] if self.calibration else [NOT_CALIBRATED])],
            documents=self.find(asked.note) if asked.documents and self.find else None,
            morphology=asked.morphology,
            shortened=ranking.shortened,
        )

    def _set_size(self, ranking: Ranking) -> int | None:
        if self.calibration is None:
            return None
        return self.calibration.set_size(np.array(ranking.scored), len(self.catalogue))

    def nothing(self, request_id: str, asked: Asked) -> Answer:
        """Build the answer to a request whose input is empty, so that no model was run."""
        return Answer(
            request_id=request_id,
            model=self.model,
            ranking=[],
            set_size=None if self.calibration is None else 0,
            none_of_these=NoneOfThese(p_value=None, flagged=True, reason=asked.caveat),
            findings=[],
            documents=[] if asked.documents else None,
            shortened=False,
        )

    def _entry(
        self,
        rank: int,
        label: Label,
        probability: float,
        in_set: np.ndarray | None,
        asked: Asked,
    ) -> Entry:
        return Entry(
            rank=rank,
            id=label.label_id,
            name=label.name,
            ids=list(label.ids),
            probability=probability,
            in_set=None if in_set is None else bool(in_set[rank - 1]),
            explanation=self._explain(label, asked) if asked.explain else None,
        )

    def _explain(self, label: Label, asked: Asked) -> ExplanationModel | None:
        if self.explainer is None:
            return None
        explanation = self.explainer.explain(label.ids, asked.present, asked.excluded)
        return ExplanationModel(
            supports=self._evidence(explanation.supports),
            missing=self._evidence(explanation.missing),
            contradicts=self._evidence(explanation.contradicts),
            unexplained=[self._finding(term) for term in explanation.unexplained],
        )

    def _evidence(self, items: Sequence[Evidence]) -> list[EvidenceModel]:
        return [
            EvidenceModel(
                id=item.finding or item.annotated,
                name=self._name(item.finding or item.annotated),
                annotated_id=item.annotated,
                annotated_name=self._name(item.annotated),
                match=item.match,
                frequency=item.frequency,
                weight=item.weight,
            )
            for item in items[:MOST_EVIDENCE]
        ]

    def _findings(self, asked: Asked) -> list[FindingModel]:
        if asked.spans:
            return [
                FindingModel(
                    id=span.term,
                    name=self._name(span.term),
                    excluded=span.excluded,
                    start=span.start,
                    end=span.end,
                )
                for span in asked.spans
            ]
        return [
            *(self._finding(term) for term in asked.present),
            *(self._finding(term, excluded=True) for term in asked.excluded),
        ]

    def _finding(self, term: str, *, excluded: bool = False) -> FindingModel:
        return FindingModel(id=term, name=self._name(term), excluded=excluded)

    def _name(self, term: str) -> str:
        return self.ontology.name(term) if self.ontology is not None else term
