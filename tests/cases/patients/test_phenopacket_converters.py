"""Phenopackets as converters write them: other flags, fields, packings and encodings."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections import Counter

import pytest

from mint_ray.cases.patients.phenopacket_files import iter_members
from mint_ray.cases.patients.phenopackets import parse_phenopackets, read_phenopackets
from mint_ray.cases.schema import ParsedCase
from mint_ray.knowledge.ontology import load_ontology
from tests.cases.patients.phenopacket_examples import encode, features, packet

ONTOLOGY = load_ontology()
SEIZURE, MICROCEPHALY = "HP:0001250", "HP:0000252"


def outcomes(raw, name="m.json"):
    return parse_phenopackets(raw, name, ONTOLOGY)


def parse(**changes):
    (parsed,) = outcomes(encode(packet(**changes)))
    return parsed


def told(raw, name="m.json"):
    return [
        item.case["case_id"] if isinstance(item, ParsedCase) else item.reason
        for item in outcomes(raw, name)
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"observed": False},
        {"present": "no"},
        {"isExcluded": True},
        {"status": "Absent"},
        {"status": {"id": "LOINC:LA9634-2", "label": "Absent"}},
        {"verificationStatus": "refuted"},
        {"modifiers": [{"id": "NCIT:C48190", "label": "Absent"}]},
        {"modifiers": {"label": "not present"}},
        {"modifiers": [{"id": "HP:0040285"}]},
        {"frequency": {"id": "HP:0040285", "label": "Excluded"}},
        {"not": True},
        {"value": "no"},
    ],
)
def test_a_finding_that_is_said_to_be_absent_is_excluded(said):
    absent = {"type": {"id": MICROCEPHALY}, **said}
    case = parse(phenotypicFeatures=[*features((SEIZURE, False)), absent]).case
    assert (case["terms"], case["excluded_terms"]) == ([SEIZURE], [MICROCEPHALY])


@pytest.mark.parametrize(
    "said",
    [
        {"observed": True},
        {"status": "confirmed"},
        {"modifiers": [{"label": "Bilateral"}]},
        {"frequency": {"id": "HP:0040283", "label": "Occasional"}},
        {"value": "3 a week"},
    ],
)
def test_a_finding_that_is_said_to_be_present_is_observed(said):
    case = parse(phenotypicFeatures=[{"type": {"id": SEIZURE}, **said}]).case
    assert (case["terms"], case["excluded_terms"]) == ([SEIZURE], [])


@pytest.mark.parametrize("said", [{"status": "suspected"}, {"observed": "perhaps"}])
def test_a_finding_that_may_be_either_is_dropped_and_counted(said):
    unclear = {"type": {"id": MICROCEPHALY}, **said}
    parsed = parse(phenotypicFeatures=[*features((SEIZURE, False)), unclear])
    assert (parsed.case["terms"], parsed.case["excluded_terms"]) == ([SEIZURE], [])
    assert parsed.counts == Counter(malformed_features=1)


def test_findings_that_are_written_as_texts():
    written = [SEIZURE, {"type": MICROCEPHALY, "excluded": True}]
    case = parse(phenotypicFeatures=written).case
    assert (case["terms"], case["excluded_terms"]) == ([SEIZURE], [MICROCEPHALY])


def test_one_message_in_the_place_of_a_list():
    parsed = parse(
        phenotypicFeatures={"type": {"id": SEIZURE}},
        interpretations=None,
        diseases={"term": {"id": "OMIM:154700", "label": "Marfan syndrome"}},
    )
    assert (parsed.case["terms"], parsed.case["label_id"]) == ([SEIZURE], "OMIM:154700")


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ({"value": 18, "unit": "months"}, "P1Y6M"),
        ({"age": {"value": "18", "unit": {"id": "UO:0000035", "label": "month"}}}, "P1Y6M"),
        ({"value": 9, "unit": "year"}, "P9Y"),
        ({"value": 9}, "P9Y"),
        ({"value": 9, "unit": "visits"}, None),
    ],
)
def test_an_age_with_its_unit_beside_it(age, expected):
    parsed = parse(subject={"timeAtLastEncounter": age})
    assert parsed.case["age"] == expected
    assert parsed.counts["unmapped_age"] == (expected is None)


@pytest.mark.parametrize(
    ("subject", "sex", "unread"),
    [
        ({"gender": {"id": "PATO:0000384", "label": "male"}}, "male", 0),
        ({"gender": "FEMALE"}, "female", 0),
        ({"karyotypicSex": "46,XY"}, "male", 0),
        ({"karyotypicSex": "47, XXY"}, "male", 0),
        ({"karyotypicSex": "45,X"}, "female", 0),
        ({"karyotypicSex": "46,XX,del(5)(p14)"}, "female", 0),
        ({"karyotypicSex": "45,X/46,XY"}, "unknown", 1),
    ],
)
def test_a_sex_under_another_name_and_whole_karyotypes(subject, sex, unread):
    parsed = parse(subject=subject)
    assert (parsed.case["sex"], parsed.counts["unmapped_sex"]) == (sex, unread)


def interpretation(number, **fields):
    return {"diagnosis": {"disease": {"id": f"OMIM:90000{number}", "label": "X"}}, **fields}


@pytest.mark.parametrize(
    ("interpretations", "label"),
    [
        (
            [
                interpretation(1, progressStatus="IN_PROGRESS"),
                interpretation(2, progressStatus="SOLVED"),
            ],
            "OMIM:900002",
        ),
        ([interpretation(1, progressStatus="PROGRESS_STATUS_UNSOLVED")], None),
        ([interpretation(1, resolutionStatus="UNSOLVED")], None),  # version 1
        ([{"diagnosis": [{"disease": {"term": {"id": "OMIM:900001"}}}]}], "OMIM:900001"),
        (interpretation(1), "OMIM:900001"),
    ],
)
def test_the_answer_is_that_of_a_solved_case(interpretations, label):
    parsed = parse(interpretations=interpretations)
    assert parsed.case["label_id"] == label
    assert parsed.counts["several_diseases"] == 0


def test_a_disease_by_its_exact_name_alone():
    parsed = parse(interpretations=None, diseases=[{"term": {"label": "marfan syndrome"}}])
    assert (parsed.case["label_id"], parsed.counts) == ("OMIM:154700", Counter(grounded_labels=1))


RAW = encode(packet())
OTHER = encode(packet(id="case-2"))


@pytest.mark.parametrize(
    "raw",
    [
        RAW + b"\n" + OTHER + b"\n",
        RAW + b"\r" + OTHER,
        json.dumps(json.loads(RAW), indent=1).encode() + b"\n" + OTHER,
    ],
)
def test_packets_behind_one_another(raw):
    assert told(raw) == ["case-1", "case-2"]


def test_a_damaged_line_costs_no_other():
    assert told(b"{bad\n" + RAW + b"\n" + OTHER, "m.jsonl") == ["not_json", "case-1", "case-2"]
    assert told(RAW + b"\n{bad\n" + OTHER) == ["case-1", "not_json", "case-2"]
    assert told(b"{bad\n" + RAW) == ["not_json"]  # of no file that is named lines


@pytest.mark.parametrize("name", ["m.json", "m.jsonl"])
def test_text_that_is_not_utf_8_is_read_and_counted(name):
    patient = packet(subject={"id": "Müller", "sex": "FEMALE"})
    raw = json.dumps(patient, ensure_ascii=False).encode("cp1252")
    (parsed,) = outcomes(raw, name)
    assert parsed.case["terms"] == [SEIZURE, "HP:0001263"]
    assert parsed.counts == Counter(other_encodings=1)


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json.gz", gzip.compress(gzip.compress(RAW))),
        ("a.json.bz2", bz2.compress(RAW)),
        ("a.json.xz", lzma.compress(RAW)),
        ("a.zip", zipped(b_zip=zipped(c_json=RAW))),
        ("a.zip.gz", gzip.compress(zipped(c_json=RAW))),
        ("a.zip", zipped(c_json_gz=gzip.compress(RAW))),
        ("folder/a.zip", zipped(c_json=RAW)),
    ],
    # The bytes hold the time, so they cannot name a test.
    ids=["twice", "bzip2", "xz", "inner archive", "packed archive", "packed member", "folder"],
)
def test_packings_and_archives_within_one_another(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    found = list(read_phenopackets(path.parent if "/" in name else path, ONTOLOGY))
    assert [item.case["case_id"] for item in found if isinstance(item, ParsedCase)] == ["case-1"]
    assert len(found) == 1


def test_a_damaged_archive_in_a_folder_is_one_rejection(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(c_json=RAW)[:-30])
    (tmp_path / "b.json").write_bytes(OTHER)
    (tmp_path / "c.zip").write_bytes(zipped(d_zip=zipped(e_json=RAW)[:-30]))
    found = list(read_phenopackets(tmp_path, ONTOLOGY))
    assert [getattr(item, "reason", "") for item in found] == ["unreadable", "", "unreadable"]


def test_a_bomb_of_archives_is_opened_twice_at_most(tmp_path):
    inner = zipped(a_json=RAW)
    for _ in range(3):
        inner = zipped(a_zip=inner)
    path = tmp_path / "x.zip"
    path.write_bytes(inner)
    assert [told(raw, name) for name, raw in iter_members(path)] == [["found_archive"]]
