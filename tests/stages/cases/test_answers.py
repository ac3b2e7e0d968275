"""Cases whose answers are genes, or those of a user's own table."""

from collections import Counter
from pathlib import Path

import pytest

from mint_ray.cases.schema import Case, ParsedCase, blank_case
from mint_ray.config.config import Config
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.release import PACKAGED
from mint_ray.stages.cases.answers import in_scope, open_answers, relabel

MARFAN = "OMIM:154700"
GENES = Config(task="gene")


@pytest.fixture(scope="module")
def genes() -> Catalogue:
    """Genes of the packaged annotations."""
    found = open_answers(GENES, PACKAGED)
    assert found is not None
    return found


def case(**facts: object) -> Case:
    made: Case = {**blank_case("case", "notes"), "label_id": MARFAN, **facts}  # type: ignore[typeddict-item]
    return made


def relabelled(item: ParsedCase, answers: Catalogue, config: Config = GENES) -> ParsedCase:
    (found,) = relabel([item], answers, config)
    return found


def test_diseases_stay_as_they_are() -> None:
    assert open_answers(Config(), PACKAGED) is None


@pytest.mark.parametrize(
    ("stated", "symbol", "count"),
    [
        (("FBN1",), "FBN1", None),
        (("CDK 10",), "CDK10", None),
        (("C10orf2",), "TWNK", None),
        (("FBN1", "HGNC:3603"), "FBN1", None),
        ((), None, "without_gene"),
        (("NOSUCHGENE1",), None, "unknown_genes"),
        (("FBN1", "FBN2"), None, "several_genes"),
    ],
)
def test_a_case_gets_the_gene_that_its_source_states(
    genes: Catalogue, stated: tuple[str, ...], symbol: str | None, count: str | None
) -> None:
    found = relabelled(ParsedCase(case(), ("FBN1",), Counter(grounded_labels=1), stated), genes)
    assert found.case["label_name"] == symbol
    index = genes.index_of(found.case["label_id"] or "")
    assert (None if index is None else genes.names[index]) == symbol
    assert found.counts == Counter(grounded_labels=1) + Counter([count] if count else [])


def test_the_disease_stays_forbidden_in_the_note(genes: Catalogue) -> None:
    found = relabelled(ParsedCase(case(), ("FBN1",), Counter(), ("FBN1",)), genes)
    assert {"FBN1", MARFAN, "Marfan syndrome"} <= set(found.forbidden)


@pytest.mark.parametrize(
    ("source", "symbol"), [("simulated", "FBN1"), ("notes", None)], ids=["simulated", "read"]
)
def test_only_a_simulated_patient_has_the_gene_of_the_disease(
    genes: Catalogue, source: str, symbol: str | None
) -> None:
    found = relabelled(ParsedCase(case(source=source), (), Counter()), genes)
    assert found.case["label_name"] == symbol


def test_genes_of_training_cases_only(genes: Catalogue) -> None:
    config = Config.model_validate({"task": "gene", "knowledge": {"labels": "cases"}})
    first, second = genes.ids[:2]
    cases = [case(label_id=first, split="train"), case(label_id=second, split="test")]
    assert in_scope(genes, cases, config).ids == (first,)
    assert in_scope(genes, cases, GENES) is genes


@pytest.fixture
def own(tmp_path: Path) -> Config:
    """A config of a workshop that looks for faults of bicycles."""
    (tmp_path / "faults.csv").write_text(
        "id,name,synonyms\nF1,Worn chain,stretched chain|long chain\nF2,Buckled wheel,\n"
    )
    cases = {"source": "notes", "path": "notes.csv", "answers": str(tmp_path / "faults.csv")}
    return Config.model_validate({"task": "own", "cases": cases})


@pytest.mark.parametrize(
    ("stated", "label", "count"),
    [
        (("F2",), "F2", None),
        (("Stretched chain",), "F1", None),
        (("F9", "Buckled wheel"), "F2", None),
        (("flat tyre",), None, "unknown_answers"),
        ((), None, "without_answer"),
    ],
)
def test_own_answers_are_found_by_id_name_or_synonym(
    own: Config, stated: tuple[str, ...], label: str | None, count: str | None
) -> None:
    answers = open_answers(own, PACKAGED)
    assert answers is not None
    item = ParsedCase(case(label_id=None), stated, Counter(without_label=1), (), stated)
    found = relabelled(item, answers, own)
    assert found.case["label_id"] == label
    assert found.counts == Counter([count] if count else [])
