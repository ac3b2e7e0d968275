"""Cases from GA4GH phenopackets, version 2 (ISO 4454:2022), as protobuf JSON.

Every file becomes a case or a rejection with a reason; the content of one patient's file never
makes reading fail. Field names may be in camelCase or snake_case, and enumerations may be names
or numbers, as protobuf JSON allows. Of duplicated keys the last one counts.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mint_ray.cases.patients.phenopacket_files import MAX_MEMBER_BYTES, iter_members
from mint_ray.cases.patients.protobuf_json import (
    clean_text,
    get_enum,
    get_flag,
    get_list,
    get_object,
    get_objects,
    get_text,
    get_texts,
)
from mint_ray.cases.schema import Case, ParsedCase, RejectedCase, blank_case
from mint_ray.knowledge.ontology import Ontology

SOURCE = "phenopackets"


Reason = Literal[
    "unreadable",  # the file or archive member cannot be read
    "too_large",  # more than `MAX_MEMBER_BYTES`
    "not_json",  # not JSON, or nested too deeply to be read
    "not_a_phenopacket",  # JSON without the metaData object of a phenopacket
    "wrong_schema_version",  # metaData.phenopacketSchemaVersion is not 2.x
    "no_id",  # the phenopacket has no id
    "no_observed_features",  # no observed phenotypic feature that the ontology knows
    "duplicate_id",  # an earlier phenopacket of the same source has the same id
]
"""Reason for the rejection of a phenopacket."""


_SEXES: dict[str | int | None, str] = {"FEMALE": "female", "MALE": "male", 1: "female", 2: "male"}


# As the schema has it: whole numbers. Tables of users may hold decimals; see `note_phrases`.
_SCHEMA_AGE = re.compile(r"P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?")


_PUBLICATION = re.compile(r"(?:PMID|PUBMED):\s*0*(\d+)", re.IGNORECASE)


_PUBMED_PAGE = re.compile(r"(?:pubmed\.ncbi\.nlm\.nih\.gov|ncbi\.nlm\.nih\.gov/pubmed)/0*(\d+)")


_CHANGE = re.compile(r"[cgmnopr]\.\S.*")  # an HGVS description without its reference sequence


_CURIE = re.compile(r"([A-Za-z][\w.]*):([\w.-]+)", re.ASCII)


_PREFIXES = {"ORPHANET": "ORPHA", "MIM": "OMIM"}


def read_phenopackets(path: Path, ontology: Ontology) -> Iterator[ParsedCase | RejectedCase]:
    """Yield every phenopacket of a file, folder or ZIP archive, as a case or a rejection.

    Case ids are unique: a phenopacket that repeats an earlier id is a rejection.

    Raises:
        DataError: see `iter_members`.
    """
    outcomes = (parse_phenopacket(raw, name, ontology) for name, raw in iter_members(path))
    return reject_duplicates(outcomes)


def reject_duplicates(
    outcomes: Iterable[ParsedCase | RejectedCase],
) -> Iterator[ParsedCase | RejectedCase]:
    """Turn every case that repeats an earlier id into a rejection; pass on the others."""
    earlier_ids: set[str] = set()
    for outcome in outcomes:
        if isinstance(outcome, RejectedCase):
            yield outcome
            continue
        case_id = outcome.case["case_id"]
        source = outcome.case["source"]
        repeated = case_id in earlier_ids
        yield _turned_away(case_id, "duplicate_id", source) if repeated else outcome
        earlier_ids.add(case_id)


def parse_phenopacket(
    raw: bytes | None, member: str, ontology: Ontology
) -> ParsedCase | RejectedCase:
    """Parse one phenopacket into a case or a rejection; never raise, whatever the bytes are.

    Args:
        raw: content of the file; None if it could not be read.
        member: name of the file, for rejections.
        ontology: resolves retired ids and recognises those that are not phenotypes.
    """
    name = clean_text(member)
    if raw is None:
        return _turned_away(name, "unreadable")
    if len(raw) > MAX_MEMBER_BYTES:
        return _turned_away(name, "too_large")
    try:
        packet = json.loads(raw)
    except (ValueError, RecursionError):
        return _turned_away(name, "not_json")
    return parse_packet(packet, name, ontology)


def _turned_away(case_id: str, reason: Reason, source: str = SOURCE) -> RejectedCase:
    return RejectedCase(case_id, source, reason)


def parse_packet(packet: Any, member: str, ontology: Ontology) -> ParsedCase | RejectedCase:
    """Convert one phenopacket that is already read from JSON; see `parse_phenopacket`."""
    meta = get_object(packet, "meta_data")
    case_id = get_text(packet, "id")
    reason: Reason | None = None
    if not meta:
        reason = "not_a_phenopacket"
    elif not re.match(r"2(\.|$)", get_text(meta, "phenopacket_schema_version")):
        # Version 1 says "negated" where version 2 says "excluded": it would be misread.
        reason = "wrong_schema_version"
    elif not case_id:
        reason = "no_id"
    if reason is not None:
        return _turned_away(case_id or member, reason)
    counts: Counter[str] = Counter()
    observed, excluded = _read_terms(packet, ontology, counts)
    if not observed:
        return _turned_away(case_id, "no_observed_features")
    diseases = _read_diseases(packet, counts)
    label_id, label_name = next(iter(diseases.items()), (None, None))
    publications = _read_publications(meta)
    subject = get_object(packet, "subject")
    case: Case = {
        **blank_case(case_id, SOURCE),
        "label_id": label_id,
        "label_name": label_name,
        "terms": observed,
        "excluded_terms": excluded,
        "sex": _SEXES.get(get_enum(subject, "sex"), "unknown"),
        "age": _read_age(subject, counts),
        "publications": publications,
    }
    forbidden = {*answer_strings(packet), *publications}
    # `+counts` drops the kinds that were counted 0 times.
    return ParsedCase(case, tuple(sorted(forbidden)), +counts)


def answer_strings(packet: Any) -> set[str]:
    """Return the disease names and ids, gene symbols and variants that a phenopacket states.

    Excluded diseases are left out. A variant gives its ids, labels and HGVS expressions, each
    with and without the reference sequence in front.
    """
    strings: set[str] = set()
    for interpretation in get_objects(packet, "interpretations"):
        diagnosis = get_object(interpretation, "diagnosis")
        strings |= get_texts(get_object(diagnosis, "disease"), "id", "label")
        for genomic in get_objects(diagnosis, "genomic_interpretations"):
            strings |= get_texts(get_object(genomic, "gene"), "symbol", "value_id")
            variant = get_object(genomic, "variant_interpretation")
            strings |= _variant_strings(get_object(variant, "variation_descriptor"))
    for disease in get_objects(packet, "diseases"):
        if not get_flag(disease, "excluded"):
            strings |= get_texts(get_object(disease, "term"), "id", "label")
    return strings


def _read_terms(
    packet: Any, ontology: Ontology, counts: Counter[str]
) -> tuple[list[str], list[str]]:
    """Return observed and excluded phenotypes: current ids, in file order, without repeats."""
    observed: dict[str, None] = {}
    excluded: dict[str, None] = {}
    for feature in get_list(packet, "phenotypic_features"):
        written = get_text(get_object(feature, "type"), "id")
        absent = get_flag(feature, "excluded")
        if not written or absent is None:
            counts["malformed_features"] += 1
            continue
        term = ontology.resolve(written)
        if term is None:
            counts["unknown_terms"] += 1
        elif not ontology.is_phenotype(term):
            counts["non_phenotype_terms"] += 1
        else:
            chosen = excluded if absent else observed
            counts["mapped_terms"] += term != written
            counts["repeated_terms"] += term in chosen
            chosen[term] = None
    counts["conflicting_terms"] += len(observed.keys() & excluded.keys())
    return list(observed), [term for term in excluded if term not in observed]


def _read_diseases(packet: Any, counts: Counter[str]) -> dict[str, str]:
    """Return disease id -> name: the diagnoses, else the diseases that are not excluded."""
    terms = [
        get_object(get_object(interpretation, "diagnosis"), "disease")
        for interpretation in get_objects(packet, "interpretations")
        # The diagnosis of an unsolved case is a hypothesis, not the answer.
        if get_enum(interpretation, "progress_status") not in ("UNSOLVED", 4)
    ]
    diseases = _by_id(terms) or _by_id(
        get_object(disease, "term")
        for disease in get_objects(packet, "diseases")
        if get_flag(disease, "excluded") is False
    )
    counts["several_diseases"] += len(diseases) > 1
    return diseases


def _by_id(terms: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for term in terms:
        match = _CURIE.fullmatch(get_text(term, "id"))
        if match:
            prefix = match[1].upper()
            label_id = f"{_PREFIXES.get(prefix, prefix)}:{match[2]}"
            names.setdefault(label_id, get_text(term, "label") or label_id)
    return names


def _read_age(subject: Mapping[str, Any], counts: Counter[str]) -> str | None:
    """Return the age at the last encounter as an ISO 8601 duration since birth.

    Any other statement is counted and gives None: a gestational age is before birth, and an age
    range or a stage of life ("Adult onset") is not a duration.
    """
    stated = get_object(subject, "time_at_last_encounter")
    age = get_text(get_object(stated, "age"), "iso8601duration")
    if _SCHEMA_AGE.fullmatch(age):
        return age
    counts["unmapped_age"] += bool(stated)
    return None


def _read_publications(meta: Mapping[str, Any]) -> list[str]:
    """Return the PubMed ids ("PMID:123") among the external references, sorted."""
    publications = set()
    for reference in get_objects(meta, "external_references"):
        match = _PUBLICATION.fullmatch(get_text(reference, "id"))
        match = match or _PUBMED_PAGE.search(get_text(reference, "reference"))
        if match:
            publications.add(f"PMID:{match[1]}")
    return sorted(publications)


def _variant_strings(descriptor: Mapping[str, Any]) -> set[str]:
    expressions = get_objects(descriptor, "expressions")
    written = get_texts(descriptor, "id", "label").union(
        *(get_texts(e, "value") for e in expressions)
    )
    # Texts write "NM_000001.1:c.10C>T" as "c.10C>T" too.
    changes = {text.rpartition(":")[2].strip() for text in written}
    gene = get_texts(get_object(descriptor, "gene_context"), "symbol", "value_id")
    return written | gene | {change for change in changes if _CHANGE.match(change)}
