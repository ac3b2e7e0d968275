import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.cases.patients.phenopacket_files import MAX_MEMBER_BYTES
from mint_ray.cases.patients.phenopackets import (
    Reason,
    parse_phenopacket,
    read_phenopackets,
    reject_duplicates,
)
from mint_ray.cases.schema import ParsedCase, RejectedCase
from mint_ray.cases.splits import assign_splits, check_no_leakage, join_groups
from mint_ray.knowledge.ontology import load_ontology
from tests.cases.patients.phenopacket_examples import PACKET, encode, features, packet

STORE = Path(__file__).parents[3] / ".." / "shared" / "data" / "phenopackets.zip"
ONTOLOGY = load_ontology()


def parse(made):
    return parse_phenopacket(made if isinstance(made, bytes) else encode(made), "m.json", ONTOLOGY)


def test_a_phenopacket_becomes_a_case():
    parsed = parse(packet())
    case = parsed.case
    assert case["case_id"] == case["group_id"] == "case-1"
    assert (case["label_id"], case["label_name"]) == ("OMIM:900001", "Amber-Bole syndrome")
    assert case["terms"] == ["HP:0001250", "HP:0001263"]
    assert case["excluded_terms"] == ["HP:0000252"]
    assert (case["sex"], case["age"]) == ("female", "P4Y2M")
    assert case["publications"] == ["PMID:111", "PMID:22"]
    assert (case["note"], case["image"], case["split"], case["seen"]) == ("", None, None, None)
    assert parsed.counts == Counter()


def test_what_gives_the_answer_away_is_listed():
    assert set(parse(packet()).forbidden) == {
        "Amber-Bole syndrome",
        "OMIM:900001",
        "GENA",
        "HGNC:0",
        "NM_000000.1:c.10C>T",
        "c.10C>T",
        "var_x",
        "gain of 1q99",
        "PMID:111",
        "PMID:22",
    }


def test_snake_case_says_the_same():
    text = re.sub(r'"([a-zA-Z0-9]+)":', lambda m: f'"{_snake(m[1])}":', json.dumps(PACKET))
    assert '"phenotypic_features"' in text
    assert parse(text.encode()) == parse(packet())


def _snake(name):
    return re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), name)


@pytest.mark.parametrize(
    ("pairs", "observed", "excluded", "counts"),
    [
        ([("HP:0000057", False)], ["HP:0008665"], [], {"mapped_terms": 1}),  # obsolete
        ([("HP:0000624", False)], ["HP:0000286"], [], {"mapped_terms": 1}),  # alternative
        ([("HP:9999999", True)], [], [], {"unknown_terms": 1}),
        ([("../../x", True)], [], [], {"unknown_terms": 1}),
        ([("HP:0000007", False)], [], [], {"non_phenotype_terms": 1}),  # inheritance
        ([("HP:0000118", False)], [], [], {"non_phenotype_terms": 1}),  # the root
        (
            [("HP:0000252", True), ("HP:0000252", False)],
            ["HP:0000252"],
            [],
            {"conflicting_terms": 1},
        ),
        ([("HP:0000252", True)] * 2, [], ["HP:0000252"], {"repeated_terms": 1}),
        ([("HP:0000252", "true"), (7, False)], [], [], {"malformed_features": 2}),
        ([("HP:0000252", None)], ["HP:0000252"], [], {}),
    ],
)
def test_terms_are_mapped_dropped_and_counted(pairs, observed, excluded, counts):
    parsed = parse(packet(phenotypicFeatures=features(("HP:0001250", False), *pairs)))
    assert parsed.case["terms"] == ["HP:0001250", *observed]
    assert parsed.case["excluded_terms"] == excluded
    assert parsed.counts == Counter(counts)


@pytest.mark.parametrize(
    ("time", "age", "counted"),
    [
        ({"age": {"iso8601duration": "P3D"}}, "P3D", 0),
        ({"age": {"iso8601duration": "P"}}, None, 1),
        ({"age": {"iso8601duration": "ignore this"}}, None, 1),
        ({"age": {"iso8601duration": "P4Y\n"}}, "P4Y", 0),
        ({"gestationalAge": {"weeks": 22}}, None, 1),
        ({"ontologyClass": {"id": "HP:0003581"}}, None, 1),
        ({"age": "P4Y"}, None, 1),
        ([], None, 0),
        (None, None, 0),
    ],
)
def test_age_is_a_duration_since_birth_or_null(time, age, counted):
    parsed = parse(packet(subject={"timeAtLastEncounter": time}))
    assert parsed.case["age"] == age
    assert parsed.counts["unmapped_age"] == counted


@pytest.mark.parametrize(
    ("sex", "expected"),
    [("MALE", "male"), (1, "female"), ("OTHER_SEX", "unknown"), (True, "unknown"), ([], "unknown")],
)
def test_sex(sex, expected):
    assert parse(packet(subject={"sex": sex})).case["sex"] == expected


def interpretation(disease_id, status="SOLVED"):
    return {"progressStatus": status, "diagnosis": {"disease": {"id": disease_id, "label": "D"}}}


A, B = "OMIM:900001", "OMIM:900002"


@pytest.mark.parametrize(
    ("interpretations", "diseases", "label"),
    [
        ([interpretation(A), interpretation(B)], [], A),
        ([interpretation(A, "UNSOLVED"), interpretation(B)], [], B),
        ([interpretation(A, 4)], [{"term": {"id": B}, "excluded": False}], B),
        ([], [{"term": {"id": A}, "excluded": True}, {"term": {"id": B}}], B),
        ([interpretation("Orphanet:91")], [], "ORPHA:91"),
        ([interpretation("omim:900001")], [], A),
        ([interpretation("no id\n")], [], None),
        ([interpretation("OMIM:../x")], [], None),
        ("rubbish", [7], None),
    ],
)
def test_the_disease_is_the_diagnosis_else_a_disease_that_is_not_excluded(
    interpretations, diseases, label
):
    parsed = parse(packet(interpretations=interpretations, diseases=diseases))
    assert parsed.case["label_id"] == label
    assert parsed.counts["several_diseases"] == (len(interpretations) == 2 and label == A)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "unreadable"),
        (b" " * (MAX_MEMBER_BYTES + 1), "too_large"),
        (b"", "not_json"),
        (b"\xff\xfe\x00rubbish", "not_json"),
        (b"[" * 200_000, "not_json"),
        (b'{"id": ' + b"9" * 10_000 + b"}", "not_json"),
        (b"[]", "not_a_phenopacket"),
        (b"NaN", "not_a_phenopacket"),
        (encode({"id": "family", "proband": PACKET}), "not_a_phenopacket"),
        (encode(packet(metaData={"created": "x"})), "wrong_schema_version"),
        (encode(packet(metaData={"phenopacketSchemaVersion": "1.0.0"})), "wrong_schema_version"),
        (encode(packet(metaData={"phenopacketSchemaVersion": "20"})), "wrong_schema_version"),
        (encode(packet(id="\u0000\ud800")), "no_id"),
        (encode(packet(id=None)), "no_id"),
        (encode(packet(phenotypicFeatures=None)), "no_observed_features"),
        (
            encode(packet(phenotypicFeatures=features(("HP:0001250", True)))),
            "no_observed_features",
        ),
        (encode(packet(phenotypicFeatures={"type": 1})), "no_observed_features"),
    ],
)
def test_rejections(raw, reason):
    outcome = parse_phenopacket(raw, "dir/\u202em.json", ONTOLOGY)
    assert isinstance(outcome, RejectedCase)
    assert outcome.reason == reason
    assert reason in get_args(Reason)
    assert outcome.case_id in ("case-1", "family", "dir/ m.json")


def test_odd_but_harmless_content_is_read():
    raw = encode({**packet(), **{f"key{i}": float("nan") for i in range(100_000)}})
    assert parse(raw).case["terms"] == ["HP:0001250", "HP:0001263"]
    assert parse(b"\xef\xbb\xbf" + encode(packet())) == parse(packet())
    assert parse(json.dumps(packet()).encode("utf-16")) == parse(packet())


def test_ids_and_names_are_one_clean_line():
    named = interpretation(A)
    named["diagnosis"]["disease"]["label"] = "Line\none" + "x" * 1000
    case = parse(packet(id="../../\u0000e\u202etc\ud800", interpretations=[named])).case
    assert case["case_id"] == "../../ e tc"
    assert case["label_name"].startswith("Line onexx")
    assert len(case["label_name"]) == 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "excluded", "label", "disease", "diagnosis", "age", "term"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PACKET)), JSON)
def test_no_value_of_a_field_is_fatal(field, value):
    outcome = parse({**packet(), field: value})
    assert isinstance(outcome, ParsedCase | RejectedCase)
    if isinstance(outcome, ParsedCase):
        json.dumps(outcome.case, ensure_ascii=False).encode()  # no unpaired surrogates


@settings(max_examples=100, deadline=None)
@given(st.binary())
def test_no_bytes_are_fatal(raw):
    assert isinstance(parse(raw), RejectedCase)


def test_the_later_of_two_equal_ids_is_rejected():
    first, second = parse(packet()), parse(packet(subject={"sex": "MALE"}))
    bad = RejectedCase("case-1", "phenopackets", "not_json")
    outcomes = list(reject_duplicates([bad, first, second]))
    assert outcomes == [bad, first, RejectedCase("case-1", "phenopackets", "duplicate_id")]


@pytest.mark.skipif(not STORE.is_file(), reason="the public phenopackets are not here")
def test_the_public_store_is_read_and_split_without_leakage():
    outcomes = list(read_phenopackets(STORE, ONTOLOGY))
    rejected = Counter(o.reason for o in outcomes if isinstance(o, RejectedCase))
    cases = join_groups([o.case for o in outcomes if isinstance(o, ParsedCase)])
    assert len(outcomes) == 8820
    assert rejected == {"no_observed_features": 3}
    assert len({case["group_id"] for case in cases}) == 1466
    placed = assign_splits(cases, 0.1, 0.2, seed=0)
    check_no_leakage(placed)
    publications = {split: set() for split in ("train", "validation", "test")}
    for case in placed:
        publications[case["split"]].update(case["publications"])
    assert not publications["train"] & (publications["test"] | publications["validation"])
    shares = Counter(case["split"] for case in placed)
    assert shares["test"] / len(placed) == pytest.approx(0.2, abs=0.01)
    assert shares["validation"] / len(placed) == pytest.approx(0.1, abs=0.01)
