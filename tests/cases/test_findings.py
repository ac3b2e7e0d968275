"""Findings of tables: ids, names, lists in one cell; and what is dropped and counted."""

from collections import Counter

import pytest

from mint_ray.cases.findings import TermReader
from mint_ray.knowledge.ontology import load_ontology

ONTOLOGY = load_ontology()
SEIZURE, SCOLIOSIS = "HP:0001250", "HP:0002650"


@pytest.mark.parametrize(
    ("cells", "terms", "counts"),
    [
        (["HP:0001250", "hp_0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250;HP:0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250|HP:0002650|"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250, HP:0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250 HP:0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250/HP:0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250 + HP:0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["HP:0001250 & HP:0002650"], [SEIZURE, SCOLIOSIS], {}),
        (["https://hpo.jax.org/browse/term/HP:0001250"], [SEIZURE], {}),
        (["['HP:0001250', 'HP:0002650']"], [SEIZURE, SCOLIOSIS], {}),
        (['["HP:0001250", "HP:0002650"]'], [SEIZURE, SCOLIOSIS], {}),
        (["Seizure", "scoliosis"], [SEIZURE, SCOLIOSIS], {"grounded_terms": 2}),
        (["Seizures; Scoliosis"], [SEIZURE, SCOLIOSIS], {"grounded_terms": 2}),
        (["Intellectual disability, mild"], ["HP:0001256"], {"grounded_terms": 1}),
        (["Seizure, Scoliosis"], [SEIZURE, SCOLIOSIS], {"grounded_terms": 2}),
        (["HP:0001250 Seizure"], [SEIZURE], {"grounded_terms": 1}),
        (["Scoliosis (HP:0002650)"], [SCOLIOSIS], {"grounded_terms": 1}),
        (["HP:0001250 - Seizure"], [SEIZURE], {"grounded_terms": 1}),
        (["HP:0001250 - no seizure"], [], {"unknown_terms": 1}),
        (["HP:0001250 Scoliosis"], [], {"unknown_terms": 1}),
        (["no seizure", "NOT HP:0001250", "-HP:0001250"], [], {"unknown_terms": 3}),
        (["HP:0001250", "HP:0001250"], [SEIZURE], {"repeated_terms": 1}),
        (["HP:0000057"], ["HP:0008665"], {"mapped_terms": 1}),
        (["HP:9999999", "ICD:G40"], [], {"unknown_terms": 2}),
        (["HP:0000007"], [], {"non_phenotype_terms": 1}),
        ([None, "", "nan", "[]", " ; "], [], {}),
    ],
)
def test_cells(cells: list[str | None], terms: list[str], counts: dict[str, int]) -> None:
    counted: Counter[str] = Counter()
    assert TermReader(ONTOLOGY, counted).read_cells(cells) == terms
    assert +counted == Counter(counts)


def test_an_observed_finding_outweighs_its_exclusion() -> None:
    counted: Counter[str] = Counter()
    reader = TermReader(ONTOLOGY, counted)
    assert reader.without_observed([SEIZURE, SCOLIOSIS], [SEIZURE]) == [SCOLIOSIS]
    assert counted == Counter({"conflicting_terms": 1})
