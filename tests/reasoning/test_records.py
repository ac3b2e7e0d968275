"""Predictions and ranks of records."""

import pytest

from mint_ray.evaluation.predictions import validate_predictions
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.reasoning.grounding import DiseaseNames, GeneNames
from mint_ray.reasoning.records import CaseRecord, answer_ranks, predictions
from mint_ray.retrieval.genes import gene_catalogue


def record(case_id: str, *names: str, problem: str | None = None) -> CaseRecord:
    return CaseRecord(case_id, "cot", (), (), names, problem)


@pytest.fixture
def diseases() -> DiseaseNames:
    """Two diseases."""
    labels = [
        Label("OMIM:1", "Alpha syndrome", ("OMIM:1",), ("Alpha disease",), ()),
        Label("OMIM:2", "Beta syndrome", ("OMIM:2",), (), ()),
    ]
    return DiseaseNames(Catalogue(labels))


def test_cases_without_an_answer_stay_in_the_denominator(diseases: DiseaseNames) -> None:
    """The released code dropped them, and compared the others with the wrong answers."""
    records = [
        record("a", "Beta syndrome"),
        record("b", problem="empty_answer"),
        record("c", "Unknown disease", "Alpha syndrome"),
    ]
    known = {"a": "OMIM:2", "b": "OMIM:2", "c": "OMIM:1", "d": "OMIM:1"}
    table = predictions(records, diseases)
    assert answer_ranks(table, known, ["a", "b", "c", "d", "e"]).tolist() == [1, 0, 2, 0, 0]


def test_predictions_are_those_of_every_system(diseases: DiseaseNames) -> None:
    names = ("Alpha syndrome", "Alpha disease", "Nothing known", "Beta syndrome")
    table = validate_predictions(predictions([record("a", *names)], diseases))
    assert table["system"].to_pylist() == ["cot"] * 4
    assert table["rank"].to_pylist() == [1, 2, 3, 4]
    assert table["text"].to_pylist() == list(names)
    # The second name means the first label again, which is not counted twice.
    assert table["label_id"].to_pylist() == ["OMIM:1", None, None, "OMIM:2"]
    assert answer_ranks(table, {"a": "OMIM:1"}, ["a"]).tolist() == [1]


def test_no_record_gives_an_empty_table(diseases: DiseaseNames) -> None:
    table = predictions([], diseases)
    assert validate_predictions(table).num_rows == 0
    assert answer_ranks(table, {}, ["a"]).tolist() == [0]


def test_genes_are_scored() -> None:
    """The released code's scorer could not."""
    genes = gene_catalogue()
    by_symbol = dict(zip(genes.names, genes.ids, strict=True))
    table = predictions([record("a", "FBN2", "CDK 10"), record("b", "C10orf2")], GeneNames(genes))
    known = {"a": by_symbol["CDK10"], "b": by_symbol["TWNK"]}
    assert answer_ranks(table, known, ["a", "b"]).tolist() == [2, 1]
