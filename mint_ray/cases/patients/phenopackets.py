"""Cases from GA4GH phenopackets, version 2 (ISO 4454:2022), as protobuf JSON.

Every phenopacket becomes a case or a rejection with a reason; the content of one patient's file
never makes reading fail. Field names may be in camelCase or snake_case, and enumerations may be
names or numbers, as protobuf JSON allows. Of duplicated keys the last one counts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from mint_ray.cases.findings import TermReader
from mint_ray.cases.patients.phenopacket_documents import (
    DocumentReason,
    Packet,
    Unread,
    collection_kind,
    read_packets,
)
from mint_ray.cases.patients.phenopacket_files import iter_members
from mint_ray.cases.patients.phenopacket_references import read_publications_of
from mint_ray.cases.patients.phenopacket_subject import read_subject_age, read_subject_sex
from mint_ray.cases.patients.protobuf_json import (
    clean_text,
    fold_key,
    get_enum,
    get_field,
    get_flag,
    get_list,
    get_object,
    get_objects,
    get_scalar,
    get_text,
    get_texts,
)
from mint_ray.cases.schema import Case, ParsedCase, RejectedCase, blank_case
from mint_ray.knowledge.grounding import DiseaseNames, disease_names
from mint_ray.knowledge.ids import is_gene_id, read_disease_ids, read_term_id
from mint_ray.knowledge.ontology import Ontology

SOURCE = "phenopackets"

PacketReason = Literal[
    "not_a_phenopacket",  # without the metaData object of a phenopacket
    "found_fhir",  # a FHIR resource
    "found_family",  # a family, where one patient is expected
    "found_cohort",  # a cohort, where one patient is expected
    "wrong_schema_version",  # metaData.phenopacketSchemaVersion is not 2.x
    "no_id",  # the phenopacket has no id
    "no_phenotypic_features_at_top",  # no phenotypicFeatures at the top; HPO terms elsewhere
    "no_observed_features",  # no observed phenotypic feature that the ontology knows
    "duplicate_id",  # an earlier phenopacket of the same source has the same id
]
Reason = DocumentReason | PacketReason
"""Reason for the rejection of a phenopacket or of a file."""

REASONS: tuple[str, ...] = (*get_args(DocumentReason), *get_args(PacketReason))

# Flags of a feature, and words of its status and modifiers, that say whether it was observed.
_ABSENT_FLAGS = ("excluded", "negated", "is_excluded", "is_negated", "absent", "not")
_PRESENT_FLAGS = ("observed", "present", "is_observed", "is_present")
_STATUSES = ("status", "assertion", "presence", "verification_status")
_ABSENT_WORDS = frozenset(
    "absent excluded negated negative no denied refuted false not_present not_observed".split()  # noqa: SIM905
)
_PRESENT_WORDS = frozenset(
    "present observed positive yes affirmed confirmed true active resolved inactive".split()  # noqa: SIM905
)
_MAY_DENY = ("frequency", "value")  # what else they say is no matter here
_EXCLUDED = "hp:0040285"  # HPO's term for it
_SAYING = frozenset(
    map(fold_key, (*_ABSENT_FLAGS, *_PRESENT_FLAGS, *_STATUSES, *_MAY_DENY, "modifiers"))
)

_SOLVED, _UNSOLVED = ("SOLVED", 3), ("UNSOLVED", 4)  # by name, and by number of version 2

_CHANGE = re.compile(r"[cgmnopr]\.\S.*")  # an HGVS description without its reference sequence

# Fields that may hold HPO terms which are not the patient's findings.
_NOT_FINDINGS = {
    "metadata",
    "diseases",
    "interpretations",
    "medicalactions",
    "measurements",
    "files",
}


def read_phenopackets(path: Path, ontology: Ontology) -> Iterator[ParsedCase | RejectedCase]:
    """Yield every phenopacket of a file, folder or ZIP archive, as a case or a rejection.

    Case ids are unique: a phenopacket that repeats an earlier id is a rejection.

    Raises:
        DataError: see `iter_members`.
    """
    outcomes = (
        outcome
        for name, raw in iter_members(path)
        for outcome in parse_phenopackets(raw, name, ontology)
    )
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


def parse_phenopackets(
    raw: bytes | None, member: str, ontology: Ontology
) -> list[ParsedCase | RejectedCase]:
    """Parse the phenopackets of a file into cases or rejections, whatever the bytes are.

    Args:
        raw: content of the file; None if it could not be read.
        member: name of the file, for rejections.
        ontology: resolves retired ids and recognises those that are not phenotypes.
    """
    return [
        _turned_away(item.name, item.reason) if isinstance(item, Unread) else _parse(item, ontology)
        for item in read_packets(raw, member)
    ]


def _turned_away(case_id: str, reason: Reason, source: str = SOURCE) -> RejectedCase:
    return RejectedCase(case_id, source, reason)


def parse_packet(packet: Any, member: str, ontology: Ontology) -> ParsedCase | RejectedCase:
    """Convert one phenopacket that is already read from JSON; see `parse_phenopackets`."""
    return _parse(Packet(packet, member), ontology)


def _parse(item: Packet, ontology: Ontology) -> ParsedCase | RejectedCase:
    packet = item.content
    case_id = get_scalar(packet, "id")
    reason = _misshapen(packet)
    if reason is not None:
        return _turned_away(case_id or item.name, reason)
    counts: Counter[str] = Counter(item.counted)
    observed, excluded = _read_terms(packet, ontology, counts)
    if not observed:
        elsewhere = not get_list(packet, "phenotypic_features") and _has_terms(packet)
        nothing: Reason = "no_phenotypic_features_at_top" if elsewhere else "no_observed_features"
        return _turned_away(case_id, nothing)
    diseases = _read_diseases(packet, ontology, counts)
    label_id, label_name = next(iter(diseases.items()), (None, None))
    publications, in_text = read_publications_of(packet, item.around, item.name)
    counts["publications_found_in_text"] += in_text
    subject = get_object(packet, "subject")
    case: Case = {
        **blank_case(case_id, SOURCE),
        "group_id": item.group or case_id,
        "label_id": label_id,
        "label_name": label_name,
        "terms": observed,
        "excluded_terms": excluded,
        "sex": read_subject_sex(subject, counts),
        "age": read_subject_age(subject, counts),
        "publications": publications,
    }
    forbidden = {*answer_strings(packet), *publications}
    # `+counts` drops the kinds that were counted 0 times.
    return ParsedCase(case, tuple(sorted(forbidden)), +counts, tuple(sorted(stated_genes(packet))))


def _misshapen(packet: Any) -> Reason | None:
    """Return why a message cannot be read as a phenopacket, if so."""
    meta = get_object(packet, "meta_data")
    collection = collection_kind(packet)
    if collection == "family":
        return "found_family"
    if collection == "cohort":
        return "found_cohort"
    if not meta:
        return "found_fhir" if get_text(packet, "resource_type") else "not_a_phenopacket"
    version = get_scalar(meta, "phenopacket_schema_version").lower().removeprefix("v").strip()
    if not re.match(r"2(\.|$)", version):
        return "wrong_schema_version"
    return None if get_scalar(packet, "id") else "no_id"


def answer_strings(packet: Any) -> set[str]:
    """Return the disease names and ids, gene symbols and variants that a phenopacket states.

    Excluded diseases are left out. A variant gives its ids, labels and HGVS expressions, each
    with and without the reference sequence in front.
    """
    strings: set[str] = set()
    for diagnosis in _diagnoses(packet):
        strings |= get_texts(_disease_of(diagnosis), "id", "label")
        for genomic in get_objects(diagnosis, "genomic_interpretations"):
            strings |= get_texts(get_object(genomic, "gene"), "symbol", "value_id")
            variant = get_object(genomic, "variant_interpretation")
            strings |= _variant_strings(get_object(variant, "variation_descriptor"))
    for disease in get_objects(packet, "diseases"):
        if not (get_flag(disease, "excluded") or get_flag(disease, "negated")):
            strings |= get_texts(get_object(disease, "term"), "id", "label")
    return strings


def stated_genes(packet: Any) -> set[str]:
    """Return symbols and ids of the genes that a phenopacket's interpretations name."""
    genes: set[str] = set()
    for diagnosis in _diagnoses(packet):
        for genomic in get_objects(diagnosis, "genomic_interpretations"):
            variant = get_object(genomic, "variant_interpretation")
            descriptor = get_object(variant, "variation_descriptor")
            for place in (get_object(genomic, "gene"), get_object(descriptor, "gene_context")):
                genes |= get_texts(place, "symbol", "value_id")
    return genes


def _diagnoses(packet: Any, *statuses: str | int | None) -> list[dict[str, Any]]:
    """Return the diagnoses of all interpretations, or of those with one of the statuses."""
    found = []
    for interpretation in get_objects(packet, "interpretations"):
        status = get_enum(interpretation, "progress_status")
        if status is None:  # version 1 calls it so
            status = get_enum(interpretation, "resolution_status")
        if not statuses or status in statuses:
            found += get_objects(interpretation, "diagnosis") or [{}]
    return found


def _disease_of(diagnosis: Mapping[str, Any]) -> dict[str, Any]:
    """Return the disease of a diagnosis, also where it stands in a message of its own."""
    disease = _term_of(diagnosis, "disease")
    return _term_of(disease, "term") or disease


def _read_terms(
    packet: Any, ontology: Ontology, counts: Counter[str]
) -> tuple[list[str], list[str]]:
    """Return observed and excluded phenotypes: current ids, in file order, without repeats.

    A feature that `_is_absent` cannot read may be either: it is dropped.
    """
    reader = TermReader(ontology, counts)
    observed: dict[str, None] = {}
    excluded: dict[str, None] = {}
    for feature in get_list(packet, "phenotypic_features"):
        feature = {"type": feature} if isinstance(feature, str) else feature
        named = _term_of(feature, "type") or feature  # some converters leave out "type"
        written, label = get_text(named, "id"), get_text(named, "label")
        is_absent = _is_absent(feature)
        if not (written or label) or is_absent is None:
            counts["malformed_features"] += 1
            continue
        term = reader.read(written, label)
        if term is not None:
            reader.add(excluded if is_absent else observed, term)
    return list(observed), reader.without_observed(excluded, observed)


def _is_absent(feature: Any) -> bool | None:
    """Return whether a feature was looked for and not found; None if it does not say so clearly.

    Version 1's `negated` means what version 2's `excluded` means. Converters also write
    `observed: false`, `status: absent`, or a modifier that is called "Absent".
    """
    stated = _SAYING.intersection(map(fold_key, feature)) if isinstance(feature, dict) else ()
    if not stated:
        return False

    def given(names: Iterable[str]) -> Iterator[str]:
        return (name for name in names if fold_key(name) in stated)

    flags = [get_flag(feature, name) for name in given(_ABSENT_FLAGS)]
    for name in given(_PRESENT_FLAGS):
        is_present = get_field(feature, name) is None or get_flag(feature, name)
        flags.append(None if is_present is None else not is_present)
    for word in (_word_of(get_field(feature, name)) for name in given(_STATUSES)):
        if word:
            flags.append(word in _ABSENT_WORDS if word in _ABSENT_WORDS | _PRESENT_WORDS else None)
    flags += [_word_of(get_field(feature, name)) in _ABSENT_WORDS for name in given(_MAY_DENY)]
    modifiers = get_list(feature, "modifiers") if "modifiers" in stated else ()
    flags.append(any(_word_of(modifier) in _ABSENT_WORDS for modifier in modifiers))
    return None if None in flags else any(flags)


def _word_of(value: Any) -> str:
    text = clean_text(value) or get_text(value, "label") or get_text(value, "id")
    if _EXCLUDED in (text.lower(), get_text(value, "id").lower()):
        return "excluded"
    return "_".join(text.lower().replace("_", " ").split())


def _has_terms(packet: Any) -> bool:
    """Return whether findings stand below the top, or HPO terms under another name."""
    if not isinstance(packet, dict):
        return False
    stack = [(value, fold_key(key) not in _NOT_FINDINGS) for key, value in packet.items()]
    visited: set[int] = set()
    while stack:
        node, may_be_findings = stack.pop()
        if not isinstance(node, dict | list) or id(node) in visited:
            continue
        visited.add(id(node))
        if get_list(node, "phenotypic_features"):
            return True
        if may_be_findings and any(map(_is_term, node)):
            return True
        inner = node.values() if isinstance(node, dict) else node
        stack += [(value, may_be_findings) for value in inner]
    return False


def _is_term(item: Any) -> bool:
    kind = get_field(item, "type")
    texts = (item, get_field(item, "id"), kind, get_field(kind, "id"))
    return any(read_term_id(text) is not None for text in texts if isinstance(text, str))


def _read_diseases(packet: Any, ontology: Ontology, counts: Counter[str]) -> dict[str, str]:
    """Return disease id -> name: of solved cases, else of other diagnoses, else of `diseases`.

    The diagnosis of an unsolved case is a hypothesis, not the answer, and so is one of an open case
    beside that of a solved one.

    Counts `gene_as_disease` and `unreadable_disease` for what is stated there and is no disease id:
    the case has no known answer if nothing else names it. A solved case that states no disease
    counts `solved_without_disease`.
    """
    known = disease_names("OMIM", ontology.release)
    solved = _diagnoses(packet, *_SOLVED)
    unsolved = _diagnoses(packet, *_UNSOLVED)
    others = [d for d in _diagnoses(packet) if d not in solved and d not in unsolved]
    listed = (
        _term_of(disease, "term") or disease  # some converters leave out "term"
        for disease in get_objects(packet, "diseases")
        if get_flag(disease, "excluded") is False and get_flag(disease, "negated") is False
    )
    diseases = (
        _by_id(map(_disease_of, solved), known, counts)
        or _by_id(map(_disease_of, others), known, counts)
        or _by_id(listed, known, counts)
    )
    is_counted = counts["gene_as_disease"] or counts["unreadable_disease"]
    counts["solved_without_disease"] += bool(solved) and not diseases and not is_counted
    counts["several_diseases"] += len(diseases) > 1
    return diseases


def _term_of(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an ontology class; of one that is written as a text, its id."""
    value = get_field(node, key)
    return {"id": value} if isinstance(value, str) else get_object(node, key)


def _by_id(
    terms: Iterable[Mapping[str, Any]], known: DiseaseNames, counts: Counter[str]
) -> dict[str, str]:
    names: dict[str, str] = {}
    for term in terms:
        written, label = get_scalar(term, "id"), get_text(term, "label")
        stated = read_disease_ids(written or label)
        if not (stated or written) and (named := known.ground(label)):
            stated = [named]
            counts["grounded_labels"] += 1
        genes = [label_id for label_id in stated if known.is_gene_entry(label_id, label)]
        for label_id in stated:
            if label_id not in genes:
                names.setdefault(label_id, label or label_id)
        if genes or is_gene_id(written):
            counts["gene_as_disease"] += 1
        elif not stated and (written or label):
            counts["unreadable_disease"] += 1
    return names


def _variant_strings(descriptor: Mapping[str, Any]) -> set[str]:
    expressions = get_objects(descriptor, "expressions")
    written = get_texts(descriptor, "id", "label").union(
        *(get_texts(e, "value") for e in expressions)
    )
    # Texts write "NM_000001.1:c.10C>T" as "c.10C>T" too.
    changes = {text.rpartition(":")[2].strip() for text in written}
    gene = get_texts(get_object(descriptor, "gene_context"), "symbol", "value_id")
    return written | gene | {change for change in changes if _CHANGE.match(change)}
