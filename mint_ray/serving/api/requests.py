"""What may be asked, and what a student is shown of it.

Every limit here is a constant with a name: a request that breaks one gets a typed refusal.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mint_ray.cases.patients.notes import write_note
from mint_ray.cases.patients.phenopackets import parse_packet
from mint_ray.cases.schema import Case, RejectedCase, blank_case
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import ServingError
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.note_findings import FindingReader, present_and_excluded
from mint_ray.knowledge.ontology import Ontology

MOST_NOTE_CHARACTERS = 100_000
MOST_TERMS = 500
MOST_ANSWERS = 100
MOST_IMAGE_BYTES = 20 * 2**20
MOST_IMAGE_CHARACTERS = 4 * (MOST_IMAGE_BYTES // 3 + 1)
MOST_PACKET_BYTES = 2 * 2**20

NO_WORDS = "the note has no words"
NO_FINDING = "no finding of the Human Phenotype Ontology was read in the note as present"

Term = Annotated[str, Field(max_length=32)]


class UnusableRequest(ServingError):  # noqa: N818 - a request's fate, not a failure
    """A request that cannot be answered; `reason` is a word, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Options(BaseModel):
    """How much to answer."""

    model_config = ConfigDict(extra="forbid")

    top_k: int = Field(10, ge=1, le=MOST_ANSWERS, description="Answers to list.")
    explain: bool = Field(False, description="Findings for and against each answer.")
    model: str | None = Field(
        None, max_length=200, description="One of `/v1/models`; by default the first of its kind."
    )


class DiagnoseRequest(Options):
    """A patient: a note, or a GA4GH phenopacket (version 2), or HPO terms. One of the three."""

    note: str | None = Field(None, max_length=MOST_NOTE_CHARACTERS, description="Free text.")
    phenopacket: dict[str, Any] | None = Field(None, description="GA4GH phenopacket, version 2.")
    terms: list[Term] | None = Field(None, max_length=MOST_TERMS, description="HPO ids.")
    excluded_terms: list[Term] = Field(
        default_factory=list,
        max_length=MOST_TERMS,
        description="HPO ids of findings that were looked for and are absent; beside `terms`.",
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> "DiagnoseRequest":
        kinds = {"note": self.note, "phenopacket": self.phenopacket, "terms": self.terms}
        given = [name for name, value in kinds.items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected one of note, phenopacket, terms; found {', '.join(given) or 'none'}"
            )
        if self.excluded_terms and self.terms is None:
            raise ValueError("excluded_terms goes with terms; a note or a phenopacket says its own")
        return self


class TissueRequest(Options):
    """An image as base64."""

    image: str = Field(
        max_length=MOST_IMAGE_CHARACTERS, description="PNG, JPEG, WebP or TIFF, base64."
    )


@dataclass(frozen=True)
class NoteSpan:
    """A finding that was read in the note, for highlighting: `note[start:end]`."""

    term: str
    start: int
    end: int
    excluded: bool


@dataclass(frozen=True)
class Asked:
    """What a student is shown (a note, or an encoded image), and what is known beside it."""

    student_input: str | bytes
    present: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    spans: tuple[NoteSpan, ...] = ()
    top_k: int = 10
    explain: bool = False
    caveat: str | None = None
    """Why the catalogue may hold no right answer, known before a model is asked."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that a model could be shown."""
        return not self.student_input


class PatientReader:
    """Turns requests into notes and findings.

    Args:
        ontology: of the findings.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        self._findings = FindingReader(ontology)
        self._settings = CasesConfig(modalities="text_only")

    def read(self, request: DiagnoseRequest) -> Asked:
        """What the student is asked.

        Raises:
            UnusableRequest: `unknown_terms`, `no_findings`, or why a phenopacket is turned
                away (`phenopackets.Reason`).
        """
        if request.note is not None:
            return self._from_note(request.note, request)
        if request.phenopacket is not None:
            return self._from_packet(request.phenopacket, request)
        return self._from_terms(request)

    def _from_note(self, note: str, options: Options) -> Asked:
        if not any(character.isalnum() for character in note):
            return Asked("", top_k=options.top_k, explain=options.explain, caveat=NO_WORDS)
        found = self._findings.read(note)
        present, excluded = present_and_excluded(found)
        places = tuple(NoteSpan(item.term, item.start, item.end, item.excluded) for item in found)
        asked = _asked(note, present, excluded, options, places)
        return asked if present else replace(asked, caveat=NO_FINDING)

    def _from_packet(self, packet: Mapping[str, Any], options: Options) -> Asked:
        if len(json.dumps(packet)) > MOST_PACKET_BYTES:
            raise UnusableRequest("too_large", f"expected at most {MOST_PACKET_BYTES} bytes")
        parsed = parse_packet(packet, "request", self._ontology)
        if isinstance(parsed, RejectedCase):
            raise UnusableRequest(
                parsed.reason, f"the phenopacket cannot be used: {parsed.reason.replace('_', ' ')}"
            )
        return self._from_case(parsed.case, options)

    def _from_terms(self, request: DiagnoseRequest) -> Asked:
        present = self._resolved(request.terms or [])
        excluded = [term for term in self._resolved(request.excluded_terms) if term not in present]
        if not present:
            raise UnusableRequest(
                "no_findings", "expected at least one finding in terms, found none"
            )
        case = blank_case("request", "request")
        case |= {"terms": present, "excluded_terms": excluded}
        return self._from_case(case, request)

    def _from_case(self, case: Case, options: Options) -> Asked:
        note = write_note(case, self._ontology, self._settings, seed=0)
        return _asked(note, case["terms"], case["excluded_terms"], options)

    def _resolved(self, terms: Iterable[str]) -> list[str]:
        found = {term: self._ontology.resolve(term.strip().upper()) for term in terms}
        unknown = [term for term, known in found.items() if known is None]
        if unknown:
            raise UnusableRequest(
                "unknown_terms",
                f"{len(unknown)} of {len(found)} terms are no HPO ids of release "
                f"{self._ontology.version}; expected ids such as HP:0001250",
            )
        return list(dict.fromkeys(term for term in found.values() if term is not None))


def read_image(data: bytes, options: Options) -> Asked:
    """An image that can be shown.

    Raises:
        UnusableRequest: `too_large`, or why it cannot be decoded (`images.decode`).
    """
    if len(data) > MOST_IMAGE_BYTES:
        raise UnusableRequest("too_large", f"expected an image of at most {MOST_IMAGE_BYTES} bytes")
    opened = open_tile(data)
    if isinstance(opened, str):
        raise UnusableRequest(opened, f"the image cannot be used: {opened.replace('_', ' ')}")
    return Asked(data, top_k=options.top_k, explain=options.explain)


def decode_image(text: str) -> bytes:
    """The bytes of a base64 image.

    Raises:
        UnusableRequest: `not_base64`.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusableRequest(
            "not_base64", "expected an image as base64, found other characters"
        ) from (error)


def _asked(
    note: str,
    present: Iterable[str],
    excluded: Iterable[str],
    options: Options,
    spans: tuple[NoteSpan, ...] = (),
) -> Asked:
    return Asked(note, tuple(present), tuple(excluded), spans, options.top_k, options.explain)
