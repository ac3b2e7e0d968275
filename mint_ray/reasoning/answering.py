"""Answering of cases as the settings say: the note that is read, the search, the protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from mint_ray.config.baselines.reasoning import ReasoningConfig
from mint_ray.config.baselines.retrieval import RetrievalConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.reasoning.engine import ChatModel, Dialogue, Limits, dialogue, run_cases, shown
from mint_ray.reasoning.noise import noisy_note, systems_of, terms_note
from mint_ray.reasoning.protocols import PROTOCOLS
from mint_ray.reasoning.records import CaseRecord, Names, grounded
from mint_ray.reasoning.wording import LIST_LENGTH, Wording
from mint_ray.retrieval.index import DocumentIndex, Hit
from mint_ray.tasks.prompts import clean_note

RETRIEVER = "retriever"
"""System that asks nothing: the documents that are found are the answer."""

COLUMNS = ("note", "terms", "excluded_terms")
"""Columns of a case that are read."""

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field(
            "transcript",
            pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
            nullable=False,
        ),
        pa.field(
            "documents",
            pa.list_(
                pa.struct(
                    [
                        ("id", pa.string()),
                        ("title", pa.string()),
                        ("part", pa.int32()),
                        ("score", pa.float64()),
                    ]
                )
            ),
            nullable=False,
        ),
        pa.field("names", pa.list_(pa.string()), nullable=False),  # as answered, best first
        pa.field("labels", pa.list_(pa.string()), nullable=False),  # of the names, null for none
        pa.field("problem", pa.string()),  # why there is no answer; null where there is one
        pa.field("shortened", pa.bool_(), nullable=False),  # the note lost its tail
    ]
)
"""One row for each case; it holds text of the note."""


def answer_row(record: CaseRecord, lookup: Names) -> dict[str, Any]:
    """Return the row of `ANSWER_SCHEMA` of a record."""
    return {**record.as_row(), "labels": grounded(record.names, lookup)}


def record_of(row: Mapping[str, Any]) -> CaseRecord:
    """Return the record of a row of `ANSWER_SCHEMA`."""
    return CaseRecord.of_row({name: value for name, value in row.items() if name != "labels"})


class CaseAnswerer:
    """Answers to cases by one protocol.

    Args:
        settings: of the protocol and the note.
        search: of the documents.
        wording: words of the task.
        catalogue: labels that may be answered.
        ontology: names of findings.
        index: of the documents.
        chat: model that is asked; may be None for the retriever alone.
        seed: of the noise.
    """

    def __init__(
        self,
        settings: ReasoningConfig,
        search: RetrievalConfig,
        wording: Wording,
        catalogue: Catalogue,
        ontology: Ontology,
        index: DocumentIndex,
        chat: ChatModel | None,
        seed: int,
    ) -> None:
        self._settings, self._search, self._wording = settings, search, wording
        self._catalogue, self._ontology, self._index = catalogue, ontology, index
        self._chat, self._seed = chat, seed
        self._limits = Limits(settings.note_words, settings.document_words)

    def answer(self, cases: Sequence[Mapping[str, Any]]) -> list[CaseRecord]:
        """Return the records of cases, which the model is asked about at a time.

        Args:
            cases: each with `case_id` and `COLUMNS`.
        """
        if self._settings.protocol == RETRIEVER:
            return [self._ranked(case["case_id"], self._note(case)) for case in cases]
        assert self._chat is not None  # every other protocol has one
        return run_cases(
            [self._dialogue(case) for case in cases], self._chat, self._settings.turn_tokens
        )

    def _dialogue(self, case: Mapping[str, Any]) -> Dialogue:
        protocol, note = PROTOCOLS[self._settings.protocol], self._note(case)
        return dialogue(
            case["case_id"], note, protocol, self._wording, self._retrieve, self._limits
        )

    def _note(self, case: Mapping[str, Any]) -> str:
        note: str = case["note"]
        present, excluded = case["terms"] or (), case["excluded_terms"] or ()
        if self._settings.note == "terms":
            return terms_note(present, excluded, self._ontology)
        if self._settings.note == "noisy":
            return noisy_note(note, self._seed, systems_of(present, self._ontology))
        return note

    def _retrieve(self, query: str) -> list[Hit]:
        search = self._search
        return self._index.retrieve(query, search.documents, search.method, search.rerank_of)

    def _ranked(self, case_id: str, note: str) -> CaseRecord:
        """Answer with the labels of the documents that are found, in their order."""
        query = clean_note(note)
        if not query:
            return CaseRecord(case_id, RETRIEVER, (), (), (), "empty_note")
        ranked = self._index.rank(query, method=self._search.method)
        indices = (self._catalogue.index_of(found.id) for found in ranked)
        labels = list(dict.fromkeys(i for i in indices if i is not None))[:LIST_LENGTH]
        names = tuple(self._catalogue.names[i] for i in labels)
        documents = tuple(map(shown, self._retrieve(query)))
        return CaseRecord(case_id, RETRIEVER, (), documents, names)
