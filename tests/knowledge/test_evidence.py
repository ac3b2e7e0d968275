"""What speaks for a disease and what against it, on invented diseases."""

import math

import pytest

from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.evidence import Explainer, Explanation, information_content
from mint_ray.knowledge.ontology import load_ontology

NAN = float("nan")
SEIZURE, ABSENCE, ARACHNODACTYLY, SLENDER = "HP:0001250", "HP:0002121", "HP:0001166", "HP:0001238"
TALL, NEARSIGHTED, HEARING, GROWTH = "HP:0000098", "HP:0000545", "HP:0000365", "HP:0000098"


def row(term: str, share: float, negated: bool = False) -> Row:
    return Row(term, 0, 0, NAN if negated else share, negated, None, "PMID:1")


@pytest.fixture(scope="module")
def annotations() -> Annotations:
    rows = {
        "OMIM:900001": [
            row(ARACHNODACTYLY, 0.9),
            row(TALL, 0.8),
            row(SEIZURE, 0.6),
            row(NEARSIGHTED, 0.2),
            row(HEARING, 0, negated=True),
        ],
        "OMIM:900002": [row(SEIZURE, 0.9)],
        "OMIM:900003": [row(SEIZURE, 0.9), row(HEARING, 0.5)],
        "OMIM:900004": [],
    }
    return Annotations(rows, {disease: disease for disease in rows}, {}, {})


def explain(annotations: Annotations, present: list[str], excluded: list[str]) -> Explanation:
    return Explainer(load_ontology(), annotations).explain(["OMIM:900001"], present, excluded)


def test_information_content_counts_special_cases(annotations: Annotations) -> None:
    found = information_content(load_ontology(), annotations)
    assert found[SEIZURE] == 0  # every annotated disease has it
    assert found[ARACHNODACTYLY] == found[SLENDER] == pytest.approx(math.log(3))
    assert found[HEARING] == pytest.approx(math.log(3))  # an exclusion does not count
    assert "HP:9999999" not in found


def test_findings_support_along_the_ontology(annotations: Annotations) -> None:
    found = explain(annotations, [SLENDER, TALL, ABSENCE, NEARSIGHTED], [])
    assert [(e.finding, e.annotated, e.match) for e in found.supports] == [
        (SLENDER, ARACHNODACTYLY, "more_general"),
        (TALL, TALL, "exact"),
        (NEARSIGHTED, NEARSIGHTED, "exact"),
    ]
    assert found.supports[0].weight == pytest.approx(0.9 * math.log(3))
    # A seizure is annotated to every disease here: it tells nothing.
    assert found.unexplained == (ABSENCE,)


def test_what_is_common_and_not_seen_is_missing(annotations: Annotations) -> None:
    found = explain(annotations, [TALL], [])
    assert [e.annotated for e in found.missing] == [ARACHNODACTYLY, SEIZURE]
    assert {e.finding for e in found.missing} == {None}
    seen = explain(annotations, [TALL, ARACHNODACTYLY, ABSENCE], [])
    assert seen.missing == ()  # a special case of a seizure is a seizure


def test_what_was_excluded_contradicts_and_is_not_missing_too(annotations: Annotations) -> None:
    found = explain(annotations, [TALL], [SLENDER])
    [denied] = found.contradicts
    assert (denied.finding, denied.annotated, denied.match) == (
        SLENDER,
        ARACHNODACTYLY,
        "more_general",
    )
    assert ARACHNODACTYLY not in {e.annotated for e in found.missing}


def test_what_the_disease_excludes_contradicts(annotations: Annotations) -> None:
    found = explain(annotations, [HEARING], [])
    [impossible] = found.contradicts
    assert (impossible.finding, impossible.frequency) == (HEARING, 0.0)
    assert found.unexplained == ()
    assert found.supports == ()


def test_a_disease_of_which_nothing_is_known(annotations: Annotations) -> None:
    explainer = Explainer(load_ontology(), annotations)
    found = explainer.explain(["OMIM:900004"], [TALL], [SEIZURE])
    assert (found.supports, found.missing, found.contradicts) == ((), (), ())
    assert found.unexplained == (TALL,)


@pytest.mark.parametrize("present", [True, False])
def test_the_exact_annotation_comes_before_an_equally_heavy_special_case(present: bool) -> None:
    rows = {"OMIM:1": [row(SEIZURE, 0.5), row(ABSENCE, 0.5)], "OMIM:2": [row(TALL, 0.5)]}
    annotations = Annotations(rows, {disease: disease for disease in rows}, {}, {})
    terms = ([SEIZURE], []) if present else ([], [SEIZURE])
    found = Explainer(load_ontology(), annotations).explain(["OMIM:1"], *terms)
    [item] = found.supports if present else found.contradicts
    assert (item.annotated, item.match) == (SEIZURE, "exact")
