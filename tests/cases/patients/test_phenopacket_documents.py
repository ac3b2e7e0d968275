"""What one file may hold: lists, families, cohorts, lines, YAML; and other kinds of files."""

import json

import pytest
import yaml

from mint_ray.cases.patients.phenopackets import parse_packet, parse_phenopackets
from mint_ray.cases.schema import ParsedCase, RejectedCase
from mint_ray.knowledge.ontology import load_ontology
from tests.cases.patients.phenopacket_examples import encode, features, packet

ONTOLOGY = load_ontology()
FINDINGS = features(("HP:0001250", False))


def outcomes(made, name="m.json"):
    raw = made if isinstance(made, bytes) else encode(made)
    return parse_phenopackets(raw, name, ONTOLOGY)


def cases(made, name="m.json"):
    return [item.case for item in outcomes(made, name) if isinstance(item, ParsedCase)]


def rejections(made, name="m.json"):
    return [
        (item.case_id, item.reason)
        for item in outcomes(made, name)
        if isinstance(item, RejectedCase)
    ]


def test_a_list_gives_its_items():
    made = [packet(id="a"), 7, packet(id="b")]
    assert [case["case_id"] for case in cases(made)] == ["a", "b"]
    assert [case["group_id"] for case in cases(made)] == ["a", "b"]
    assert rejections(made) == [("m.json[2]", "not_a_phenopacket")]


def test_a_family_gives_its_members_in_one_group():
    mother = packet(id="mother", phenotypicFeatures=features(("HP:0001250", True)))
    brother = packet(id="brother", metaData=None, phenotypicFeatures=FINDINGS)
    family = {
        "id": "family-1",
        "proband": packet(id=None),
        "relatives": [mother, brother, packet(id="sister")],
        "metaData": {
            "phenopacketSchemaVersion": "2.0",
            "externalReferences": [{"id": "PMID:77"}],
        },
    }
    found = cases(family)
    assert [case["case_id"] for case in found] == ["family-1", "brother", "sister"]
    assert {case["group_id"] for case in found} == {"family-1"}
    assert all("PMID:77" in case["publications"] for case in found)
    assert rejections(family) == [("mother", "no_observed_features")]


def test_a_cohort_gives_its_members_in_groups_of_their_own():
    cohort = {
        "id": "cohort",
        "members": [packet(id="a"), packet(id="b", metaData=None)],
        "meta_data": {"phenopacket_schema_version": 2},
    }
    assert [(case["case_id"], case["group_id"]) for case in cases(cohort)] == [
        ("a", "a"),
        ("b", "b"),
    ]


@pytest.mark.parametrize("wrapper", [{"phenopacket": packet()}, {"phenopackets": [packet()]}])
def test_a_wrapper_is_opened(wrapper):
    assert [case["case_id"] for case in cases(wrapper)] == ["case-1"]


def test_one_patient_is_expected_of_a_request():
    family = parse_packet({"id": "f", "proband": packet()}, "request", ONTOLOGY)
    cohort = parse_packet({"id": "c", "members": [packet()]}, "request", ONTOLOGY)
    assert [item.reason for item in (family, cohort)] == ["found_family", "found_cohort"]


@pytest.mark.parametrize("name", ["m.jsonl", "m.ndjson", "m.json", "m.txt", "m.jsonl.gz"])
def test_lines_of_json(name):
    lines = [encode(packet(id="a")), b"", encode(packet(id="b"))[:50], encode(packet(id="c"))]
    assert [case["case_id"] for case in cases(b"\n".join(lines), name)] == ["a", "c"]
    assert rejections(b"\r\n".join(lines), name) == [(f"{name}:3", "not_json")]


@pytest.mark.parametrize("name", ["m.yaml", "m.YML", "m.yaml.gz"])
def test_yaml_says_the_same_as_json(name):
    made = packet(subject={"sex": "FEMALE", "timeAtLastEncounter": {"timestamp": "2020-01-01"}})
    made["subject"]["dateOfBirth"] = "2011-01-01"
    text = yaml.safe_dump(made).encode()
    assert outcomes(text, name) == outcomes(json.dumps(made).encode())
    assert cases(text, name)[0]["age"] == "P9Y"


def test_yaml_keeps_zeros_flags_and_several_documents():
    text = """\
id: 007
phenotypicFeatures:
- {type: {id: 0001250}}
- {type: {id: HP:0002650}, excluded: yes}
- {type: {id: HP:0000639}, excluded: null}
metaData: {phenopacketSchemaVersion: 2.0}
"""
    both = f"{text}---\n{text.replace('007', '008')}".encode()
    assert [case["case_id"] for case in cases(both, "m.yaml")] == ["007", "008"]
    assert cases(both, "m.yaml")[0]["terms"] == ["HP:0001250", "HP:0000639"]
    assert cases(both, "m.yaml")[0]["excluded_terms"] == ["HP:0002650"]


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("m.yaml", b"a: [", "not_yaml"),
        ("m.yaml", b"", "not_yaml"),
        ("m.yaml", b"[" * 1000, "not_yaml"),
        ("m.yaml", b"a: &x [*x]", "not_yaml"),
        ("m.yaml", b"phenopackets: &x [{phenopackets: *x}]", "not_yaml"),
        ("m.json", b'{"id": "a", ', "not_json"),
        ("m.json", b"", "not_json"),
        ("m.json", b"case_id,terms\na,b", "not_json"),
        ("notes.csv", b"case_id,terms\na,HP:0001250\n", "found_table"),
        ("notes.parquet", b"PAR1...", "found_table"),
        ("README.md", b"# Patients\nA text.", "found_text"),
        ("page.html", b"<!doctype html><p>", "found_web_page"),
        ("inner.zip", b"PK\x03\x04", "found_archive"),
        ("paper.pdf", b"%PDF-1.7", "found_document"),
        ("face.png", b"\x89PNG\r\n", "found_image"),
        ("a.pb", b"\x0a\x05\x00\x01", "found_binary"),
    ],
)
def test_a_file_without_phenopackets_says_what_it_is(name, raw, reason):
    assert {why for _, why in rejections(raw, name)} == {reason}
    assert cases(raw, name) == []


def test_deep_nesting_is_a_rejection():
    made = packet()
    for _ in range(50):
        made = {"phenopackets": [made]}
    assert [reason for _, reason in rejections(made)] == ["not_a_phenopacket"]
