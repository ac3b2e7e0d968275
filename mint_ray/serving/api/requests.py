"""Requests of the service: validation, and conversion to the input of a student.

A request that exceeds one of the limits below is refused with a machine-readable reason.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mint_ray.cases.patients.clinical_notes.language import NOT_ENGLISH, is_not_english
from mint_ray.cases.patients.notes import write_note
from mint_ray.cases.patients.phenopackets import parse_packet
from mint_ray.cases.schema import Case, RejectedCase, blank_case
from mint_ray.config.cases import CasesConfig
from mint_ray.errors import ServingError
from mint_ray.images.morphology import MICRONS_PER_PIXEL, describe, measure
from mint_ray.images.stained import looks_stained
from mint_ray.knowledge.ids import read_term_id
from mint_ray.knowledge.notes.findings import load_reader, present_and_excluded
from mint_ray.knowledge.ontology import Ontology
from mint_ray.students.encoding.images import ShownImage, show
from mint_ray.students.encoding.prompt import Prompt
from mint_ray.students.encoding.text import UnusableRow

MOST_NOTE_CHARACTERS = 100_000
MOST_TERMS = 500
MOST_ANSWERS = 100
MOST_IMAGE_BYTES = 20 * 2**20
MOST_IMAGE_CHARACTERS = 4 * (MOST_IMAGE_BYTES // 3 + 1)
MOST_PACKET_BYTES = 2 * 2**20
MEASURED_SIDE = 512
"""Longest side, in pixels, at which images are measured where the model's own is unknown."""

NO_WORDS = "the note has no words"
NOT_STAINED = "the image does not have the colours of haematoxylin and eosin"
NO_FINDING = "no finding of the Human Phenotype Ontology was read in the note as present"

_DROPPED = {
    "unknown_terms": "of the phenotypic features are not known in HPO release {release}",
    "non_phenotype_terms": "of the phenotypic features are no phenotypic abnormalities",
    "malformed_features": "of the phenotypic features cannot be read",
}
"""Kinds of findings that are dropped from a phenopacket, in words behind their number."""

Term = Annotated[str, Field(max_length=32)]


class UnusableRequest(ServingError):  # noqa: N818 - a request's fate, not a failure
    """A request that cannot be answered: `reason` is a code, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Options(BaseModel):
    """Options of every request: number of answers, evidence, model."""

    model_config = ConfigDict(extra="forbid")

    top_k: int = Field(10, ge=1, le=MOST_ANSWERS, description="Answers to list.")
    explain: bool | Literal["documents"] = Field(
        False,
        description="Findings for and against each answer; with `documents` also the documents "
        "that share words with the note.",
    )
    model: str | None = Field(
        None, max_length=200, description="One of `/v1/models`; by default the first of its kind."
    )


class DiagnoseRequest(Options):
    """A patient, as exactly one of: a note, a GA4GH phenopacket (version 2), HPO terms."""

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
            raise ValueError(
                "expected excluded_terms only beside terms; a note or a phenopacket states its own "
                "absent findings"
            )
        return self


class TissueRequest(Options):
    """A tissue image, encoded as base64."""

    image: str = Field(
        max_length=MOST_IMAGE_CHARACTERS, description="PNG, JPEG, WebP or TIFF, base64."
    )


@dataclass(frozen=True)
class NoteSpan:
    """A finding with its characters in the note, `note[start:end]`, for highlighting."""

    term: str
    start: int
    end: int
    excluded: bool


@dataclass(frozen=True)
class Asked:
    """A parsed request: the student's input (a note, or the prompt of an image) and options."""

    note: str = ""
    image: Prompt | None = None
    """The prompt of an image. The image itself is not kept: decoded, a large one takes 120 MB, and
    a queue holds many."""
    present: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    spans: tuple[NoteSpan, ...] = ()
    top_k: int = 10
    explain: bool = False
    documents: bool = False
    """Also list the documents that are found for the note."""
    caveat: str | None = None
    """Why the catalogue may lack the right answer, as far as known before a model runs."""
    left_out: tuple[str, ...] = ()
    """Findings that the written note has no room for, so that the student does not see them."""
    notices: tuple[str, ...] = ()
    """Sentences about findings that were dropped while the request was read."""
    morphology: str | None = None
    """Description of the morphology that was measured in an image."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no input for a model."""
        return not self.note and self.image is None


class PatientReader:
    """Parser of requests about patients into notes and findings.

    Args:
        ontology: ontology of the findings.
    """

    def __init__(self, ontology: Ontology) -> None:
        self._ontology = ontology
        self._findings = load_reader(ontology)
        self._settings = CasesConfig(modalities="text_only")

    def read(self, request: DiagnoseRequest) -> Asked:
        """Parse a request into the input of a student.

        Raises:
            UnusableRequest: `unknown_terms`, `not_a_phenotype`, `no_findings`, or the reason why a
                phenopacket is rejected (`cases.patients.phenopackets.Reason`).
        """
        if request.note is not None:
            return self._from_note(request.note, request)
        if request.phenopacket is not None:
            return self._from_packet(request.phenopacket, request)
        return self._from_terms(request)

    def _from_note(self, note: str, options: Options) -> Asked:
        if not any(character.isalnum() for character in note):
            return replace(_asked("", (), (), options), caveat=NO_WORDS)
        findings = self._findings.read(note)
        present, excluded = present_and_excluded(findings)
        spans = tuple(NoteSpan(item.term, item.start, item.end, item.excluded) for item in findings)
        parsed = _asked(note, present, excluded, options, spans)
        doubts = [f"the note is {NOT_ENGLISH}"] * is_not_english(note) + [NO_FINDING] * (
            not present
        )
        return replace(parsed, caveat="; ".join(doubts)) if doubts else parsed

    def _from_packet(self, packet: Mapping[str, Any], options: Options) -> Asked:
        parsed = parse_packet(packet, "request", self._ontology)
        if isinstance(parsed, RejectedCase):
            raise UnusableRequest(
                parsed.reason, f"the phenopacket cannot be used: {parsed.reason.replace('_', ' ')}"
            )
        notices = tuple(
            f"{count} {text.format(release=self._ontology.version)}"
            for kind, text in _DROPPED.items()
            if (count := parsed.counts.get(kind, 0))
        )
        return replace(self._from_case(parsed.case, options), notices=notices)

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
        present, excluded = case["terms"], case["excluded_terms"]
        most = self._settings.note_max_terms
        # The wording is drawn by the case's id. The findings stand in its place here. They are
        # sorted before those without room are cut, so that the same patient gets the same note, and
        # the same answer, under every id and however the findings are listed.
        stated = sorted(present)[:most]
        denied = sorted(excluded)[: min(self._settings.note_excluded_terms, most - len(stated))]
        told = {*stated, *denied}
        drawn_by = "/".join(" ".join(sorted(terms)) for terms in (present, excluded))
        shown = {**case, "case_id": drawn_by, "terms": stated, "excluded_terms": denied}
        note = write_note(cast(Case, shown), self._ontology, self._settings, seed=0)
        return replace(
            _asked(note, present, excluded, options),
            left_out=tuple(t for t in (*present, *excluded) if t not in told),
        )

    def _resolved(self, terms: Iterable[str]) -> list[str]:
        resolved = {term: self._ontology.resolve(read_term_id(term) or "") for term in terms}
        unknown = [term for term, current in resolved.items() if current is None]
        if unknown:
            raise UnusableRequest(
                "unknown_terms",
                f"{len(unknown)} of {len(resolved)} terms are not HPO ids of release "
                f"{self._ontology.version}; expected ids such as HP:0001250",
            )
        known = list(dict.fromkeys(term for term in resolved.values() if term is not None))
        others = [term for term in known if not self._ontology.is_phenotype(term)]
        if others:
            raise UnusableRequest(
                "not_a_phenotype",
                f"{len(others)} of {len(known)} terms are no phenotypic abnormalities, but roots, "
                "modes of inheritance or the like; expected terms below HP:0000118",
            )
        return known


def read_image(
    data: bytes,
    options: Options,
    prompt: Callable[[ShownImage], Prompt],
    side: int = MEASURED_SIDE,
) -> Asked:
    """Check an encoded image and return the parsed request.

    The image is decoded here and nowhere else. Its colours are judged from the same pixels, and
    with `explain` its morphology is measured, at the size at which the model sees them: a slide of
    forty megapixels would take half a minute and gigabytes.

    Args:
        data: encoded image.
        options: options of the request.
        prompt: makes the student's prompt of the decoded image.
        side: longest side, in pixels, at which the image is judged and measured.

    Raises:
        UnusableRequest: `too_large`, `no_documents` (they are found for notes alone), or the reason
            why it cannot be decoded (`images.decode`).
    """
    if options.explain == "documents":
        raise UnusableRequest(
            "no_documents", "expected explain to be true or false for an image, found documents"
        )
    if len(data) > MOST_IMAGE_BYTES:
        raise UnusableRequest("too_large", f"expected an image of at most {MOST_IMAGE_BYTES} bytes")
    try:
        image = show(data)
    except UnusableRow as error:
        text = f"the image cannot be used: {error.reason.replace('_', ' ')}"
        raise UnusableRequest(error.reason, text) from error
    encoded, width = prompt(image), image.pixels.width
    image.pixels.thumbnail((side, side))  # in place, which saves a copy; the prompt is made already
    pixels = np.asarray(image.pixels)
    scale = MICRONS_PER_PIXEL * width / image.pixels.width
    return Asked(
        image=encoded,
        top_k=options.top_k,
        explain=bool(options.explain),
        caveat=None if looks_stained(pixels) else NOT_STAINED,
        morphology=describe(measure(pixels, microns_per_pixel=scale)) if options.explain else None,
    )


def decode_image(text: str) -> bytes:
    """Decode a base64 image to its bytes (PNG, JPEG, WebP or TIFF, not checked here).

    Raises:
        UnusableRequest: `not_base64`.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnusableRequest(
            "not_base64", "expected an image as base64, found other characters"
        ) from error


def _asked(
    note: str,
    present: Iterable[str],
    excluded: Iterable[str],
    options: Options,
    spans: tuple[NoteSpan, ...] = (),
) -> Asked:
    return Asked(
        note=note,
        present=tuple(present),
        excluded=tuple(excluded),
        spans=spans,
        top_k=options.top_k,
        explain=bool(options.explain),
        documents=options.explain == "documents",
    )
