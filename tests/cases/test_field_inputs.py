"""Inputs as the field writes them, which lie beside the checkout: each has its right value."""

from collections import Counter
from pathlib import Path

import pytest

from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import Case, ParsedCase, RejectedCase
from mint_ray.cases.splits import join_groups
from mint_ray.cases.table import read_case_table
from mint_ray.errors import DataError
from mint_ray.knowledge.ontology import load_ontology

FIELD = Path(__file__).parents[2] / ".." / "shared" / "field"
pytestmark = pytest.mark.skipif(not FIELD.is_dir(), reason="the inputs of the field are not here")
ONTOLOGY = load_ontology()
SEIZURE, SCOLIOSIS, NYSTAGMUS, HYPOTONIA = "HP:0001250", "HP:0002650", "HP:0000639", "HP:0001252"


def outcomes(name: str) -> list[ParsedCase | RejectedCase]:
    if name.startswith("tables/"):
        return list(read_case_table(FIELD / name, ONTOLOGY))
    return list(read_phenopackets(FIELD / "phenopackets" / name, ONTOLOGY))


def cases(name: str) -> list[Case]:
    return [item.case for item in outcomes(name) if isinstance(item, ParsedCase)]


def reasons(name: str) -> list[str]:
    return [item.reason for item in outcomes(name) if isinstance(item, RejectedCase)]


@pytest.mark.parametrize(
    ("name", "observed", "excluded"),
    [
        ("01_negated_in_v2.json", [SEIZURE], [SCOLIOSIS, NYSTAGMUS]),
        ("02_excluded_number.json", [SEIZURE, HYPOTONIA], [SCOLIOSIS, NYSTAGMUS]),
        ("08_version_2.0.json", [SEIZURE, HYPOTONIA], []),
        ("11_yaml.yaml", [SEIZURE], []),
        ("12_phenopacket.json.gz", [SEIZURE, HYPOTONIA], []),
        ("tables/20_terms_names.parquet", [SEIZURE, HYPOTONIA], []),
        ("tables/26_terms.csv", [SEIZURE, HYPOTONIA], []),
    ],
)
def test_findings(name: str, observed: list[str], excluded: list[str]) -> None:
    (case,) = cases(name)
    assert (case["terms"], case["excluded_terms"]) == (observed, excluded)


def test_families_and_lists() -> None:
    assert [(c["case_id"], c["group_id"]) for c in cases("03_family.json")] == [
        ("case-a", "fam"),
        ("rel", "fam"),
    ]
    assert [case["case_id"] for case in cases("03_array.json")] == ["m1", "m2"]


def test_refusals() -> None:
    assert reasons("04_features_in_subject.json") == ["no_phenotypic_features_at_top"]
    assert reasons("10_all_excluded.json") == ["no_observed_features"]
    assert reasons("tables/51_empty_notes.parquet") == ["no_modality"] * 6
    assert cases("tables/51_empty_notes.parquet") == []


@pytest.mark.parametrize(
    "name",
    [
        "05_ageAtCollection.json",
        "05_birth_and_timestamp.json",
        "05_fraction.json",
        "06_karyotype.json",
        "06_sex_F.json",
    ],
)
def test_ages_and_sexes(name: str) -> None:
    (case,) = cases(name)
    assert case["sex"] == "female"
    assert case["age"] == ("P9Y6M" if "fraction" in name else "P9Y")


def test_demographics_of_a_table() -> None:
    found = cases("tables/21_demographics.parquet")
    assert [case["age"] for case in found] == ["P9Y"] * 4 + ["P9Y6M"] + ["P9Y"] * 4
    assert [case["sex"][0] for case in found] == list("ffmmffmmm")


def test_ids() -> None:
    (item,) = outcomes("07_ids.json")
    assert isinstance(item, ParsedCase)
    assert len(item.case["terms"]) == 7
    assert item.counts == Counter({"repeated_terms": 1})


def test_labels() -> None:
    assert cases("09_disease_trailing.json")[0]["label_id"] == "ORPHA:558"
    assert cases("09_disease_space.json")[0]["label_id"] == "OMIM:154700"
    (gene,) = outcomes("09_gene_as_disease.json")
    assert isinstance(gene, ParsedCase)
    assert gene.case["label_id"] is None
    assert gene.counts == Counter({"gene_as_disease": 1})
    labels = Counter(case["label_id"] for case in cases("tables/23_label_spellings.parquet"))
    assert labels == {"OMIM:154700": 6, "OMIM:163950": 6, "OMIM:191100": 6}


def test_publications_in_evidence() -> None:
    found = join_groups(cases("13_pmid_in_evidence"))
    assert sorted(Counter(case["group_id"] for case in found).values()) == [3, 3, 3, 3]
    assert len({p for case in found for p in case["publications"]}) == 4


def test_every_file_of_a_mixed_folder_is_accounted_for() -> None:
    found = [case["case_id"] for case in cases("14_mixed_folder")]
    assert found == ["v-2.0.2", "case-y", "case-a", "m0", "m1", "m2"]
    # c.yml repeats b.yaml, and e.txt has the id of d.json.gz.
    assert reasons("14_mixed_folder") == ["duplicate_id", "duplicate_id"]


def test_a_table_is_no_phenopacket() -> None:
    with pytest.raises(DataError, match="found a CSV table"):
        list(read_phenopackets(FIELD / "tables" / "26_terms.csv", ONTOLOGY))
