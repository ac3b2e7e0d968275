"""Publications in every place of a phenopacket, and what splits and annotations make of them."""

import pytest

from mint_ray.cases.patients.phenopackets import parse_phenopackets
from mint_ray.cases.splits import assign_splits, check_no_leakage, join_groups
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.ontology import load_ontology
from tests.cases.patients.phenopacket_examples import encode, packet

ONTOLOGY = load_ontology()
META = {"phenopacketSchemaVersion": "2.0"}


def parse(made, name="m.json"):
    (outcome,) = parse_phenopackets(encode(made), name, ONTOLOGY)
    return outcome


def cited(**changes):
    return parse(packet(**{"metaData": META, **changes})).case["publications"]


def evidence(reference):
    return [{"evidenceCode": {"id": "ECO:0000033"}, "reference": reference}]


@pytest.mark.parametrize(
    "changes",
    [
        {"metaData": META | {"externalReferences": [{"id": "PMID:123"}]}},
        {"metaData": META | {"externalReferences": [{"id": "x", "reference": "pmid 123"}]}},
        {"metaData": META | {"externalReferences": [{"description": "PMID: 00123; a title"}]}},
        {"metaData": META | {"external_references": [{"id": "PMID_123"}]}},
        {"diseases": [{"term": {"id": "OMIM:1"}, "evidence": evidence({"id": "PMID:123"})}]},
        {"interpretations": [{"diagnosis": {"evidence": evidence({"id": "pubmed:123"})}}]},
        {"measurements": [{"assay": {"id": "LOINC:1"}, "evidence": evidence({"id": "PMID:123"})}]},
        {"medicalActions": [{"procedure": {}, "evidence": evidence({"id": "PMID:123"})}]},
        {"subject": {"externalReference": {"reference": "https://pubmed.ncbi.nlm.nih.gov/123/"}}},
        {"biosamples": [{"phenotypicFeatures": [{"evidence": evidence("PMID:123")}]}]},
        {"publication": {"pmid": 123}},
    ],
)
def test_every_place_is_read(changes):
    assert cited(**changes) == ["PMID:123"]


def test_the_evidence_of_findings_is_read_in_every_spelling():
    spellings = ["http://www.ncbi.nlm.nih.gov/pubmed/123", "https://doi.org/10.1000/ABC", "PMC9"]
    listed = [
        {"type": {"id": "HP:0001250"}, "evidence": evidence({"id": "?", "reference": text})}
        for text in spellings
    ]
    assert cited(phenotypicFeatures=listed) == ["DOI:10.1000/abc", "PMC9", "PMID:123"]


def test_without_references_the_whole_packet_is_searched():
    parsed = parse(packet(id="PMID_123_patient_1", metaData=META))
    assert parsed.case["publications"] == ["PMID:123"]
    assert parsed.counts["publications_found_in_text"] == 1
    assert parse(packet(metaData=META), "cohort/PMID_9_x.json").case["publications"] == ["PMID:9"]


def test_ontologies_and_codes_are_no_publications():
    resources = [{"id": "hp", "url": "https://doi.org/10.1000/hp", "version": "PMID:1"}]
    assert cited(metaData=META | {"resources": resources}) == []
    assert cited(subject={"id": "12345678"}) == []


def test_a_corpus_that_cites_in_evidence_is_split_by_publication():
    annotated = known_only_from_one_publication()
    publications = [annotated, "PMID:2", "PMID:3", "PMID:4", "PMID:5", "PMID:6"]
    made = []
    for number, publication in enumerate(publications):
        for patient in range(4):
            finding = {"type": {"id": "HP:0001250"}}
            # Written differently by every submitter.
            spelling = [publication, publication.lower(), publication.replace(":", "_")][
                patient % 3
            ]
            finding["evidence"] = evidence({"id": spelling})
            made.append(
                parse(
                    packet(id=f"p{number}-{patient}", metaData=META, phenotypicFeatures=[finding])
                ).case
            )
    placed = assign_splits(join_groups(made), 0.2, 0.2, seed=1)
    check_no_leakage(placed)
    assert {case["group_id"] for case in placed} == set(publications)
    by_split = {
        split: {p for case in placed if case["split"] == split for p in case["publications"]}
        for split in ("train", "validation", "test")
    }
    assert all(by_split.values())
    assert not by_split["train"] & (by_split["validation"] | by_split["test"])
    assert sum(map(len, by_split.values())) == len(publications)
    before, after = load_annotations(), load_annotations(frozenset({annotated}))
    assert any(len(after.of(i)) < len(before.of(i)) for i in before.diseases)


def known_only_from_one_publication():
    """A PubMed id that is the only source of an annotation."""
    annotations = load_annotations()
    for disease in annotations.diseases:
        for annotation in annotations.of(disease):
            if len(annotation.references) == 1 and annotation.references[0].startswith("PMID:"):
                return annotation.references[0]
    raise AssertionError("no annotation rests on one publication")
