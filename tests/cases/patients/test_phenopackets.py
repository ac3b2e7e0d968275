import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mint_ray.cases.patients.phenopacket_files import MAX_MEMBER_BYTES
from mint_ray.cases.patients.phenopackets import (
    REASONS,
    parse_phenopackets,
    read_phenopackets,
    reject_duplicates,
    stated_genes,
)
from mint_ray.cases.schema import ParsedCase, RejectedCase
from mint_ray.cases.splits import assign_splits, check_no_leakage, join_groups
from mint_ray.knowledge.ontology import load_ontology
from tests.cases.patients.phenopacket_examples import PACKET, encode, features, packet

STORE = Path(__file__).parents[3] / ".." / "shared" / "data" / "phenopackets.zip"
ONTOLOGY = load_ontology()


def parse(made):
    raw = made if isinstance(made, bytes) else encode(made)
    (outcome,) = parse_phenopackets(raw, "m.json", ONTOLOGY)
    return outcome


def test_a_phenopacket_becomes_a_case():
    parsed = parse(packet())
    case = parsed.case
    assert case["case_id"] == case["group_id"] == "case-1"
    assert (case["label_id"], case["label_name"]) == ("OMIM:900001", "Amber-Bole syndrome")
    assert case["terms"] == ["HP:0001250", "HP:0001263"]
    assert case["excluded_terms"] == ["HP:0000252"]
    assert (case["sex"], case["age"]) == ("female", "P4Y2M")
    assert case["publications"] == ["DOI:10.1/x", "PMID:111", "PMID:22"]
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
        "DOI:10.1/x",
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
        ([("HP:0000252", "perhaps"), (7, False)], [], [], {"malformed_features": 2}),
        ([("HP:0000252", "true"), ("HP:0000639", 1)], [], ["HP:0000252", "HP:0000639"], {}),
        ([("HP:0000252", "No"), ("HP:0000639", 0)], ["HP:0000252", "HP:0000639"], [], {}),
        ([("HP:0000252", 2), ("HP:0000639", ["x"])], [], [], {"malformed_features": 2}),
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
        ({"age": "P4Y"}, "P4Y", 0),
        ({"age": {"iso8601duration": "P14M"}}, "P1Y2M", 0),
        ({"ontologyClass": {"id": "HsapDv:0000103", "label": "9-year-old stage"}}, "P9Y", 0),
        ({"ageRange": {"start": {"iso8601duration": "P9Y"}, "end": {"age": "P9Y6M"}}}, "P9Y", 0),
        ({"ageRange": {"start": {"iso8601duration": "P9Y"}, "end": "P20Y"}}, None, 1),
        ({"age": {"iso8601duration": "-P9Y"}}, None, 1),
        ({"timestamp": "2020-01-01T00:00:00Z"}, None, 1),  # no date of birth
        ("P4Y", "P4Y", 0),
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
    [
        ("MALE", "male"),
        (1, "female"),
        ("f", "female"),
        ({"id": "PATO:0000384"}, "male"),
        ("OTHER_SEX", "unknown"),
        ([], "unknown"),
    ],
)
def test_sex(sex, expected):
    parsed = parse(packet(subject={"sex": sex}))
    assert (parsed.case["sex"], parsed.counts["unmapped_sex"]) == (expected, 0)


@pytest.mark.parametrize("sex", [True, "1", 7, "FEMALE?"])
def test_a_sex_that_cannot_be_read_is_counted(sex):
    parsed = parse(packet(subject={"sex": sex}))
    assert (parsed.case["sex"], parsed.counts["unmapped_sex"]) == ("unknown", 1)


@pytest.mark.parametrize(
    ("subject", "sex", "counted"),
    [
        ({"karyotypicSex": "XX"}, "female", 1),
        ({"karyotypicSex": 4}, "male", 1),
        ({"sex": "UNKNOWN_SEX", "karyotypicSex": "XO"}, "female", 1),
        ({"sex": "FEMALE", "karyotypicSex": "XY"}, "female", 0),
        ({"karyotypicSex": "OTHER_KARYOTYPE"}, "unknown", 0),
    ],
)
def test_the_karyotype_tells_a_sex_that_is_not_stated(subject, sex, counted):
    parsed = parse(packet(subject=subject))
    assert (parsed.case["sex"], parsed.counts["sex_from_karyotype"]) == (sex, counted)


@pytest.mark.parametrize(
    ("subject", "age"),
    [
        ({"ageAtCollection": {"age": "P3Y"}}, "P3Y"),  # version 1
        (
            {"dateOfBirth": "2011-03-02", "timeAtLastEncounter": {"timestamp": "2020-03-01"}},
            "P8Y11M",
        ),
        ({"timeAtLastEncounter": {"gestationalAge": {"weeks": 3}}, "age": "2 years"}, "P2Y"),
        ({"dateOfBirth": "2011-03-02"}, None),
    ],
)
def test_ages_in_other_places(subject, age):
    parsed = parse(packet(subject=subject))
    assert (parsed.case["age"], parsed.counts["unmapped_age"]) == (age, 0)


@pytest.mark.parametrize("flag", [True, "true", 1, "YES"])
def test_negated_of_version_1_is_never_present(flag):
    listed = features(("HP:0001250", False))
    listed += [
        {"type": {"id": "HP:0000252"}, "negated": flag},
        {"type": {"id": "HP:0000639"}, "excluded": False, "negated": flag},
    ]
    case = parse(packet(phenotypicFeatures=listed)).case
    assert (case["terms"], case["excluded_terms"]) == (["HP:0001250"], ["HP:0000252", "HP:0000639"])


def test_a_negated_that_cannot_be_read_drops_the_finding():
    listed = [*features(("HP:0001250", False)), {"type": {"id": "HP:0000252"}, "negated": "maybe"}]
    parsed = parse(packet(phenotypicFeatures=listed))
    assert parsed.case["terms"] == ["HP:0001250"]
    assert parsed.case["excluded_terms"] == []
    assert parsed.counts == Counter({"malformed_features": 1})


def test_ids_in_other_spellings_are_one_term():
    spellings = ["hp:0001250", "HP_0001250", " HP:0001250 ", "HPO:0001250", "0001250", "HP:1250"]
    spellings.append("http://purl.obolibrary.org/obo/HP_0001250")
    parsed = parse(packet(phenotypicFeatures=features(*((s, False) for s in spellings))))
    assert parsed.case["terms"] == ["HP:0001250"]
    assert parsed.counts == Counter({"repeated_terms": 6})


def test_a_short_id_is_not_believed_against_its_label():
    listed = features(("HP:0001250", False))
    listed.append({"type": {"id": "HP:1251", "label": "Scoliosis"}})
    assert parse(packet(phenotypicFeatures=listed)).counts == Counter({"unknown_terms": 1})


def test_a_name_in_the_place_of_an_id_is_looked_up():
    listed = [{"type": {"label": "Seizures"}}, {"type": {"id": "Scoliosis"}}]
    parsed = parse(packet(phenotypicFeatures=listed))
    assert parsed.case["terms"] == ["HP:0001250", "HP:0002650"]
    assert parsed.counts == Counter({"grounded_terms": 2})


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
        ([interpretation("OMIM: 900001")], [], A),
        ([interpretation("ORPHA:558 ()")], [], "ORPHA:558"),
        ([interpretation("https://omim.org/entry/900001")], [], A),
        ([interpretation("HGNC:1")], [{"term": {"id": B}}], B),
        ([interpretation("NCBIGene:7421")], [], None),
        ([], [{"term": A}], A),
        ([], [{"id": A, "label": "D"}], A),
        ([{"diagnosis": {"disease": A}}], [], A),
        ([], [{"term": {"id": A}, "excluded": "true"}, {"term": {"id": B}}], B),
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
    ("written", "kind"),
    [
        ("NCBIGene:7421", "gene_as_disease"),
        ("HGNC:3603", "gene_as_disease"),
        ("OMIM:*900001", "gene_as_disease"),
        ("Marfan", "unreadable_disease"),
        ("HP:0001250", "unreadable_disease"),
        ("not OMIM:900001", "unreadable_disease"),
    ],
)
def test_what_is_no_disease_is_no_answer_and_counted(written, kind):
    for changes in (
        {"interpretations": [interpretation(written)]},
        {"interpretations": None, "diseases": [{"term": {"id": written, "label": "X"}}]},
    ):
        parsed = parse(packet(**changes))
        assert (parsed.case["label_id"], parsed.case["label_name"]) == (None, None)
        assert parsed.counts == Counter({kind: 1})


def test_a_number_of_omim_with_the_symbol_of_a_gene_is_a_gene():
    named = {"diagnosis": {"disease": {"id": "OMIM:605284", "label": "TSC1"}}}
    parsed = parse(packet(interpretations=[named]))
    assert (parsed.case["label_id"], parsed.counts) == (None, Counter({"gene_as_disease": 1}))


def test_a_solved_case_without_a_disease_is_counted():
    parsed = parse(packet(interpretations=[{"progressStatus": "SOLVED", "diagnosis": {}}]))
    assert parsed.counts == Counter({"solved_without_disease": 1})


def test_a_finding_without_type_is_read():
    parsed = parse(packet(phenotypicFeatures=[{"id": "HP:0001250", "label": "Seizure"}]))
    assert parsed.case["terms"] == ["HP:0001250"]


@pytest.mark.parametrize("version", [2, 2.0, "2", "v2.0", " 2.0.2 "])
def test_schema_versions(version):
    assert isinstance(parse(packet(metaData={"phenopacketSchemaVersion": version})), ParsedCase)


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
        (b"[[]]", "not_a_phenopacket"),
        (encode({"resourceType": "Patient", "id": "case-1"}), "found_fhir"),
        (encode(packet(metaData={"phenopacketSchemaVersion": 1.0})), "wrong_schema_version"),
        (
            encode(
                packet(
                    phenotypicFeatures=None,
                    subject={"phenotypicFeatures": features(("HP:0001250", False))},
                )
            ),
            "no_phenotypic_features_at_top",
        ),
        (
            encode(
                packet(
                    phenotypicFeatures=[],
                    interpretations=[{"phenotypicFeatures": features(("HP:0001250", False))}],
                )
            ),
            "no_phenotypic_features_at_top",
        ),
        (
            encode(packet(phenotypicFeatures=None, hpo={"HP:0001250": "yes"})),
            "no_phenotypic_features_at_top",
        ),
        (
            encode(
                packet(
                    phenotypicFeatures=None,
                    diseases=[{"term": {"id": A}, "diseaseStage": [{"id": "HP:0003581"}]}],
                )
            ),
            "no_observed_features",
        ),
        (
            encode(packet(phenotypicFeatures=None, hpo_terms=["HP:0001250"])),
            "no_phenotypic_features_at_top",
        ),
        (b"NaN", "not_a_phenopacket"),
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
    (outcome,) = parse_phenopackets(raw, "dir/\u202em.json", ONTOLOGY)
    assert isinstance(outcome, RejectedCase)
    assert outcome.reason == reason
    assert reason in REASONS
    assert outcome.case_id in ("case-1", "dir/ m.json", "dir/ m.json[1]")


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
    outcomes = parse_phenopackets(encode({**packet(), field: value}), "m.json", ONTOLOGY)
    assert all(isinstance(outcome, ParsedCase | RejectedCase) for outcome in outcomes)
    for outcome in (o for o in outcomes if isinstance(o, ParsedCase)):
        json.dumps(outcome.case, ensure_ascii=False).encode()  # no unpaired surrogates


@settings(max_examples=100, deadline=None)
@given(st.binary())
def test_no_bytes_are_fatal(raw):
    for name in ("m.json", "m.yaml", "m", "m.jsonl"):
        assert all(isinstance(o, RejectedCase) for o in parse_phenopackets(raw, name, ONTOLOGY))


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
    groups = Counter({case["group_id"]: case["split"] for case in placed}.values())
    assert groups == {"train": 1026, "validation": 147, "test": 293}
    sizes = Counter(case["group_id"] for case in placed)
    (largest, _), *_ = sizes.most_common(1)
    found = {
        next(c["split"] for c in assign_splits(cases, 0.3, 0.3, seed) if c["group_id"] == largest)
        for seed in range(8)
    }
    assert len(found) > 1


def test_genes_are_those_of_the_interpretations() -> None:
    variant = {"variation_descriptor": {"gene_context": {"symbol": "FBN2"}}}
    genomic = [
        {"gene": {"symbol": "FBN1", "value_id": "HGNC:3603"}},
        {"variant_interpretation": variant},
    ]
    packet = {"interpretations": [{"diagnosis": {"genomic_interpretations": genomic}}]}
    assert stated_genes(packet) == {"FBN1", "HGNC:3603", "FBN2"}
    assert stated_genes({}) == set()
