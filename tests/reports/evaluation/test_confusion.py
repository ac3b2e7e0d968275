import dataclasses
import xml.etree.ElementTree as ElementTree

import numpy as np

from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes
from mint_ray.reports.evaluation.confusion import NO_ANSWER, Confusion, confusion_of, confusion_plot
from mint_ray.reports.evaluation.per_class import class_rows
from tests.evaluation.few_answers import NAMES, draw


def hints(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("title")]


def with_first(outcome: Outcomes, first: list[int]) -> Outcomes:
    codes = np.full_like(outcome.codes, -1)
    codes[:, 0] = first
    return dataclasses.replace(outcome, codes=codes)


def small() -> tuple[EvaluatedCases, Outcomes]:
    cases, outcome, _, _ = draw(n=6, per_group=2)
    cases = dataclasses.replace(cases, known=np.array([0, 0, 0, 1, 1, -2]))
    return cases, with_first(outcome, [0, 0, 3, 1, -1, 1])


def test_counts_by_hand() -> None:
    confusion = confusion_of(small()[1], small()[0], NAMES)
    assert confusion.known == ("Adrenal gland", "Breast", "not in the catalogue")
    assert confusion.answered == ("Adrenal gland", "Breast", "Ductus <b>", NO_ANSWER)
    assert confusion.counts.tolist() == [[2, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 0]]


def test_the_drawing_has_counts_and_escapes_names() -> None:
    svg = confusion_plot("ORPO student", confusion_of(small()[1], small()[0], NAMES))
    assert "known Adrenal gland, answered Ductus <b>: 1 of 3 cases (33.3%)" in hints(svg)
    assert "known Breast, answered Breast: 1 of 2 cases (50.0%)" in hints(svg)
    assert len(hints(svg)) == 3 * 4
    texts = [element.text for element in ElementTree.fromstring(svg).iter("text")]
    assert "33" in texts


def test_nineteen_answers_fit_the_page() -> None:
    names = tuple(f"A tissue of a long name {i}" for i in range(19))
    confusion = Confusion(np.eye(19, dtype=np.int64) * 1000, names, names)
    root = ElementTree.fromstring(confusion_plot("x", confusion))
    assert float(root.attrib["viewBox"].split()[2]) < 800
    assert len([rect for rect in root.iter("rect") if "right" in rect.attrib["class"]]) == 19


def test_rows_by_tissue() -> None:
    cases, outcome = small()
    rows = class_rows({"orpo": outcome}, cases, NAMES, student="orpo", samples=100, seed=0)
    assert [(row.name, row.cases, row.groups) for row in rows] == [
        ("Adrenal gland", 3, 2),
        ("Breast", 2, 2),
    ]
    assert rows[0].recall["orpo"]["value"] == 2 / 3
    assert rows[0].mistaken_for == ("Ductus <b>", 1 / 3)
    assert rows[0].precision == 1
    assert rows[1].precision == 0.5
    assert rows[1].mistaken_for is None
